"""The API's answers and errors: api.md §1, §3, §4 as far as they are built."""
import json

import pytest

import words
from node import wait_for

MESSAGES = [{"role": "user", "content": "hello"}]


def test_models(node):
    n = node(models={"demo": {}, "org/other": {"limit_context": 4096}}, aliases={"fast": "demo"})
    listing = n.get("/v1/models").json()
    assert listing["object"] == "list"
    by_id = {entry["id"]: entry for entry in listing["data"]}
    assert set(by_id) == {"demo", "org/other", "fast"}
    assert by_id["org/other"]["object"] == "model"
    assert by_id["org/other"]["max_model_len"] == 4096
    assert isinstance(by_id["demo"]["created"], int) and by_id["demo"]["owned_by"]
    assert n.get("/v1/models").json() == listing
    assert n.get("/v1/models/org/other").json() == by_id["org/other"]
    assert n.get("/v1/models/fast").json()["id"] == "fast"
    got = n.get("/v1/models/org/othr")
    assert got.status == 404 and got.error()["code"] == "model_not_found"
    assert "org/other" in got.error()["message"]


def test_alias_answers(node):
    n = node(aliases={"fast": "demo"})
    got = n.chat("fast", seed=1, max_tokens=3)
    assert got.json()["choices"][0]["message"]["content"] == words.text(1, 3)


def test_unknown_model_names_the_nearest(node):
    got = node(models={"qwen/demo": {}}).chat("qwen/dmo")
    assert got.status == 404 and got.error()["code"] == "model_not_found"
    assert "qwen/demo" in got.error()["message"]


def test_health(node):
    got = node().get("/health")
    assert got.json()["status"] == "ok"


@pytest.mark.parametrize("path, body, param", [
    ("chat/completions", {"model": "demo"}, "messages"),
    ("chat/completions", {"messages": MESSAGES}, "model"),
    ("chat/completions", {"model": 5, "messages": MESSAGES}, "model"),
    ("chat/completions", {"model": "demo", "messages": "hi"}, "messages"),
    ("chat/completions", {"model": "demo", "messages": []}, "messages"),
    ("chat/completions", {"model": "demo", "messages": [5]}, "messages"),
    ("chat/completions", {"model": "demo", "messages": [{"role": "user"}]}, "messages"),
    ("chat/completions", {"model": "demo", "messages": [{"role": 5, "content": "x"}]}, "messages"),
    ("chat/completions", {"model": "demo", "messages": MESSAGES, "temperature": "1"}, "temperature"),
    ("chat/completions", {"model": "demo", "messages": MESSAGES, "temperature": 9}, "temperature"),
    ("chat/completions", {"model": "demo", "messages": MESSAGES, "top_p": -0.1}, "top_p"),
    ("chat/completions", {"model": "demo", "messages": MESSAGES, "max_tokens": -1}, "max_tokens"),
    ("chat/completions", {"model": "demo", "messages": MESSAGES, "max_tokens": 1.5}, "max_tokens"),
    ("chat/completions", {"model": "demo", "messages": MESSAGES, "stream": "yes"}, "stream"),
    ("chat/completions", {"model": "demo", "messages": MESSAGES, "seed": "x"}, "seed"),
    ("chat/completions", {"model": "demo", "messages": MESSAGES, "stop": 5}, "stop"),
    ("chat/completions", {"model": "demo", "messages": MESSAGES, "stop": ["a", 5]}, "stop"),
    ("completions", {"model": "demo"}, "prompt"),
    ("completions", {"model": "demo", "prompt": {}}, "prompt"),
    ("completions", {"model": "demo", "prompt": []}, "prompt"),
    ("completions", {"model": "demo", "prompt": [None]}, "prompt"),
    ("completions", {"model": "demo", "prompt": [1, "a"]}, "prompt"),
    ("completions", {"model": "demo", "prompt": ["a", 1]}, "prompt"),
    ("completions", {"model": "demo", "prompt": [[1], []]}, "prompt"),
    ("completions", {"model": "demo", "prompt": [[[1]]]}, "prompt"),
    ("completions", {"model": "demo", "prompt": [-1]}, "prompt"),
    ("completions", {"model": "demo", "prompt": [1.5]}, "prompt"),
    ("completions", {"model": "demo", "prompt": [1 << 31]}, "prompt"),
    ("completions", {"model": "demo", "prompt": ["a"] * 1025}, "n"),
    ("completions", {"model": "demo", "prompt": ["a"] * 9, "n": 128}, "n"),
    ("completions", {"model": "demo", "prompt": "a", "max_tokens": 0}, "max_tokens"),
    ("chat/completions", {"model": "demo", "messages": MESSAGES, "n": 129}, "n"),
    ("chat/completions", {"model": "demo", "messages": MESSAGES, "top_logprobs": 2}, "top_logprobs"),
    ("chat/completions", {"model": "demo", "messages": MESSAGES, "logit_bias": {"x": 1}}, "logit_bias"),
])
def test_bad_fields(node, path, body, param):
    got = node().post(f"/v1/{path}", body)
    assert got.status == 400, got
    assert got.error()["code"] == "invalid_request_body", got
    assert got.error()["type"] == "invalid_request_error"
    assert (got.error()["param"] or "").startswith(param), got


@pytest.mark.parametrize("document", [b"[]", b"5", b'"x"', b"null"])
def test_a_body_that_is_no_object(node, document):
    got = node().post("/v1/chat/completions", document, {"Content-Type": "application/json"})
    assert got.status == 400 and got.error()["code"] == "invalid_request_body"


@pytest.mark.parametrize("field, value", [
    ("functions", [{"name": "f"}]), ("function_call", "f"),
    ("tools", [{"type": "web_search"}]),
])
def test_known_but_not_to_be_had(node, field, value):
    """Nothing is accepted and silently not done."""
    got = node().chat(**{field: value})
    assert got.status == 400, got
    assert got.error()["code"] == "unsupported_parameter" and got.error()["param"].startswith(field)


TOOL = {"type": "function", "function": {"name": "f"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
USER = {"role": "user", "content": "x"}


@pytest.mark.parametrize("body, param", [
    ({"tools": [{"type": "function"}]}, "tools[0]"),
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0]"),
    ({"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]}, "tools[0]"),
    ({"tools": [TOOL, TOOL]}, "tools[1]"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": "any"}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
     "tool_choice.function"),
    ({"response_format": {"type": "yaml"}}, "response_format"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "response_format"),
    ({"messages": [{"role": "tool", "tool_call_id": "c1", "content": "x"}]},
     "messages[0].tool_call_id"),
    ({"messages": [USER, {"role": "assistant", "tool_calls": [CALL, CALL]}]},
     "messages[1].tool_calls[1]"),
    ({"messages": [USER, {"role": "assistant", "tool_calls": [CALL]},
                   {"role": "tool", "tool_call_id": "c1", "content": "x"},
                   {"role": "tool", "tool_call_id": "c1", "content": "x"}]},
     "messages[3].tool_call_id"),
    ({"messages": [USER, {"role": "assistant", "tool_calls": [{"id": "c1"}]}]},
     "messages[1].tool_calls[0]"),
    ({"messages": [USER, {"role": "assistant"}]}, "messages[1].content"),
    ({"messages": [USER, {"role": "assistant", "content": "x", "reasoning_content": 5}]},
     "messages[1]"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0]"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0]"),
])
def test_tools_and_messages_that_are_wrong(node, body, param):
    got = node().post("/v1/chat/completions", {"model": "demo", "messages": [USER], **body})
    assert got.status == 400 and got.error()["code"] == "invalid_request_body", got
    assert got.error()["param"] == param and got.error()["message"].startswith(param), got


def test_ten_thousand_messages(node):
    """They are looked at in slices: a stream beside them goes on."""
    n = node(gateway={"body_max_mb": 64}, models={"demo": {"limit_context": 1 << 24}})
    messages = []
    for i in range(2500):
        call = {**CALL, "id": f"c{i}"}
        messages += [USER, {"role": "assistant", "tool_calls": [call]},
                     {"role": "tool", "tool_call_id": f"c{i}", "content": "x"},
                     {"role": "assistant", "content": "y"}]
    body = {"model": "demo", "messages": messages, "max_tokens": 2}
    assert n.post("/v1/chat/completions", body).status == 200
    messages[-2]["tool_call_id"] = "c0"
    got = n.post("/v1/chat/completions", body)
    assert got.status == 400 and got.error()["param"] == "messages[9998].tool_call_id", got


def test_unknown_fields_are_ignored(node):
    got = node().chat(seed=1, max_tokens=2, x_of_somebody={"a": [1]}, user="me", metadata={})
    assert got.status == 200, got


def test_suffix_is_refused(node):
    got = node().post("/v1/completions", {"model": "demo", "prompt": "x", "suffix": "y"})
    assert got.status == 400 and got.error()["param"] == "suffix"


def test_too_long_a_prompt(node):
    n = node(models={"demo": {"limit_context": 64}})
    got = n.chat(prompt="word " * 1000)
    assert got.status == 400 and got.error()["code"] == "context_length_exceeded"
    assert "prompt is too long" in got.error()["message"] and "> 64 maximum" in got.error()["message"]


def test_max_tokens_is_clamped(node):
    n = node(models={"demo": {"limit_context": 64}})
    answer = n.chat(max_tokens=1_000_000).json()
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["total_tokens"] <= 64
    wins = n.chat(max_tokens=3, max_completion_tokens=5).json()
    assert wins["usage"]["completion_tokens"] == 5


def test_content_parts(node):
    n = node()
    parts = [{"type": "text", "text": "hello"}]
    got = n.post("/v1/chat/completions",
                 {"model": "demo", "messages": [{"role": "user", "content": parts}], "max_tokens": 1})
    assert got.status == 200, got
    image = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    got = n.post("/v1/chat/completions",
                 {"model": "demo", "messages": [{"role": "user", "content": image}]})
    assert got.status == 400, got


def test_queue_full(node):
    n = node(models={"demo": {"seats": 1, "simulate_rate": 5}}, gateway={"queue_depth": 2})
    held = []
    for i in range(3):
        conn = n.connect()
        conn.send(json_request(1000))
        held.append(conn)
        wait_for("admission", lambda: n.metrics()["cortex_requests_total"] == i + 1)
    got = n.chat()
    assert got.status == 429, got
    assert got.error()["code"] == "rate_limit_exceeded"
    assert 1 <= int(got.field("retry-after")) <= 60 and got.field("x-should-retry") == "true"
    assert n.metrics()["cortex_requests_rejected_total"] == 1
    for conn in held:
        conn.close()
    wait_for("an empty queue", lambda: n.metrics()["cortex_requests_open"] == 0)
    assert n.chat(max_tokens=1).status == 200


def json_request(tokens):
    body = json.dumps({"model": "demo", "prompt": "x", "max_tokens": tokens, "stream": True}).encode()
    return (b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body))


def test_queue_timeout(node):
    n = node(models={"demo": {"seats": 1, "simulate_rate": 5}}, gateway={"queue_timeout_s": 1})
    with n.connect() as conn:
        conn.send(json_request(1000))
        wait_for("a busy worker", lambda: n.metrics()["cortex_model_in_flight"] == 1)
        got = n.chat()
        assert got.status in (503, 504) and got.error()["message"], got


def test_request_timeout(node):
    n = node(models={"demo": {"simulate_rate": 5}}, gateway={"request_timeout_s": 1})
    got = n.chat(max_tokens=1000)
    assert got.status == 504, got


def test_failed_model_says_why(make_node):
    n = make_node(models={"demo": {"simulate": "no", "path": "/nowhere/model"}})
    n.start(workers=False)
    wait_for("the failure", lambda: n.chat().error()["code"] == "model_failed")
    got = n.chat()
    assert got.status == 503, got
    reason = n.ctl("status", "--json")["models"][0]["reason"]
    assert reason and reason in got.error()["message"], (got, reason)
    assert got.error()["type"] == "overloaded_error" and int(got.field("retry-after")) >= 1
    entry = n.get("/v1/models").json()["data"][0]
    assert (entry["status"], entry["loaded"], entry["reason"]) == ("failed", False, reason)
    assert n.get("/v1/models/demo").json() == entry
    assert reason in n.ctl("status")
    for path, body in (("/v1/completions", {"model": "demo", "prompt": "x", "stream": True}),
                       ("/tokenize", {"prompt": "x"}), ("/detokenize", {"tokens": [1]}),
                       ("/apply-template", {"messages": MESSAGES})):
        got = n.post(path, body)
        assert got.status == 503 and got.error()["code"] == "model_failed", (path, got)
