"""What one client does must not be felt by another: each test is something a client once could do
to the router."""
import hashlib
import json
import os
import time
from signal import SIGHUP, SIGTERM

import pytest

import http1
import streams
from node import SLOWNESS, wait_for


def same_router(n, pid):
    return n.router_pid() == pid and n.get("/health").status == 200


@pytest.mark.sanitized
@pytest.mark.parametrize("more", [
    {"max_completion_tokens": "a"}, {"max_completion_tokens": -5}, {"messages": {"a": 1}},
    {"messages": [5]}, {"stream": None, "messages": "x", "tools": 7}])
def test_fields_of_the_other_dialect(node, more):
    """A completion does not know them, so it does not look at them."""
    n = node()
    pid = n.router_pid()
    assert n.post("/v1/completions", {"model": "demo", "prompt": "x", **more}).status == 200
    assert same_router(n, pid)


def test_pipelined_requests_wait_for_the_answer(node):
    """Thousands of requests by a client that does not read: one answer is held for it, not all."""
    n = node()
    pid, before = n.router_pid(), n.usage()
    conn = http1.Connection(("127.0.0.1", n.metrics_port), timeout=60)
    conn.sock.setblocking(False)
    left = http1.request_bytes("GET", "/metrics") * 5000  # 100 MB of answers
    deadline = time.monotonic() + 1
    while left and time.monotonic() < deadline:  # as much as it takes
        try:
            left = left[conn.sock.send(left):]
        except BlockingIOError:
            assert n.get("/health").status == 200
    assert n.usage()["router"]["rss_kb"] < before["router"]["rss_kb"] + 8192
    conn.sock.setblocking(True)
    for i in range(20):
        assert conn.read_response().status == 200, i
    conn.close()
    assert same_router(n, pid)


def test_pipelined_answers_come_in_order(node):
    n = node()
    paths = ["/health", "/nothing", "/v1/models/demo", "/v1/models"] * 50
    with n.connect() as conn:
        conn.send(b"".join(http1.request_bytes("GET", path) for path in paths))
        for path in paths:
            response = conn.read_response()
            assert response.status == (404 if path == "/nothing" else 200)
            assert (b'"nodes"' in response.body) == (path == "/health")


def test_a_head_that_follows_an_answer_has_its_deadline(node):
    n = node(models={"demo": {"simulate_rate": 20}}, gateway={"head_timeout_s": 1})
    with n.connect() as conn:
        body = {"model": "demo", "messages": [{"role": "user", "content": "x"}], "max_tokens": 8}
        conn.send(http1.request_bytes("POST", "/v1/chat/completions", body) + b"G")
        assert conn.read_response().status == 200
        response = conn.read_response()
        assert response.status == 408 and response.field("x-request-id").startswith("req_")


def test_a_slow_reader_of_a_whole_answer_gets_it(node):
    """Idle is who has nothing to read."""
    n = node(models={"demo": {"simulate_tokens": 30000}}, gateway={"idle_timeout_s": 1})
    with n.connect(timeout=60) as conn:
        conn.sock.setsockopt(http1.socket.SOL_SOCKET, http1.socket.SO_RCVBUF, 4096)
        body = {"model": "demo", "messages": [{"role": "user", "content": "x"}]}
        conn.send(http1.request_bytes("POST", "/v1/chat/completions", body))
        wait_for("the answer", lambda: n.counter("request_duration_seconds") is not None
                 and n.metrics()["cortex_http_requests_total"] >= 1)
        began, got = time.monotonic(), b""
        while time.monotonic() - began < 2.5:  # longer than the idle timeout, always some progress
            got += conn.sock.recv(512)
            time.sleep(0.02)  # the pace of the reader is what this is about
        conn.buffer = got + conn.buffer
        assert len(conn.read_response().json()["choices"][0]["message"]["content"]) > 100000


def key_section(key):
    return {"sha256": hashlib.sha256(key.encode()).hexdigest()}


@pytest.mark.sanitized
def test_a_key_revoked_while_the_body_arrives(node):
    n = node(keys={"a": key_section("ka"), "b": key_section("kb")})
    pid = n.router_pid()
    body = json.dumps({"model": "demo", "prompt": "x", "max_tokens": 2}).encode()
    head = http1.request_bytes("POST", "/v1/completions", None, {
        "Authorization": "Bearer kb", "Content-Type": "application/json",
        "Content-Length": str(len(body))})
    with n.connect() as conn:
        conn.send(head + body[:5])
        wait_for("the head", lambda: n.counter("bytes_received") > len(head))
        for name in ("a", "b"):
            n.sections.pop(f'key "{name}"')
        n.sections['key "c"'] = key_section("kc")
        n.write_config()
        n.signal(SIGHUP)
        wait_for("the reload", lambda: n.metrics()["cortex_config_reloads_total"] == 1)
        conn.send(body[5:])
        assert conn.read_response().status == 403
    assert n.router_pid() == pid


def test_requests_of_a_removed_model_end(make_node):
    n = make_node(models={"demo": {}, "slow": {"simulate_load_ms": 600000}}).start(workers=False)
    with n.connect() as conn:
        conn.send(streams.chat_request("slow", 1, 5))
        wait_for("the queue", lambda: n.counter("model_queue_depth") == 1)
        del n.sections['model "slow"']
        n.write_config()
        n.signal(SIGHUP)
        response = conn.read_response()
        assert response.status == 200 and b"removed" in response.body, response
    wait_for("no request", lambda: n.metrics()["cortex_requests_open"] == 0)


def test_drain_lets_a_slow_reader_finish(make_node):
    n = make_node(models={"demo": {"simulate_tokens": 30000}}).start()
    with n.connect(timeout=60) as conn:
        conn.sock.setsockopt(http1.socket.SOL_SOCKET, http1.socket.SO_RCVBUF, 4096)
        body = {"model": "demo", "messages": [{"role": "user", "content": "x"}]}
        conn.send(http1.request_bytes("POST", "/v1/chat/completions", body))
        wait_for("the answer", lambda: n.metrics()["cortex_http_requests_total"] >= 1)
        os.kill(n.process.pid, SIGTERM)
        wait_for("the drain", lambda: "draining" in n.log(), 5 * SLOWNESS)
        assert len(conn.read_response().json()["choices"][0]["message"]["content"]) > 100000
    assert n.process.wait(20 * SLOWNESS) == 0
