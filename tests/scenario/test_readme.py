"""The README's commands are run."""
import contextlib
import os
import re
import shlex
import socket
import subprocess
from signal import SIGINT

import pytest

from node import BIN_DIR, ROOT, free_ports, wait_for

README = (ROOT / "README.md").read_text()


def blocks():
    return re.findall(r"^```sh\n(.*?)^```", README, re.M | re.S)


def commands():
    """Every command of the sh blocks, continued lines joined."""
    for block in blocks():
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            if line.split("#")[0].strip():
                yield line.split("#")[0].strip()


def two_free_ports():
    """The first of two neighbours, which is what --port takes."""
    while True:
        port = free_ports(1)[0]
        with contextlib.suppress(OSError, OverflowError), socket.socket() as second:
            second.bind(("127.0.0.1", port + 1))
            return port


@pytest.fixture
def served(tmp_path):
    """tools/run in the foreground on ports of its own."""
    if BIN_DIR != ROOT / "build" / "release" / "bin":
        pytest.skip("tools/run serves the release build")
    port = two_free_ports()
    instance = f"readme-{os.getpid()}"
    log = open(tmp_path / "run.log", "w+")
    process = subprocess.Popen(
        [ROOT / "tools" / "run", "--port", str(port)], stdout=log, stderr=log,
        stdin=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, "CORTEX_INSTANCE__NAME": instance})
    text = lambda: (tmp_path / "run.log").read_text()
    try:
        wait_for("tools/run to be ready", lambda: "is ready" in text(), 60)
        yield port, instance, text, process
        process.send_signal(SIGINT)
        assert process.wait(15) == 0, text()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()


def run_shell(command, port, instance):
    """A command as a reader pastes it, on this test's ports and instance."""
    command = command.replace("31313", str(port)).replace("31314", str(port + 1))
    command = command.replace("/cortexctl status", f"/cortexctl --instance {instance} status")
    return subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True,
                          timeout=60)


def test_readme_commands(served):
    port, instance, _, _ = served
    ran = 0
    for command in commands():
        words = shlex.split(command)
        if words[0] in ("git", "cd") or words[0].startswith("tools/"):
            continue  # this very tree; tools/run is the fixture, tools/test is what runs this
        done = run_shell(command, port, instance)
        assert done.returncode == 0 and done.stdout, (command, done)
        if "stream" in command:
            assert done.stdout.rstrip().endswith("data: [DONE]"), done.stdout
        ran += 1
    assert ran >= 3, "no command in README.md"


def test_printed_commands_work(served):
    port, instance, text, _ = served
    printed = [line.strip() for line in text().splitlines()
               if line.startswith("  curl") or "/cortexctl " in line]
    assert len(printed) >= 4, text()
    for command in printed:
        done = run_shell(command, port, instance)
        assert done.returncode == 0 and done.stdout, (command, done)
    assert "data: [DONE]" in run_shell(printed[0], port, instance).stdout
