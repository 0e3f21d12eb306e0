"""A sample of the gate's and the validator's rows over a real socket, split at every byte. All rows
are in tests/unit/gate_test.c and tests/unit/json_check_test.c."""
import json

import pytest

import http1

HOST = b"Host: 127.0.0.1\r\n"
GET = b"GET /health HTTP/1.1\r\n" + HOST
POST = b"POST /v1/completions HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"

PROMPT = b'"model":"demo","prompt":"hi","max_tokens":1'

# what, request, status
HEADS = [
    ("plain", GET + b"\r\n", 200),
    ("empty line first", b"\r\n" + GET + b"\r\n", 200),
    ("absolute form", b"GET http://localhost/health HTTP/1.1\r\n" + HOST + b"\r\n", 200),
    ("1.0 without Host", b"GET /health HTTP/1.0\r\n\r\n", 200),
    ("LF only", GET + b"X: y\n\r\n", 400),
    ("folded field", GET + b"X: a\r\n b\r\n\r\n", 400),
    ("space before colon", POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    ("NUL", GET + b"X: a\0b\r\n\r\n", 400),
    ("no Host", b"GET /health HTTP/1.1\r\n\r\n", 400),
    ("two Hosts", GET + HOST + b"\r\n", 400),
    ("other Host", b"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
    ("both lengths", POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 400),
    ("two lengths", POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
    ("length with sign", POST + b"Content-Length: +2\r\n\r\n{}", 400),
    ("gzip, chunked", POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 400),
    ("chunked in 1.0", POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n", 400),
    ("HTTP/0.9", b"GET /health\r\n\r\n", 400),
    ("HTTP/2.0", b"GET /health HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    ("unknown method", b"BREW /health HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    ("dot segment", b"GET /v1/%2e%2e/health HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("escaped NUL", b"GET /health%00 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("escaped slash", b"GET /v1%2fmodels HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("other expectation", POST + b"Expect: tea\r\nContent-Length: 2\r\n\r\n{}", 417),
    ("compressed body", POST + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 415),
    ("chunk extension", POST + b"Transfer-Encoding: chunked\r\n\r\n"
     b"1;name=value\r\n{\r\n%x\r\n%s\r\n01\r\n}\r\n0\r\nX: y\r\n\r\n" % (len(PROMPT), PROMPT), 200),
    ("chunk without CR", POST + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n", 400),
    ("junk after a chunk", POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n", 400),
    ("chunk size with 0x", POST + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n", 400),
]

# what, document, is it accepted; the prompt makes the request valid where the text is.
DOCUMENTS = [
    ("plain", b'{%s}' % PROMPT, True),
    ("white space", b' {\n\t%s\r } ' % PROMPT, True),
    ("escapes", b'{"user":"\\u00e9\\ud83d\\ude00\\n\\/",%s}' % PROMPT, True),
    ("number forms", b'{"x":[-0,1e2,0.5E-3,12],%s}' % PROMPT, True),
    ("64 deep", b'{"x":%s%s,%s}' % (b"[" * 63, b"]" * 63, PROMPT), True),
    ("65 deep", b'{"x":%s%s,%s}' % (b"[" * 64, b"]" * 64, PROMPT), False),
    ("same key twice", b'{"user":"a","user":"b",%s}' % PROMPT, False),
    ("same key, escaped", b'{"user":"a","us\\u0065r":"b",%s}' % PROMPT, False),
    ("NUL in a key", b'{"us\\u0000er":"a",%s}' % PROMPT, False),
    ("lone surrogate", b'{"user":"\\ud83d",%s}' % PROMPT, False),
    ("single quotes", b"{'user':1,%s}" % PROMPT, False),
    ("NaN", b'{"x":NaN,%s}' % PROMPT, False),
    ("infinite", b'{"x":1e999,%s}' % PROMPT, False),
    ("leading zero", b'{"x":01,%s}' % PROMPT, False),
    ("raw newline", b'{"user":"a\nb",%s}' % PROMPT, False),
    ("overlong UTF-8", b'{"user":"\xc0\xaf",%s}' % PROMPT, False),
    ("cut UTF-8", b'{"user":"\xe2\x82",%s}' % PROMPT, False),
    ("trailing comma", b'{%s,}' % PROMPT, False),
    ("comment", b'{%s}//' % PROMPT, False),
    ("two documents", b'{%s}{}' % PROMPT, False),
    ("byte order mark", b'\xef\xbb\xbf{%s}' % PROMPT, False),
    ("unfinished", b'{%s' % PROMPT, False),
]


def answer(node, request, at):
    with node.connect() as conn:
        conn.send_split(request, at)
        return conn.read_response()


def test_heads_split_everywhere(node):
    n = node()
    for what, request, status in HEADS:
        for at in range(len(request)):
            got = answer(n, request, at)
            assert got.status == status, (what, at, got)
            if status != 200:
                assert got.error()["message"], (what, got)
            if status == 400:
                assert got.field("connection") == "close", (what, got)
    metrics = n.metrics()
    assert metrics["cortex_http_rejects_total"] > 0
    assert metrics["cortex_child_deaths_total"] == 0


def as_chunks(document, at):
    """The document in two chunks, or in chunks of one byte when at is None."""
    pieces = ([document[i:i + 1] for i in range(len(document))] if at is None
              else [document[:at], document[at:]])
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces if p) + b"0\r\n\r\n"


def test_documents_split_everywhere(node):
    n = node()
    head = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    for what, document, accepted in DOCUMENTS:
        for at in [None, *range(len(document))]:
            got = answer(n, head + as_chunks(document, at), len(head))
            assert got.status == (200 if accepted else 400), (what, at, got)
            if not accepted:
                assert got.error()["code"] == "malformed_json", (what, at, got)
    assert n.metrics()["cortex_json_rejects_total"] > 0


@pytest.mark.parametrize("field, status", [
    ("X: " + "a" * 17000, 431),
    ("\r\n".join(f"X{i}: y" for i in range(70)), 431),
    ("\r\n".join(f"X{i}: " + "a" * 8000 for i in range(5)), 431),
])
def test_heads_too_large(node, field, status):
    n = node()
    with n.connect() as conn:
        conn.send(GET + field.encode() + b"\r\n\r\n")
        assert conn.read_response().status == status


def test_request_line_too_long(node):
    assert node().get("/" + "a" * 9000).status == 414


def test_values_echoed_are_harmless(node):
    """What comes back in an error is printable and short."""
    n = node()
    got = n.get("/v1/models/" + "%1b%5b31m%3cscript%3e" * 40)
    assert got.status in (400, 404)
    message = got.error()["message"]
    assert message.isprintable() and len(message) < 400, message
    got = n.chat("\x1b[31m\n\x7f" + "x" * 100)
    assert got.status == 404
    message = got.error()["message"]
    assert message.isprintable() and len(message) < 400, message
    assert n.chat("x" * 5000).status == 400


def test_body_larger_than_announced_limit(node):
    n = node(gateway={"body_max_mb": 1})
    with n.connect() as conn:  # refused before a byte of the body is read
        conn.send(POST + b"Content-Length: 1048577\r\n\r\n")
        got = conn.read_response()
    assert got.status == 413 and got.error()["code"] == "request_too_large"
    with n.connect() as conn:  # and while it comes, when it was not announced
        conn.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        with pytest.raises((http1.Closed, ConnectionError)):
            conn.send(b"80000\r\n" + b" " * 0x80000 + b"\r\n")
            conn.send(b"80001\r\n" + b" " * 0x80001 + b"\r\n")
            got = conn.read_response()
            assert got.status == 413, got
            conn.read_response()


def test_a_megabyte_of_prompt(node):
    """Longer than a ring: it arrives whole, and other requests are served meanwhile."""
    n = node()
    prompt = "wörd " * 400_000
    got = n.post("/v1/completions", json.dumps(
        {"model": "demo", "prompt": prompt, "max_tokens": 3}, ensure_ascii=False).encode(),
        {"Content-Type": "application/json"})
    assert got.status == 200, got
    assert got.json()["usage"]["prompt_tokens"] > 0
    assert n.metrics()["cortex_ring_stalls_total"] > 0
