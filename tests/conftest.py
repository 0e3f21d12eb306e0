"""Fixtures of every Python test: `node` starts a Cortex and sees to it that nothing is left."""
import re
import subprocess
from pathlib import Path

import pytest

import http1
from node import BIN_DIR, Node

# Families that moved in some scenario, for the test that closes the run.
MOVED = set()


def pytest_addoption(parser):
    parser.addoption("--nightly", action="store_true",
                     help="kill storms of 2,000 streams, 4 workers and 10,000 kills")


def pytest_report_header():
    return f"programs: {BIN_DIR}"


def pytest_collection_modifyitems(items):
    """The test over all scenarios comes last."""
    items.sort(key=lambda item: "moved" in item.fixturenames)


@pytest.fixture
def nightly(request):
    return request.config.getoption("--nightly")


@pytest.fixture
def moved():
    return MOVED


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call":
        item.call_failed = report.failed


@pytest.fixture
def make_node(tmp_path, request):
    """make_node(models={...}, gateway={...}, ...) -> a Node that is not started yet."""
    if not (BIN_DIR / "cortex").exists():
        pytest.fail(f"{BIN_DIR}/cortex does not exist; build first, or set CORTEX_BIN_DIR")
    nodes = []

    def make(**options):
        nodes.append(Node(tmp_path, **options))
        return nodes[-1]

    yield make
    failed = getattr(request.node, "call_failed", False)
    try:
        for node in nodes:
            finish(node, failed)
    finally:
        for node in nodes:
            node.abandon()
            node.remove_segment()


def finish(node, failed):
    if failed:
        print(f"--- log of {node.instance}\n{node.log()[-20000:]}")
        return
    if node.process is None:
        return
    if node.process.poll() is None:
        node.stop()
    MOVED.update(node.metrics_seen)
    node.check_clean()


@pytest.fixture
def node(make_node):
    """node(models=..., ...) -> a started Node, all workers linked."""
    return lambda **options: make_node(**options).start()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """(certificate, key) in PEM, signed by itself, for localhost."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True)
    return cert, key
