"""POST /v1/responses: events, items, the store, refusals, and a death in the middle."""
import hashlib
import json
import re

import pytest

import dialects
import http1
import streams
import words
from node import SLOWNESS, wait_for

TOOL = {"type": "function", "name": "get_weather", "description": "The weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}, "strict": False}
PATCH = {"type": "custom", "name": "apply_patch", "description": "Changes files."}
INPUT = 'a "line"\n\té🙂'
ANSWERS = [
    {"match": "think", "pieces": [{"text": "I should", "channel": "reasoning"},
                                  {"text": " look.", "channel": "reasoning"}, "Hel", "lo."]},
    {"match": "sunny", "pieces": ["Take ", "a hat."]},
    {"match": "weather", "pieces": ["I look. ", "<tool", "_call>",
                                    '{"name": "get_weather", "argu', 'ments": {"city": "Rome"}}',
                                    "</tool_call>"]},
    {"match": "patch", "pieces": ["<tool_call>", json.dumps(
        {"name": "apply_patch", "arguments": {"input": INPUT}}), "</tool_call>"]},
    {"pieces": ["plain", " text"]},
]


@pytest.fixture
def scripted(node, tmp_path):
    def start(model=(), **options):
        path = tmp_path / "script.json"
        path.write_text(json.dumps(ANSWERS))
        return node(models={"demo": {"simulate_script": path, **dict(model)}}, **options)
    return start


def create(node, input="hello", status=200, headers=(), **more):
    got = node.post("/v1/responses", {"model": "demo", "input": input, **more}, headers)
    assert got.status == status, got.body
    return got.json() if status == 200 else got.error()


def read_events(body):
    """(name, data) of each, whose names and numbers agree."""
    found = []
    for block in body.decode().removesuffix("\n\n").split("\n\n"):
        if block.startswith(":"):
            continue
        name, data = block.split("\n")
        data = json.loads(data.removeprefix("data: "))
        assert name == f"event: {data['type']}" and data["sequence_number"] == len(found)
        found.append(data)
    return found


def stream(node, input="hello", **more):
    got = node.post("/v1/responses", {"model": "demo", "input": input, "stream": True, **more})
    assert got.status == 200 and got.field("content-type").startswith("text/event-stream")
    dialects.check_stream("responses", got.body)
    return read_events(got.body)


def types(events):
    return [event["type"].removeprefix("response.") for event in events]


def check_stream(events):
    """What is added piece by piece is what is said to be done, and what the response has."""
    items, text = [], ""
    for event in events[2:-1]:
        if event["type"].endswith("output_item.added"):
            assert event["output_index"] == len(items) and event["item"]["status"] == "in_progress"
            items.append(event["item"])
            text = ""
        elif event["type"].endswith("output_item.done"):
            assert event["item"]["id"] == items[-1]["id"]
            items[-1] = event["item"]
        else:
            assert event["item_id"] == items[-1]["id"]
            assert event["output_index"] == len(items) - 1
        if event["type"].endswith(".delta"):
            text += event["delta"]
        elif event["type"].endswith("_part.done"):
            assert event["part"]["text"] == text
        elif event["type"].endswith(".done") and "item" not in event:
            assert text == event.get("text", event.get("arguments", event.get("input")))
    assert events[-1]["response"]["output"] == items
    assert len({item["id"] for item in items}) == len(items)
    return items


# --- the stream ---

def test_order_of_events(node):
    events = stream(node(), seed=3, max_output_tokens=3, instructions="be brief")
    assert types(events) == [
        "created", "in_progress", "output_item.added", "content_part.added", *3 * ["output_text.delta"],
        "output_text.done", "content_part.done", "output_item.done", "incomplete"]
    [item] = check_stream(events)
    assert item["content"] == [{"type": "output_text", "annotations": [], "logprobs": [],
                                "text": words.text(3, 3)}]
    first, last = events[0]["response"], events[-1]["response"]
    assert first["status"] == "in_progress" and first["output"] == [] and first["usage"] is None
    assert last["status"] == "incomplete" == item["status"]
    assert last["incomplete_details"] == {"reason": "max_output_tokens"}
    usage = last["usage"]
    assert usage["output_tokens"] == 3 and usage["total_tokens"] == usage["input_tokens"] + 3
    changed = ("status", "output", "usage", "incomplete_details")
    assert {k: v for k, v in first.items() if k not in changed} == {
        k: v for k, v in last.items() if k not in changed}


def test_reasoning(scripted):
    events = stream(scripted(), "think")
    assert types(events) == [
        "created", "in_progress", "output_item.added", "content_part.added",
        "reasoning_text.delta", "reasoning_text.delta", "reasoning_text.done", "content_part.done",
        "output_item.done", "output_item.added", "content_part.added", "output_text.delta",
        "output_text.delta", "output_text.done", "content_part.done", "output_item.done", "completed"]
    reasoning, message = check_stream(events)
    assert reasoning["id"].startswith("rs_") and message["id"].startswith("msg_")
    assert reasoning["summary"] == []
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "I should look."}]
    assert message["content"][0]["text"] == "Hello."
    usage = events[-1]["response"]["usage"]
    assert usage["output_tokens_details"]["reasoning_tokens"] == 2


def test_reasoning_as_a_summary(scripted):
    """Whole: clients that ask for one show it, and send it back."""
    n = scripted()
    events = stream(n, "think", reasoning={"summary": "auto"})
    assert types(events)[2:9] == [
        "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta",
        "reasoning_summary_text.delta", "reasoning_summary_text.done", "reasoning_summary_part.done",
        "output_item.done"]
    assert events[4]["summary_index"] == 0 and "content_index" not in events[4]
    reasoning, message = check_stream(events)
    assert reasoning["summary"] == [{"type": "summary_text", "text": "I should look."}]
    assert "content" not in reasoning
    again = create(n, [{"role": "user", "content": "think"}, reasoning, message,
                       {"role": "user", "content": "and?"}])
    raw = create(n, [{"role": "user", "content": "think"}, *create(n, "think")["output"],
                     {"role": "user", "content": "and?"}])
    assert again["usage"]["input_tokens"] == raw["usage"]["input_tokens"]


def test_calls(scripted):
    n = scripted()
    events = stream(n, "weather", tools=[TOOL])
    message, call = check_stream(events)
    at = types(events).index("output_item.done") + 1
    assert types(events)[at:] == [
        "output_item.added", *(len(events) - at - 4) * ["function_call_arguments.delta"],
        "function_call_arguments.done", "output_item.done", "completed"]
    assert events[at]["item"]["arguments"] == "" and events[at]["item"]["name"] == "get_weather"
    assert json.loads(call["arguments"]) == {"city": "Rome"}
    assert call["call_id"].startswith("call_") and call["status"] == "completed"
    whole = create(n, "weather", tools=[TOOL])
    assert [item["type"] for item in whole["output"]] == ["message", "function_call"]
    assert whole["output"][1]["arguments"] == call["arguments"] and whole["status"] == "completed"


def test_custom_calls(scripted):
    n = scripted()
    events = stream(n, "patch", tools=[PATCH])
    [call] = check_stream(events)
    assert call["type"] == "custom_tool_call" and call["input"] == INPUT
    assert call["id"].startswith("ctc_") and call["name"] == "apply_patch"
    assert {"custom_tool_call_input.delta", "custom_tool_call_input.done"} < set(types(events))
    [call] = create(n, "patch", tools=[PATCH])["output"]
    assert call["type"] == "custom_tool_call" and call["input"] == INPUT
    answer = create(n, [{"role": "user", "content": "patch"}, call,
                        {"type": "custom_tool_call_output", "call_id": call["call_id"],
                         "output": "done, and it is sunny"}], tools=[PATCH])
    assert answer["output"][-1]["content"][0]["text"] == "Take a hat."


def test_streamed_and_whole_agree(scripted):
    n = scripted()
    for what in ("think", "weather", "patch", "else"):
        streamed = stream(n, what, tools=[TOOL, PATCH])[-1]["response"]
        whole = create(n, what, tools=[TOOL, PATCH])
        for response in (streamed, whole):
            response["output"] = re.sub(r"(_|call_)[0-9a-f]{24}", "", json.dumps(response["output"]))
            for name in ("id", "created_at", "completed_at"):
                response.pop(name)
        assert streamed == whole


def test_the_request_is_repeated(node):
    given = {"instructions": "be brief", "metadata": {"a": "b"}, "temperature": 0.5, "top_p": 0.25,
             "max_output_tokens": 2, "user": "me", "tools": [TOOL, {"type": "web_search"}],
             "tool_choice": "none", "parallel_tool_calls": False, "prompt_cache_key": "k",
             "text": {"format": {"type": "json_object"}, "verbosity": "low"},
             "reasoning": {"effort": "low", "summary": "auto"}, "store": False}
    answer = create(node(), unknown_field=1, **given)
    assert {name: answer[name] for name in given} == given
    assert answer["object"] == "response" and answer["truncation"] == "disabled"


def test_long_instructions_are_not_repeated(node):
    answer = create(node(), instructions="x" * (1 << 20), max_output_tokens=1)
    assert answer["instructions"] is None and answer["tools"] == []


def test_failure_in_a_stream(node):
    n = node(models={"demo": {"simulate_rate": 2}}, gateway={"request_timeout_s": 1})
    events = stream(n)
    assert types(events)[:2] == ["created", "in_progress"] and types(events)[-1] == "failed"
    response = events[-1]["response"]
    assert response["status"] == "failed" and response["usage"] is None
    assert response["error"]["code"] == "server_error" and "1 s" in response["error"]["message"]
    assert response["output"][0]["status"] == "incomplete"
    assert n.get(f"/v1/responses/{response['id']}").status == 404


def test_refused_before_the_stream(node):
    """What a worker refuses at once is a status."""
    n = node(models={"demo": {"limit_context": 16}})
    error = n.post("/v1/responses", {"model": "demo", "input": "word " * 100, "stream": True}).error()
    assert error["code"] == "context_length_exceeded" and "prompt is too long" in error["message"]


def test_signs_of_life(node):
    """A comment each second, and after ten an event, which counts as a sign where comments do not."""
    n = node(models={"demo": {"simulate_prefill_ms": 11500}})
    body = {"model": "demo", "input": "hello", "stream": True, "max_output_tokens": 1}
    [got] = streams.run(n.address, [http1.request_bytes("POST", "/v1/responses", body,
                                                        {"Connection": "close"})])
    blocks = list(got.lines())
    gaps = [b[0] - a[0] for a, b in zip(blocks, blocks[1:])]
    assert max(gaps) < 1.0 + 0.5 * SLOWNESS, gaps
    events = read_events(b"\n\n".join(block for _, block in blocks) + b"\n\n")
    assert types(events)[:4] == ["created", "in_progress", "in_progress", "output_item.added"]
    assert len(blocks) - len(events) >= 9


# --- what was said before ---

def test_a_call_and_its_result(scripted):
    n = scripted()
    first = create(n, "weather", tools=[TOOL])
    call = first["output"][-1]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
    again = create(n, [{"role": "user", "content": "weather"}, *first["output"], result], tools=[TOOL])
    assert again["output"][0]["content"][0]["text"] == "Take a hat."
    continued = create(n, [result], tools=[TOOL], previous_response_id=first["id"])
    assert continued["output"][0]["content"][0]["text"] == "Take a hat."
    assert continued["usage"]["input_tokens"] == again["usage"]["input_tokens"]


def test_the_prompt_is_that_of_chat(node):
    n = node()
    items = [{"role": "developer", "content": "d"}, {"role": "user", "content": "nije bibo"},
             {"type": "message", "role": "assistant",
              "content": [{"type": "output_text", "text": "zahi"}]},
             {"role": "user", "content": [{"type": "input_text", "text": "and?"}]}]
    messages = [{"role": "system", "content": "d"}, {"role": "user", "content": "nije bibo"},
                {"role": "assistant", "content": "zahi"}, {"role": "user", "content": "and?"}]
    answer = create(n, items, max_output_tokens=1)
    assert answer["usage"]["input_tokens"] == n.post("/tokenize", {"messages": messages}).json()["count"]


def test_a_chain_of_three(node):
    """The third knows the first two; instructions are each response's own."""
    n = node()
    first = create(n, "one", instructions="in front", max_output_tokens=2, seed=1)
    second = create(n, "two", previous_response_id=first["id"], max_output_tokens=2, seed=2)
    third = create(n, "three", previous_response_id=second["id"], max_output_tokens=2, seed=3)
    messages = []
    for asked, answer in (("one", first), ("two", second)):
        messages += [{"role": "user", "content": asked},
                     {"role": "assistant", "content": answer["output"][0]["content"][0]["text"]}]
    messages.append({"role": "user", "content": "three"})
    count = n.post("/tokenize", {"messages": messages}).json()["count"]
    assert third["usage"]["input_tokens"] == count
    assert third["previous_response_id"] == second["id"] and third["instructions"] is None
    for answer in (first, second):
        assert n.request("DELETE", f"/v1/responses/{answer['id']}").json() == {
            "id": answer["id"], "object": "response", "deleted": True}
    fourth = create(n, "four", previous_response_id=third["id"], max_output_tokens=1)
    assert fourth["usage"]["input_tokens"] > count  # a turn outlives its response


# --- the store ---

def test_stored(node):
    n = node()
    for answer in (create(n, max_output_tokens=2), stream(n, max_output_tokens=2)[-1]["response"]):
        path = f"/v1/responses/{answer['id']}"
        assert n.get(path).json() == answer
        assert n.get(f"{path}?stream=true").error()["code"] == "unsupported_parameter"
        assert n.request("DELETE", path).status == 200
        for method in ("GET", "DELETE"):
            got = n.request(method, path)
            assert got.status == 404 and got.error()["code"] == "response_not_found"
    assert n.get("/v1/responses/resp_nope").status == 404
    assert n.get("/v1/responses/resp_nope/x").error()["code"] == "not_found"


def test_not_stored(node):
    n = node()
    answer = create(n, store=False, max_output_tokens=1)
    assert answer["store"] is False and n.get(f"/v1/responses/{answer['id']}").status == 404
    error = create(n, status=404, previous_response_id=answer["id"])
    assert error["code"] == "previous_response_not_found" and error["param"] == "previous_response_id"


def test_switched_off(node):
    n = node(gateway={"responses_store_mb": 0})
    answer = create(n, store=True, max_output_tokens=1)
    assert answer["store"] is False
    error = create(n, status=404, previous_response_id=answer["id"])
    assert "responses_store_mb" in error["message"]


def test_input_items(node):
    n = node()
    asked = [{"role": "user", "content": f"item {i}"} for i in range(25)]
    path = f"/v1/responses/{create(n, asked, max_output_tokens=1)['id']}/input_items"
    page = n.get(path).json()
    assert page["object"] == "list" and page["has_more"] and len(page["data"]) == 20
    texts = lambda page: [item["content"][0]["text"] for item in page["data"]]
    assert texts(page) == [f"item {i}" for i in range(24, 4, -1)]
    assert page["first_id"] == page["data"][0]["id"] and page["last_id"] == page["data"][-1]["id"]
    rest = n.get(f"{path}?after={page['last_id']}").json()
    assert texts(rest) == [f"item {i}" for i in range(4, -1, -1)] and not rest["has_more"]
    assert texts(n.get(f"{path}?order=asc&limit=2").json()) == ["item 0", "item 1"]
    for query in ("order=x", "limit=0", "limit=101", "limit=x", "after=nope"):
        assert n.get(f"{path}?{query}").status == 400, query


def test_references(scripted):
    n = scripted()
    first = create(n, "weather", tools=[TOOL])
    call = first["output"][-1]
    asked = n.get(f"/v1/responses/{first['id']}/input_items").json()["data"][0]
    answer = create(n, [{"type": "item_reference", "id": asked["id"]},
                        {"type": "item_reference", "id": call["id"]},
                        {"type": "function_call_output", "call_id": call["call_id"],
                         "output": "sunny"}], tools=[TOOL])
    assert answer["output"][0]["content"][0]["text"] == "Take a hat."
    error = create(n, [{"type": "item_reference", "id": "msg_nope_0"}], status=404)
    assert error["code"] == "item_not_found" and error["param"] == "input[0]"


def test_the_oldest_goes_first(node):
    n = node(gateway={"responses_store_max": 2})
    ids = [create(n, max_output_tokens=1)["id"] for _ in range(3)]
    assert [n.get(f"/v1/responses/{id}").status for id in ids] == [404, 200, 200]


def test_bounded_by_bytes(node):
    n = node(gateway={"responses_store_mb": 1})
    ids = [create(n, "x" * 100_000, max_output_tokens=1)["id"] for _ in range(12)]
    found = [n.get(f"/v1/responses/{id}").status for id in ids]
    assert found == sorted(found, reverse=True) and found[0] == 404 and found[-1] == 200


def test_another_key_sees_nothing(node):
    keys = {name: {"sha256": hashlib.sha256(name.encode()).hexdigest()} for name in ("one", "two")}
    n = node(keys=keys)
    mine, other = ({"Authorization": f"Bearer {name}"} for name in ("one", "two"))
    answer = create(n, headers=mine, max_output_tokens=1)
    path = f"/v1/responses/{answer['id']}"
    assert n.get(path, headers=mine).status == 200
    assert n.get(path, headers=other).status == 404
    assert n.get(f"{path}/input_items", headers=other).status == 404
    assert n.request("DELETE", path, headers=other).status == 404
    assert n.post(f"{path}/cancel", {}, headers=other).status == 404
    assert create(n, status=404, headers=other,
                  previous_response_id=answer["id"])["code"] == "previous_response_not_found"
    assert n.get(path).status == 401


# --- one that runs ---

def test_cancelled(node):
    n = node(models={"demo": {"simulate_rate": 20}})
    with n.connect() as conn:
        conn.send(http1.request_bytes("POST", "/v1/responses", {
            "model": "demo", "input": "hello", "stream": True}))
        while b'"sequence_number":1' not in conn.buffer:
            conn.fill()
        path = "/v1/responses/" + re.search(rb"resp_\w+", conn.buffer).group().decode()
        running = n.get(path).json()
        assert running["status"] == "in_progress" and running["output"] == []
        cancelled = n.post(f"{path}/cancel", {}).json()
        assert cancelled["status"] == "cancelled"
        events = read_events(conn.read_response().body)
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["status"] == "cancelled"
    assert n.get(path).json() == cancelled
    error = n.post(f"{path}/cancel", {}).error()
    assert "over" in error["message"]
    assert n.post("/v1/responses/resp_nope/cancel", {}).status == 404
    wait_for("no request", lambda: n.metrics()["cortex_requests_open"] == 0)


# --- refusals ---

@pytest.mark.parametrize("field, value", [
    ("input", None), ("input", 5), ("temperature", 3), ("top_p", -1), ("max_output_tokens", 0),
    ("instructions", 5), ("tools", 5), ("metadata", {"a": 1}), ("store", "yes"), ("text", "x"),
    ("previous_response_id", 5), ("truncation", "x"), ("stream", 1), ("reasoning", "high"),
    ("reasoning", {"effort": 5}),
])
def test_bad_fields(node, field, value):
    error = node().post("/v1/responses", {"model": "demo", "input": "x", field: value}).error()
    assert error["code"] == "invalid_request_body", error
    assert error["param"].split(".")[0] == field, error


@pytest.mark.parametrize("field, value", [
    ("background", True), ("prompt", {"id": "x"}), ("conversation", "conv_1"), ("top_logprobs", 2),
    ("include", ["message.output_text.logprobs"]), ("tool_choice", {"type": "web_search"}),
    ("input", [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]),
])
def test_not_to_be_had(node, field, value):
    error = node().post("/v1/responses", {"model": "demo", "input": "x", field: value}).error()
    assert error["code"] == "unsupported_parameter" and error["param"].startswith(field), error


def test_what_asks_for_nothing(node):
    create(node(), background=False, include=["reasoning.encrypted_content"], top_logprobs=0,
           truncation="auto", tools=[{"type": "web_search"}, {"type": "namespace", "name": "x"}],
           tool_choice="auto", service_tier="auto", safety_identifier="x", max_output_tokens=1)


def test_models_as_codex_asks_for_them(node):
    """It wants "models" of its own form; no entry there is what leaves it its own instructions."""
    n = node()
    plain = n.get("/v1/models").json()
    assert n.get("/v1/models?client_version=0.99.0").json() == {**plain, "models": []}
    assert "models" not in plain


def test_methods(node):
    n = node()
    got = n.get("/v1/responses")
    assert got.status == 405 and got.field("allow") == "POST"
    assert n.post("/v1/responses/resp_x", {}).status == 404


# --- size ---

def test_many_items(node):
    """Others are served meanwhile."""
    n = node()
    items = []
    for i in range(3333):
        items += [{"role": "user", "content": f"item {i}"},
                  {"type": "function_call", "call_id": f"c{i}", "name": "f", "arguments": "{}"},
                  {"type": "function_call_output", "call_id": f"c{i}", "output": "x"}]
    first = create(n, items, max_output_tokens=1)
    assert first["usage"]["input_tokens"] > 3 * 3333
    second = create(n, "more", previous_response_id=first["id"], max_output_tokens=1)
    assert second["usage"]["input_tokens"] > first["usage"]["input_tokens"]
    items[-1]["call_id"] = "nope"
    assert create(n, items, 400)["param"] == f"input[{len(items) - 1}].call_id"


def test_a_long_text(node):
    n = node()
    first = create(n, "word " * 6_000_000, max_output_tokens=1)
    assert first["usage"]["input_tokens"] >= 6_000_000
    again = create(n, "more", previous_response_id=first["id"], max_output_tokens=1)
    assert again["usage"]["input_tokens"] > first["usage"]["input_tokens"]


# --- a death in the middle ---

def normal(events):
    """Without what differs from run to run: the response's own id and times."""
    text = json.dumps(events)
    text = re.sub(r"[0-9a-f]{24}", "-", text)
    return re.sub(r'"(created_at|completed_at)": \d+', "", text)


@pytest.mark.sanitized
@pytest.mark.parametrize("at", [1, 3, 5])
def test_a_death_in_the_middle(scripted, at):
    expected = normal(stream(scripted(), "weather", tools=[TOOL]))
    n = scripted(model={"simulate_fault": f"kill@token:{at}@once"})
    assert normal(stream(n, "weather", tools=[TOOL])) == expected
    wait_for("the obituary", lambda: n.metrics()["cortex_child_deaths_total"] == 1)
    assert n.metrics()["cortex_requests_resumed_total"] == 1
