"""The metrics page, and at the very end: did every counter move in some scenario?"""
import os
from signal import SIGKILL

import pytest

import http1
import prom
from node import wait_for

# Bugs, which other tests keep at zero, and what the simulated worker does not have.
NEVER = {"cortex_ring_rescues_total", "cortex_internal_errors_total",
         "cortex_cached_prompt_tokens_total"}


def test_page(node):
    n = node(models={"demo": {"workers": 2}, "org/other": {}})
    for _ in range(3):
        n.chat(max_tokens=5)
    with http1.Connection(("127.0.0.1", n.metrics_port)) as conn:
        conn.send(http1.request_bytes("GET", "/metrics"))
        got = conn.read_response()
        assert got.status == 200
        assert got.field("content-type").startswith("text/plain; version=0.0.4")
        conn.send(http1.request_bytes("GET", "/v1/models"))
        assert conn.read_response().status == 404
    metrics = prom.Metrics(got.body.decode())
    assert metrics.value("cortex_requests_total", model="demo") == 3
    assert metrics.value("cortex_completion_tokens_total", model="demo") == 15
    assert metrics.value("cortex_time_to_first_token_seconds_count", model="demo") == 3
    assert metrics["cortex_links_up"] == 3
    assert any(name.startswith("cortex_build_info") for name in metrics.families)


def test_page_is_not_on_the_client_port(node):
    assert node().get("/metrics").status == 404


def test_no_metrics_listener_when_empty(make_node):
    n = make_node(gateway={"metrics_listen": ""})
    n.spawn()
    n.wait_up()
    with pytest.raises(ConnectionRefusedError):
        n.metrics()
    n.process.terminate()
    assert n.process.wait(10) == 0


def test_counters_survive_a_router(node):
    n = node()
    n.chat(max_tokens=5)
    before = n.metrics()["cortex_completion_tokens_total"]
    os.kill(n.router_pid(), SIGKILL)
    n.wait_up()
    n.wait_workers()
    n.chat(max_tokens=5)
    wait_for("more tokens", lambda: n.metrics()["cortex_completion_tokens_total"] == before + 5)


def test_every_counter_has_moved(node, moved, request):
    """Over all scenarios of this run; a part of them says nothing."""
    whole = [item for item in request.session.items if "scenario" in str(item.path)]
    if request.config.option.keyword or request.config.option.markexpr or len(whole) < 100:
        pytest.skip("only a part of the scenarios was run")
    families = set(node().metrics().families)
    assert sorted(families - moved - NEVER) == []
