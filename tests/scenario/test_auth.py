"""Keys: every route with every kind of credential."""
import hashlib
import os
import re
import subprocess

import pytest

from node import BIN_DIR, ROOT

KEY = "sk-test-0123456789abcdef"
OTHER = "sk-test-of-the-one-model"
KEYS = {
    "all": {"sha256": hashlib.sha256(KEY.encode()).hexdigest()},
    "one": {"sha256": hashlib.sha256(OTHER.encode()).hexdigest(), "models": "demo"},
}
CHAT = {"model": "demo", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
COMPLETION = {"model": "demo", "prompt": "x", "max_tokens": 1}
# method, path, body, needs a key
ROUTES = [
    ("POST", "/v1/chat/completions", CHAT, True),
    ("POST", "/v1/completions", COMPLETION, True),
    ("POST", "/v1/embeddings", {"model": "demo", "input": "x"}, True),
    ("POST", "/v1/messages", CHAT, True),
    ("POST", "/v1/messages/count_tokens", CHAT, True),
    ("POST", "/v1/responses", {"model": "demo", "input": "x", "store": False}, True),
    ("GET", "/v1/responses/demo", None, True),
    ("POST", "/v1/responses/demo", {}, True),
    ("DELETE", "/v1/responses/demo", None, True),
    ("POST", "/tokenize", {"prompt": "x"}, True),
    ("POST", "/detokenize", {"tokens": [1]}, True),
    ("POST", "/apply-template", {"messages": CHAT["messages"]}, True),
    ("GET", "/v1/models", None, True),
    ("GET", "/v1/models/demo", None, True),
    ("GET", "/health", None, False),
    ("HEAD", "/health", None, False),
    ("HEAD", "/", None, False),
    ("HEAD", "/api/hello", None, False),
]
def served(path):
    """The status of who may: no response of that name is kept."""
    return 404 if path == "/v1/responses/demo" else 200


CREDENTIALS = [
    ({}, False),
    ({"Authorization": f"Bearer {KEY}"}, True),
    ({"authorization": f"bearer {KEY}"}, True),
    ({"x-api-key": KEY}, True),
    ({"Authorization": f"Bearer {KEY}x"}, False),
    ({"Authorization": f"Bearer {KEY[:-1]}"}, False),
    ({"Authorization": "Bearer "}, False),
    ({"Authorization": "Basic dTpw"}, False),
    ({"x-api-key": ""}, False),
    ({"Authorization": "Bearer wrong", "x-api-key": KEY}, False),
]


def test_no_route_is_missing_here():
    """The table above names every route of the router's own table, with its class."""
    source = (ROOT / "router" / "api" / "routes.c").read_text()
    table = source[source.index("client_routes[]"):source.index("metrics_routes[]")]
    found = {(method, path.replace("*", "demo"), auth == "CLIENT") for method, path, auth in
             re.findall(r'\{METHOD_(\w+), "([^"]+)", AUTH_(\w+),', table)}
    assert found == {(method, path, needs_key) for method, path, _, needs_key in ROUTES}


def test_every_route_with_every_credential(node):
    n = node(keys=KEYS)
    for method, path, body, needs_key in ROUTES:
        for headers, is_good in CREDENTIALS:
            got = n.request(method, path, body, headers)
            want = served(path) if is_good or not needs_key else 401
            assert got.status == want, (method, path, headers, got)
            if want == 401:
                said = got.error()
                code = None if path.startswith("/v1/messages") else "invalid_api_key"
                assert (said["type"], said.get("code")) == ("authentication_error", code), got
    assert n.metrics()["cortex_auth_failures_total"] > 0


def test_anonymous_on_loopback(node):
    n = node()
    for method, path, body, _ in ROUTES:
        assert n.request(method, path, body).status == served(path), path
        got = n.request(method, path, body, {"Authorization": "Bearer any"})
        assert got.status == served(path), path


def test_models_of_a_key(node):
    n = node(models={"demo": {}, "secret": {}}, keys=KEYS)
    mine = {"x-api-key": OTHER}
    assert n.chat("demo", mine).status == 200
    got = n.chat("secret", mine)
    assert got.status == 403 and got.error()["code"] == "model_forbidden"
    assert n.chat("secret", {"x-api-key": KEY}).status == 200


def test_keys_appear_nowhere(node):
    """Not in the log, the segment, the arguments, the environment or an error."""
    n = node(keys=KEYS)
    for key in (KEY, KEY + "wrong"):
        got = n.chat(headers={"Authorization": f"Bearer {key}"})
        assert KEY not in got.body.decode()
    assert KEY not in n.log()
    for path in n.segments():
        assert KEY.encode() not in path.read_bytes()
    for pid, arguments in n.session():
        assert not any(KEY in a for a in arguments)
        with open(f"/proc/{pid}/environ", "rb") as environ:
            assert KEY.encode() not in environ.read()


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "10.1.2.3:31313", ":31313"])
def test_other_addresses_need_a_key(make_node, listen):
    n = make_node(gateway={"listen": listen})
    n.spawn()
    assert n.process.wait(10) == 100
    assert "key" in n.log() and "allow_anonymous" in n.log()


def test_other_addresses_with_a_key(make_node):
    n = make_node(keys=KEYS)
    n.sections["gateway"]["listen"] = f"0.0.0.0:{n.port}"
    n.start()
    assert n.chat().status == 401
    assert n.chat(headers={"x-api-key": KEY}).status == 200


def test_other_addresses_when_allowed(make_node):
    n = make_node(gateway={"allow_anonymous": "yes"})
    n.sections["gateway"]["listen"] = f"0.0.0.0:{n.port}"
    n.start()
    assert n.chat().status == 200


def test_hosts(make_node):
    n = make_node(gateway={"hosts": "cortex.example other.example:8080"})
    n.start()
    for host, status in [("cortex.example", 200), ("cortex.example:1234", 200),
                         ("other.example:8080", 200), ("other.example", 421),
                         ("evil.example", 421), ("localhost", 200), ("[::1]:1", 200)]:
        with n.connect() as conn:
            conn.send(f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert conn.read_response().status == status, host


def test_check_config_shows_no_key(make_node):
    n = make_node(keys=KEYS)
    n.write_config()
    out = subprocess.run([BIN_DIR / "cortex", "check-config", "-c", n.config_path],
                         capture_output=True, text=True, env=n.environment())
    assert out.returncode == 0, out
    assert KEYS["all"]["sha256"] in out.stdout
    assert not os.path.exists(f"/dev/shm/cortex.{n.instance}")
