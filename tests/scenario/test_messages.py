"""Anthropic's Messages: events, blocks in and out, usage, every way to end, every way to be wrong."""
import asyncio
import base64
import hashlib
import json
import time

import pytest

import http1
import streams
import words
from node import SLOWNESS, wait_for

USER = {"role": "user", "content": "hello"}
TOOL = {"name": "get_weather", "description": "of a city",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
THOUGHTS = [{"text": "Let me", "channel": "reasoning"}, {"text": " see.", "channel": "reasoning"}]
CALL = ["<tool", '_call>{"name": "get_weather", "argu', 'ments": {"city": ', '"Bonn"}}', "</tool_call>"]
SCRIPT = [
    {"match": "weather", "pieces": [*THOUGHTS, "I look.", *CALL, *CALL]},
    {"match": "think", "pieces": [*THOUGHTS, "Hel", "lo."]},
    {"pieces": ["Hi."]},
]


def scripted(make_node, tmp_path, script=None, **keys):
    path = tmp_path / "script.json"
    path.write_text(json.dumps(SCRIPT if script is None else script))
    return make_node(models={"demo": {"simulate_script": path, **keys}})


@pytest.fixture
def script_node(make_node, tmp_path):
    return lambda script=None, **keys: scripted(make_node, tmp_path, script, **keys).start()


def body_of(prompt="hello", **more):
    return {"model": "demo", "max_tokens": 64, "messages": [{"role": "user", "content": prompt}],
            **more}


def post(node, headers=(), path="/v1/messages", **more):
    return node.post(path, body_of(**more), headers)


def request(**more):
    return http1.request_bytes("POST", "/v1/messages?beta=true", body_of(stream=True, **more),
                               {"Connection": "close", "anthropic-version": "2023-06-01"})


def stream(node, **more):
    return streams.run(node.address, [request(**more)])[0]


def assemble(events):
    """The message that the events say, with every rule about their order."""
    (name, start), (ping, _), *events = [(n, e) for n, e in events]
    assert (name, ping) == ("message_start", "ping")
    message, block, deltas = start["message"], None, []
    assert message["content"] == [] and message["stop_reason"] is None
    for name, event in events:
        assert event["type"] == name
        if name == "content_block_start":
            assert block is None and event["index"] == len(message["content"])
            block, deltas = event["content_block"], []
            message["content"].append(block)
        elif name == "content_block_delta":
            assert event["index"] == len(message["content"]) - 1
            deltas.append(event["delta"])
            if event["delta"]["type"] == "text_delta":
                block["text"] += event["delta"]["text"]
            elif event["delta"]["type"] == "thinking_delta":
                assert block["signature"] == ""
                block["thinking"] += event["delta"]["thinking"]
            elif event["delta"]["type"] == "signature_delta":
                block["signature"] = event["delta"]["signature"]
            else:
                assert event["delta"]["type"] == "input_json_delta"
        elif name == "content_block_stop":
            assert event == {"type": name, "index": len(message["content"]) - 1}
            if block["type"] == "tool_use":
                block["input"] = json.loads("".join(d["partial_json"] for d in deltas) or "{}")
            block = None
        elif name == "message_delta":
            assert block is None
            message.update(event["delta"], usage=event["usage"])
        elif name == "message_stop":
            assert message["stop_reason"] and event == {"type": name}
        else:
            assert name == "ping" and event == {"type": "ping"}
    assert events[-1][0] == "message_stop"
    return message


def anonymous(message):
    """Without what differs from run to run."""
    blocks = [{k: v for k, v in block.items() if k not in ("id", "signature")}
              for block in message["content"]]
    return {**message, "content": blocks, "id": None}


def check_signature(block, message_id, number):
    raw = base64.urlsafe_b64decode(block["signature"] + "==")
    assert raw[:3] == bytes([1, number, 0])
    assert raw[3:19] == hashlib.sha256(b"Let me see.").digest()[:16]
    assert raw[19:] == message_id.encode()


# --- out ---

def test_order_of_events(node):
    n = node()
    events = stream(n, seed=3, max_tokens=3).named_events()
    message_id = events[0][1]["message"]["id"]
    usage = {"input_tokens": 3, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    delta = lambda text: ("content_block_delta", {
        "type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
    assert message_id.startswith("msg_")
    assert events == [
        ("message_start", {"type": "message_start", "message": {
            "id": message_id, "type": "message", "role": "assistant", "model": "demo",
            "content": [], "stop_reason": None, "stop_sequence": None,
            "usage": {**usage, "output_tokens": 0}}}),
        ("ping", {"type": "ping"}),
        ("content_block_start", {"type": "content_block_start", "index": 0,
                                 "content_block": {"type": "text", "text": ""}}),
        *(delta(words.word(3, i)) for i in range(3)),
        ("content_block_stop", {"type": "content_block_stop", "index": 0}),
        ("message_delta", {"type": "message_delta",
                           "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
                           "usage": {**usage, "output_tokens": 3,
                                     "output_tokens_details": {"thinking_tokens": 0}}}),
        ("message_stop", {"type": "message_stop"}),
    ]


@pytest.mark.sanitized
def test_thinking_and_calls(script_node):
    """The whole says what the stream says: thinking, text, two calls."""
    n = script_node()
    whole = post(n, prompt="weather", tools=[TOOL]).json()
    said = assemble(stream(n, prompt="weather", tools=[TOOL]).named_events())
    assert anonymous(said) == anonymous(whole)
    thought, text, *calls = whole["content"]
    assert thought["thinking"] == "Let me see." and text == {"type": "text", "text": "I look."}
    for call in calls:
        assert call["type"] == "tool_use" and call["id"].startswith("toolu_")
        assert (call["name"], call["input"]) == ("get_weather", {"city": "Bonn"})
    assert len(calls) == 2 and calls[0]["id"] != calls[1]["id"]
    assert whole["stop_reason"] == "tool_use" and whole["stop_sequence"] is None
    assert whole["usage"]["output_tokens"] == 13
    assert whole["usage"]["output_tokens_details"] == {"thinking_tokens": 2}
    for message in (whole, said):
        check_signature(message["content"][0], message["id"], 0)


def test_thinking_that_is_not_shown(script_node):
    n = script_node()
    hidden = {"type": "adaptive", "display": "omitted"}
    whole = post(n, prompt="think", thinking=hidden).json()
    events = stream(n, prompt="think", thinking=hidden).named_events()
    assert not any(e.get("delta", {}).get("type") == "thinking_delta" for _, e in events)
    for message in (whole, assemble(events)):
        thought, text = message["content"]
        assert thought["thinking"] == "" and text == {"type": "text", "text": "Hello."}
        check_signature(thought, message["id"], 0)


def test_a_call_that_is_cut_off(script_node):
    """A stream has said what there is; a whole must have an object."""
    n = script_node()
    whole = post(n, prompt="weather", tools=[TOOL], max_tokens=6).json()
    assert whole["stop_reason"] == "max_tokens"
    call = whole["content"][-1]
    assert (call["name"], call["input"]) == ("get_weather", {"arguments": '{"city": '})
    events = stream(n, prompt="weather", tools=[TOOL], max_tokens=6).named_events()
    assert "".join(e["delta"]["partial_json"] for _, e in events
                   if e.get("delta", {}).get("type") == "input_json_delta") == '{"city": '


def test_what_ends_an_answer(node):
    n = node(models={"demo": {"simulate_tokens": 16}})
    text = words.text(9, 16)
    inner = text[12:19]
    ends = [
        ({}, text, "end_turn", None),
        ({"max_tokens": 4}, words.text(9, 4), "max_tokens", None),
        ({"stop_sequences": ["never", inner]}, text[:text.index(inner)], "stop_sequence", inner),
        ({"stop_sequences": ["", inner, "never"]}, text[:text.index(inner)], "stop_sequence", inner),
        ({"stop_sequences": ["never"]}, text, "end_turn", None),
    ]
    for more, said, reason, stop in ends:
        whole = post(n, seed=9, **more).json()
        assert whole["content"] == [{"type": "text", "text": said}]
        assert (whole["stop_reason"], whole["stop_sequence"]) == (reason, stop)
        assert anonymous(assemble(stream(n, seed=9, **more).named_events())) == anonymous(whole)


def test_an_answer_with_nothing_in_it(node):
    n = node()
    first = words.text(9, 1)
    whole = post(n, seed=9, stop_sequences=[first]).json()
    assert whole["content"] == [] and whole["stop_reason"] == "stop_sequence"
    assert assemble(stream(n, seed=9, stop_sequences=[first]).named_events())["content"] == []


def test_max_tokens_is_clamped(node):
    n = node(models={"demo": {"limit_context": 64}})
    whole = post(n, max_tokens=1_000_000).json()
    assert whole["stop_reason"] == "max_tokens"
    assert whole["usage"]["input_tokens"] + whole["usage"]["output_tokens"] <= 64


def test_pings_in_prefill(node):
    n = node(models={"demo": {"simulate_prefill_ms": 3500}})
    found = stream(n, seed=1, max_tokens=3)
    events = found.named_events()
    assert found.stamps[0][1] - found.began < 0.5 * SLOWNESS, "the head waits for the token"
    assert 4 <= [name for name, _ in events].count("ping") <= 5
    assert found.comments() == []
    assert events[0][1]["message"]["usage"]["input_tokens"] == 3  # the worker had it by then
    assert assemble(events)["content"][0]["text"] == words.text(1, 3)


def test_usage_of_one_that_waited(node):
    """Nothing was known when it began; in the end everything is."""
    n = node(models={"demo": {"seats": 1, "simulate_rate": 10}})
    found = streams.run(n.address, [request(seed=seed, max_tokens=15) for seed in range(2)])
    later = max((f.named_events() for f in found), key=lambda e: [n for n, _ in e].count("ping"))
    assert later[0][1]["message"]["usage"]["input_tokens"] == 0
    message = assemble(later)
    assert message["usage"]["input_tokens"] == 3 and message["usage"]["output_tokens"] == 15


# --- in ---

@pytest.mark.sanitized
def test_a_conversation_of_every_block(node):
    n = node()
    call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Bonn"}}
    document = {"type": "document", "title": "t", "source": {"type": "text", "data": "d"}}
    found = {"type": "search_result", "source": "s", "title": "t",
             "content": [{"type": "text", "text": "x"}]}
    ask = dict(
        headers={"anthropic-version": "2023-06-01", "anthropic-beta": "a-2026-01-01,b"},
        seed=5, max_tokens=4, tools=[TOOL, {
            "type": "web_search_20250305", "name": "web_search"}],
        system=[{"type": "text", "text": "x-anthropic-billing-header: v=1"},
                {"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "a"}, document, found]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "of another server"},
                {"type": "redacted_thinking", "data": "xyz"},
                {"type": "text", "text": "b"}, call]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": False,
                 "content": [{"type": "text", "text": "sun"}, document]},
                {"type": "text", "text": "c"}]},
            {"role": "system", "content": "now"},
            {"role": "user", "content": "d"}, {"role": "user", "content": "e"}],
        metadata={"user_id": "u"}, service_tier="auto", container=None, mcp_servers=[],
        context_management={"edits": []}, thinking={"type": "enabled", "budget_tokens": 1024},
        output_config={"effort": "high"}, top_k=5, top_p=0.9, temperature=1)
    got = post(n, path="/v1/messages?beta=true", **ask)
    assert got.status == 200, got
    message = got.json()
    assert message["content"] == [{"type": "text", "text": words.text(5, 4)}]
    assert got.field("request-id") == got.field("x-request-id")
    # what the simulated template makes of it: the tools, the effort, 8 messages and the end
    rendered = "\n".join([
        'tools: [{"type":"function","function":' + json.dumps(
            {"name": TOOL["name"], "description": TOOL["description"],
             "parameters": TOOL["input_schema"]}, separators=(",", ":")) + "}]",
        "thinking: true", 'reasoning_effort: "high"', "system: be brief", "user: at\ndt\ns\nx",
        'assistant: (hm) b <tool_call>{"name":"get_weather","arguments":{"city":"Bonn"}}</tool_call>',
        "tool: sunt\nd", "user: c", "system: now", "user: d", "user: e", "assistant:"])
    assert message["usage"]["input_tokens"] == len(words.pieces(rendered))
    counted = post(n, path="/v1/messages/count_tokens?beta=true", **ask).json()
    assert counted == {"input_tokens": len(words.pieces(rendered))}


@pytest.mark.parametrize("more, begins", [
    ({"max_tokens": None}, "max_tokens: Field required"),
    ({"max_tokens": 0}, "max_tokens: "),
    ({"max_tokens": "5"}, "max_tokens: "),
    ({"model": None}, "model: Field required"),
    ({"messages": None}, "messages: Field required"),
    ({"messages": []}, "messages: "),
    ({"messages": "hi"}, "messages: "),
    ({"messages": [5]}, "messages[0]: "),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role: "),
    ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
     'messages.0.content.0: blocks of type "image" are not supported'),
    ({"messages": [{"role": "user", "content": [
        {"type": "document", "source": {"type": "url", "url": "http://x"}}]}]},
     "messages.0.content.0.source: documents are supported"),
    ({"messages": [{"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "toolu_9"}]}]}, "messages.0.content.0.tool_use_id: "),
    ({"messages": [USER, {"role": "assistant", "content": "{"}]}, "messages: the last one"),
    ({"system": 5}, "system: "),
    ({"temperature": 2.5}, "temperature: "),
    ({"top_p": "1"}, "top_p: "),
    ({"top_k": 1.5}, "top_k: "),
    ({"stream": 1}, "stream: "),
    ({"stop_sequences": 5}, "stop_sequences: "),
    ({"stop_sequences": ["x"] * 17}, "stop_sequences: "),
    ({"tools": [{"name": "a b", "input_schema": {}}]}, "tools.0.name: "),
    ({"tools": [TOOL, TOOL]}, "tools.1.name: "),
    ({"tools": {}}, "tools: "),
    ({"tool_choice": "auto"}, "tool_choice: "),
    ({"tool_choice": {"type": "any"}}, "tool_choice: "),
    ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens: Field required"),
    ({"thinking": True}, "thinking: "),
    ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema: "),
])
def test_bad_fields(node, more, begins):
    n = node()
    got = post(n, **more)
    assert got.status == 400, got
    answer = got.json()
    assert set(answer) == {"type", "error", "request_id"} and answer["type"] == "error"
    assert answer["error"]["type"] == "invalid_request_error"
    assert answer["error"]["message"].startswith(begins), answer
    assert answer["request_id"] == got.field("request-id")
    if "max_tokens" not in more and "stream" not in more and "temperature" not in more and \
            begins.split(":")[0] not in ("top_p", "top_k", "stop_sequences", "messages"):
        assert post(n, path="/v1/messages/count_tokens", **more).status == 400


def failure(got, status, type):
    answer = got.json()
    assert got.status == status and answer["type"] == "error", got
    assert answer["error"]["type"] == type and answer["request_id"] == got.field("request-id")
    return answer["error"]["message"]


def test_the_envelope_of_what_the_server_refuses(node):
    key = {"k": {"sha256": hashlib.sha256(b"secret").hexdigest(), "models": "other"}}
    n = node(models={"demo": {}, "other": {"limit_context": 64}}, keys=key,
             gateway={"body_max_mb": 1})
    auth = {"x-api-key": "secret"}
    failure(post(n), 401, "authentication_error")
    failure(post(n, headers={"x-api-key": "wrong"}), 401, "authentication_error")
    failure(post(n, headers=auth), 403, "permission_error")
    assert "other" in failure(post(n, headers=auth, model="othre"), 404, "not_found_error")
    failure(n.get("/v1/messages", auth), 405, "invalid_request_error")
    failure(n.post("/v1/messages/batches", {}, auth), 404, "not_found_error")
    failure(n.post("/v1/v1/messages/nothing", {}, auth), 404, "not_found_error")
    failure(n.post("/v1/messages", b"{", {**auth, "Content-Type": "application/json"}), 400,
            "invalid_request_error")
    failure(n.post("/v1/messages", b"5", {**auth, "Content-Type": "application/json"}), 400,
            "invalid_request_error")
    failure(n.post("/v1/messages", b"x", {**auth, "Content-Type": "text/plain"}), 415,
            "invalid_request_error")
    failure(n.post("/v1/messages", b" " * (1 << 21), {**auth, "Content-Type": "application/json"}),
            413, "request_too_large")
    said = failure(post(n, headers=auth, model="other", prompt="word " * 100), 400,
                   "invalid_request_error")
    assert "prompt is too long" in said and "> 64 maximum" in said
    deep = b'{"model":"other","max_tokens":1,"messages":' + b"[" * 5000
    failure(n.post("/v1/messages", deep, {**auth, "Content-Type": "application/json"}), 400,
            "invalid_request_error")
    other = n.post("/v1/messagesx", {}, auth)  # not below it
    assert other.status == 404 and "code" in other.error()


def test_full_and_loading_and_failed(make_node):
    n = make_node(models={"demo": {"simulate_load_ms": 3000},
                          "bad": {"simulate": "no", "path": "/nowhere"}}).start(workers=False)
    got = post(n)
    failure(got, 529, "overloaded_error")
    assert int(got.field("retry-after")) >= 1 and got.field("x-should-retry") == "true"
    assert got.reason == "Overloaded"
    wait_for("the failure", lambda: "/nowhere" in post(n, model="bad").json()["error"]["message"])
    failure(post(n, model="bad"), 529, "overloaded_error")


def test_queue_full(node):
    n = node(models={"demo": {"seats": 1, "simulate_rate": 5}}, gateway={"queue_depth": 1})
    held = []
    for i in range(2):
        held.append(n.connect())
        held[-1].send(request(max_tokens=1000))
        wait_for("admission", lambda: n.metrics()["cortex_requests_total"] == i + 1)
    got = post(n)
    failure(got, 429, "rate_limit_error")
    assert 1 <= int(got.field("retry-after")) <= 60
    for conn in held:
        conn.close()


@pytest.mark.sanitized
def test_a_failure_in_the_middle(node):
    n = node(models={"demo": {"simulate_rate": 5}}, gateway={"request_timeout_s": 1})
    events = stream(n, max_tokens=1000).named_events()
    name, said = events[-1]
    assert name == "error" and said["type"] == "error"
    assert said["error"]["type"] == "timeout_error" and said["request_id"].startswith("req_")
    assert "message_stop" not in [name for name, _ in events]


def test_fields_that_a_count_does_not_know(node):
    got = post(node(), path="/v1/messages/count_tokens", stop_sequences=[5], max_tokens="x",
               stream="no", temperature=9)
    assert got.status == 200 and set(got.json()) == {"input_tokens"}, got


# --- under stress ---

def test_a_long_conversation_and_bystanders(node):
    """10,000 turns are read in slices: others hardly notice."""
    n = node(models={"demo": {"simulate_rate": 200, "limit_context": 1 << 24}})
    turns = []
    for i in range(2500):
        turns += [
            {"role": "user", "content": [{"type": "text", "text": f"{i} " + "word " * 100}]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": f"t{i}", "name": "f", "input": {"i": i}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": f"t{i}", "content": "yes"},
                {"type": "text", "text": "so"}]},
            {"role": "assistant", "content": "well"}]
    turns.append(USER)

    async def disturb():
        return await asyncio.get_running_loop().run_in_executor(
            None, lambda: n.post("/v1/messages", body_of(messages=turns, max_tokens=3, seed=1),
                                 timeout=60))

    found = streams.run(n.address, [request(seed=seed, max_tokens=300) for seed in range(4)],
                        disturb)
    for seed, one in enumerate(found):
        assert assemble(one.named_events())["content"][0]["text"] == words.text(seed, 300)
    got = n.post("/v1/messages", body_of(messages=turns, max_tokens=3, seed=1), timeout=60)
    assert got.json()["content"][0]["text"] == words.text(1, 3)
    assert got.json()["usage"]["input_tokens"] > 250_000


def test_many_blocks_in_one_turn(node):
    n = node(models={"demo": {"limit_context": 1 << 24}})
    blocks = [{"type": "text", "text": "a "}] * 30_000
    got = post(n, messages=[{"role": "user", "content": blocks}], max_tokens=1)
    assert got.status == 200 and got.json()["usage"]["input_tokens"] >= 30_000, got


def test_deep_and_shallow(node):
    """A call's input may be as deep as a body; blocks within blocks may not."""
    n = node()
    value, text = "x", [{"type": "text", "text": "x"}]
    for _ in range(50):
        value = [value]
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": value}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": text}
    turns = [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    assert post(n, messages=turns, max_tokens=1).status == 200
    for _ in range(10):
        result = {"type": "tool_result", "tool_use_id": "t", "content": [result]}
    turns[1]["content"] = [result]
    assert "messages.1.content.0.content.0: " in failure(post(n, messages=turns), 400,
                                                         "invalid_request_error")
    for _ in range(20):
        value = [value]
    turns[0]["content"][0]["input"] = {"a": value}
    failure(post(n, messages=turns), 400, "invalid_request_error")


def test_the_same_bytes_after_a_kill(node):
    """The worker dies in the middle: nobody could tell from the answer."""
    n = node(models={"demo": {"simulate_rate": 200}})
    calm = stream(n, seed=7, max_tokens=300).named_events()

    async def kill():
        await asyncio.get_running_loop().run_in_executor(None, lambda: wait_for(
            "tokens", lambda: n.metrics()["cortex_completion_tokens_total"] > 400))
        assert n.kill_worker(0)

    killed = streams.run(n.address, [request(seed=7, max_tokens=300)], kill)[0].named_events()
    without_id = lambda events: [(name, e) for name, e in events[1:] if name != "ping"]
    assert without_id(killed) == without_id(calm)
    assert n.metrics()["cortex_requests_resumed_total"] == 1


@pytest.mark.sanitized
def test_thoughts_and_calls_after_a_kill(script_node):
    """With blocks open: indices, ids and signature go on as if nothing had happened."""
    script = [{"pieces": [{"text": f"t{i} ", "channel": "reasoning"} for i in range(40)]
               + ["And: ", *CALL]}]
    n = script_node(script, simulate_rate=40)

    async def kill():
        await asyncio.get_running_loop().run_in_executor(None, lambda: wait_for(
            "tokens", lambda: n.metrics()["cortex_completion_tokens_total"] > 10))
        assert n.kill_worker(0)

    message = assemble(streams.run(n.address, [request(tools=[TOOL])], kill)[0].named_events())
    thought, text, call = message["content"]
    assert thought["thinking"] == "".join(f"t{i} " for i in range(40))
    assert text["text"] == "And: " and call["input"] == {"city": "Bonn"}
    assert n.metrics()["cortex_requests_resumed_total"] == 1


def test_slow_reader_pauses_only_itself(node):
    n = node(models={"demo": {"simulate_rate": 0}})
    tokens = 30_000

    async def run():
        slow = await streams.open_stream(n.address, request(seed=1, max_tokens=tokens),
                                         receive_buffer=65536)
        slow.transport.pause_reading()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, lambda: wait_for(
            "a wait for credit", lambda: n.metrics()["cortex_worker_credit_waits_total"] > 0))
        others = await streams.run_streams(
            n.address, [request(seed=seed, max_tokens=300) for seed in range(2, 8)])
        slow.transport.resume_reading()
        await asyncio.wait_for(slow.done, 60 * SLOWNESS)
        return slow, others

    slow, others = asyncio.run(run())
    for seed, one in enumerate(others, 2):
        assert assemble(one.named_events())["content"][0]["text"] == words.text(seed, 300)
    assert assemble(slow.named_events())["content"][0]["text"] == words.text(1, tokens)


# --- the catalogue ---

def test_models_for_both(node):
    n = node(models={"demo": {}, "org/other": {"limit_context": 4096}})
    listing = n.get("/v1/models", {"anthropic-version": "2023-06-01"}).json()
    assert (listing["has_more"], listing["first_id"], listing["last_id"]) == (
        False, "demo", "org/other")
    entry = n.get("/v1/models/org/other").json()
    assert entry == listing["data"][1] and entry["type"] == entry["object"] == "model"
    assert time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry["created"])) == entry["created_at"]
    assert entry["max_tokens"] == entry["max_input_tokens"] == 4096
