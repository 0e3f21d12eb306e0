"""Connections: keep-alive, HTTP/1.0, pipelining, continue, limits of time, TLS."""
import json
import socket
import ssl
import time

import pytest

import http1
import words
from node import SLOWNESS, wait_for

SCRAPE = 1  # the connection that asks for the metrics
COMPLETION = {"model": "demo", "prompt": "hi", "max_tokens": 2, "seed": 7}


def test_keep_alive(node):
    n = node()
    before = n.metrics()["cortex_connections_accepted_total"]
    with n.connect() as conn:
        for i in range(50):
            conn.send(http1.request_bytes("POST", "/v1/completions", COMPLETION))
            got = conn.read_response()
            assert got.status == 200 and got.field("connection") is None
            assert got.json()["choices"][0]["text"] == words.text(7, 2)
        conn.send(http1.request_bytes("GET", "/health", headers={"Connection": "close"}))
        assert conn.read_response().field("connection") == "close"
        assert conn.is_closed_by_peer()
    assert n.metrics()["cortex_connections_accepted_total"] - before < 5


def test_request_ids_are_unique(node):
    n = node()
    ids = {n.get("/health").field("x-request-id") for _ in range(20)}
    assert len(ids) == 20 and None not in ids


def test_http10(node):
    n = node()
    with n.connect() as conn:
        conn.send(b"GET /health HTTP/1.0\r\n\r\n")
        got = conn.read_response()
        assert got.status == 200 and conn.is_closed_by_peer()
    with n.connect() as conn:
        for _ in range(2):
            conn.send(b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            got = conn.read_response()
            assert got.field("connection") == "keep-alive"


def test_http10_stream_ends_by_close(node):
    n = node()
    body = json.dumps({**COMPLETION, "stream": True}).encode()
    with n.connect() as conn:
        conn.send(b"POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\n"
                  b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        got = conn.read_response()
        assert got.field("transfer-encoding") is None
        assert got.body.endswith(b"data: [DONE]\n\n")


def test_pipelining_keeps_order(node):
    n = node(models={"demo": {"simulate_rate": 100}})
    requests = [http1.request_bytes("POST", "/v1/completions",
                                    {**COMPLETION, "seed": i, "max_tokens": 5 - i, "stream": i == 1})
                for i in range(4)]
    with n.connect() as conn:
        conn.send(b"".join(requests))
        for i in range(4):
            got = conn.read_response()
            if i == 1:
                assert got.body.endswith(b"data: [DONE]\n\n")
            else:
                assert got.json()["choices"][0]["text"] == words.text(i, 5 - i)


def test_a_refused_request_ends_the_pipeline(node):
    """What follows a request that the gate refuses is never taken for a request."""
    n = node()
    with n.connect() as conn:
        conn.send(b"GET /health HTTP/1.1\r\n\r\n" + http1.request_bytes("GET", "/health"))
        assert conn.read_response().status == 400
        assert conn.is_closed_by_peer()


def test_a_body_that_is_not_read_is_no_request(node):
    """Refused by its head (no route, wrong method, no key): what follows is never taken for a request."""
    n = node(keys={"k": {"sha256": "0" * 64}})
    hidden = http1.request_bytes("GET", "/health")
    for method, path, status in (("POST", "/nowhere", 404), ("POST", "/health", 405),
                                 ("POST", "/v1/chat/completions", 401)):
        with n.connect() as conn:
            conn.send(http1.request_bytes(method, path, hidden))
            got = conn.read_response()
            assert (got.status, got.field("connection")) == (status, "close"), path
            assert conn.is_closed_by_peer(), path
        with n.connect() as conn:
            conn.send(http1.request_bytes(method, path) * 2)
            assert [conn.read_response().status for _ in range(2)] == [status, status], path


def test_expect_continue(node):
    n = node(keys={"k": {"sha256": "0" * 64}})
    head = (b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
            b"Content-Type: application/json\r\n")
    with n.connect() as conn:  # no key: the body is never asked for
        conn.send(head + b"Content-Length: 10\r\n\r\n")
        assert conn.read_response().status == 401


def test_expect_continue_is_answered(node):
    n = node()
    body = json.dumps(COMPLETION).encode()
    with n.connect() as conn:
        conn.send(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
                  b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert conn.read_response().status == 100
        conn.send(body)
        assert conn.read_response().status == 200
    with n.connect() as conn:  # too long: refused instead
        conn.send(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
                  b"Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n")
        assert conn.read_response().status == 413


def test_head_and_unknown_routes(node):
    n = node()
    got = n.request("HEAD", "/")
    assert (got.status, got.body) == (200, b"")
    assert n.get("/nowhere").status == 404
    assert n.get("/nowhere").error()["code"] == "not_found"
    got = n.request("DELETE", "/v1/models")
    assert got.status == 405
    assert n.get("/v1/chat/completions").status == 405
    assert n.get("/v1/v1/models").status == 200


def test_media_type(node):
    n = node()
    got = n.post("/v1/completions", b'{"model":"demo","prompt":"x"}', {"Content-Type": "text/plain"})
    assert got.status == 415
    got = n.post("/v1/completions", b'{"model":"demo","prompt":"x"}',
                 {"Content-Type": "application/json; charset=utf-8"})
    assert got.status == 200


def test_post_without_body(node):
    got = node().request("POST", "/v1/completions")
    assert got.status == 400 and got.field("connection") == "close"


def test_slow_head_is_ended(node):
    n = node(gateway={"head_timeout_s": 1})
    with n.connect() as conn:
        began = time.monotonic()
        conn.send(b"GET /health HTTP/1.1\r\nHo")
        assert conn.read_response().status == 408
        assert conn.is_closed_by_peer()
        assert 0.9 <= time.monotonic() - began <= 4 * SLOWNESS


def test_idle_connection_is_ended(node):
    n = node(gateway={"idle_timeout_s": 1})
    with n.connect() as conn:
        conn.send(http1.request_bytes("GET", "/health"))
        conn.read_response()
        assert conn.is_closed_by_peer(timeout=5 * SLOWNESS)


def test_limit_of_connections(node):
    """Beyond the limit a connection is closed at once, and the others go on."""
    n = node(gateway={"max_connections": 8})
    conns = [n.connect() for _ in range(12)]
    try:
        wait_for("refusals", lambda: n.metrics()["cortex_connections_refused_total"] >= 4)
        served = 0
        for conn in conns:
            try:
                conn.send(http1.request_bytes("GET", "/health"))
                served += conn.read_response().status == 200
            except (OSError, http1.Closed):
                pass
        assert served == 8
    finally:
        for conn in conns:
            conn.close()
    wait_for("room", lambda: n.metrics()["cortex_connections_open"] <= SCRAPE)
    assert n.get("/health").status == 200


def client_tls(certificate):
    context = ssl.create_default_context(cafile=certificate[0])
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def test_tls(node, make_node, certificate):
    cert, key = certificate
    n = make_node(gateway={"tls_cert": cert, "tls_key": key}, scheme="https",
                  models={"demo": {"simulate_rate": 200}})
    n.spawn()
    tls = client_tls(certificate)
    wait_for("health over TLS", lambda: answers(n, tls), 20)
    n.wait_workers()
    with n.connect(tls=tls) as conn:
        assert conn.sock.version() in ("TLSv1.2", "TLSv1.3")
        for i in range(3):
            conn.send(http1.request_bytes("POST", "/v1/completions", {**COMPLETION, "seed": i}))
            assert conn.read_response().json()["choices"][0]["text"] == words.text(i, 2)
        conn.send(http1.request_bytes("POST", "/v1/completions",
                                      {**COMPLETION, "stream": True, "max_tokens": 40}))
        assert conn.read_response().body.endswith(b"data: [DONE]\n\n")
        # many small requests at once: OpenSSL holds bytes that no socket announces
        conn.send(b"".join(http1.request_bytes("GET", "/health") for _ in range(200)))
        assert [conn.read_response().status for _ in range(200)] == [200] * 200


def answers(n, tls):
    try:
        with n.connect(tls=tls) as conn:
            conn.send(http1.request_bytes("GET", "/health"))
            return conn.read_response().status == 200
    except OSError:
        return False


def test_tls_refuses_plain_text(make_node, certificate):
    cert, key = certificate
    n = make_node(gateway={"tls_cert": cert, "tls_key": key}, scheme="https")
    n.spawn()
    tls = client_tls(certificate)
    wait_for("health over TLS", lambda: answers(n, tls), 20)
    with n.connect() as conn:
        conn.send(http1.request_bytes("GET", "/health"))
        with pytest.raises((http1.Closed, ConnectionError)):
            conn.read_response()
    assert n.metrics()["cortex_tls_handshake_errors_total"] >= 1
    assert answers(n, tls)


def test_half_of_a_request_is_forgotten(node):
    n = node()
    for cut in (1, 20, 90, 130):
        with n.connect() as conn:
            conn.send(http1.request_bytes("POST", "/v1/completions", COMPLETION)[:cut])
            conn.sock.shutdown(socket.SHUT_RDWR)
    wait_for("connections to close", lambda: n.metrics()["cortex_connections_open"] <= SCRAPE)
    assert n.get("/health").status == 200
