"""The official Anthropic SDK against a node, unchanged: only base_url and api_key are ours."""
import asyncio
import hashlib
import json

import pytest

import words

anthropic = pytest.importorskip("anthropic", reason="the anthropic package is not installed")

MESSAGES = [{"role": "user", "content": "hello"}]
TOOL = {"name": "get_weather", "description": "of a city",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
SCRIPT = [
    {"match": "18 degrees", "pieces": ["It is", " warm."]},
    {"pieces": [{"text": "Where? ", "channel": "reasoning"}, {"text": "Bonn.", "channel": "reasoning"},
                "I look.", "<tool_call>", '{"name": "get_weather", "arguments": ',
                '{"city": "Bonn"}}', "</tool_call>"]},
]


def client(node, **options):
    options = {"api_key": "none", "max_retries": 0, "timeout": 30, **options}
    return anthropic.Anthropic(base_url=node.url, **options)


@pytest.fixture
def tool_node(node, tmp_path):
    path = tmp_path / "script.json"
    path.write_text(json.dumps(SCRIPT))
    return node(models={"demo": {"simulate_script": path}})


def test_message(node):
    with client(node()) as c:
        raw = c.messages.with_raw_response.create(
            model="demo", max_tokens=6, messages=MESSAGES, extra_body={"seed": 5})
        message = raw.parse()
    assert message._request_id == raw.headers["request-id"]
    assert message.content[0].text == words.text(5, 6)
    assert (message.role, message.stop_reason, message.stop_sequence) == (
        "assistant", "max_tokens", None)
    assert message.usage.output_tokens == 6 and message.usage.input_tokens == 3


def test_stream_helper(node):
    with client(node(models={"demo": {"simulate_tokens": 6}})) as c:
        with c.messages.stream(model="demo", max_tokens=60, messages=MESSAGES,
                               extra_body={"seed": 5}) as stream:
            text = "".join(stream.text_stream)
            message = stream.get_final_message()
    assert text == message.content[0].text == words.text(5, 6)
    assert message.stop_reason == "end_turn" and message.usage.output_tokens == 6


def test_async_stream(node):
    n = node()

    async def run():
        async with anthropic.AsyncAnthropic(base_url=n.url, api_key="none", max_retries=0) as c:
            stream = await c.messages.create(model="demo", max_tokens=6, messages=MESSAGES,
                                             stream=True, extra_body={"seed": 5})
            return [event async for event in stream]

    events = asyncio.run(run())
    assert [e.type for e in events] == [
        "message_start", "content_block_start", *["content_block_delta"] * 6,
        "content_block_stop", "message_delta", "message_stop"]


def test_a_turn_with_tools(tool_node):
    """What came is sent back as it came, with the result: the conversation goes on."""
    ask = {"model": "demo", "max_tokens": 100, "tools": [TOOL],
           "thinking": {"type": "enabled", "budget_tokens": 1024}}
    with client(tool_node) as c:
        with c.messages.stream(messages=MESSAGES, **ask) as stream:
            thoughts = "".join(e.thinking for e in stream if e.type == "thinking")
            first = stream.get_final_message()
        assert first.stop_reason == "tool_use"
        assert [b.type for b in first.content] == ["thinking", "text", "tool_use"]
        assert first.content[0].thinking == thoughts == "Where? Bonn."
        assert first.content[0].signature
        call = first.content[2]
        assert (call.name, call.input) == ("get_weather", {"city": "Bonn"})
        second = c.messages.create(messages=[
            *MESSAGES, {"role": "assistant", "content": first.content},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": call.id, "content": "18 degrees"}]}], **ask)
    assert second.content[0].text == "It is warm." and second.stop_reason == "end_turn"


def test_count_tokens(node):
    with client(node()) as c:
        count = c.messages.count_tokens(model="demo", messages=MESSAGES, system="be brief",
                                        tools=[TOOL])
        message = c.messages.create(model="demo", max_tokens=1, messages=MESSAGES,
                                    system="be brief", tools=[TOOL])
    assert count.input_tokens == message.usage.input_tokens


def test_models(node):
    with client(node(models={"demo": {}, "org/other": {}})) as c:
        assert [m.id for m in c.models.list()] == ["demo", "org/other"]
        one = c.models.retrieve("demo")
    assert (one.type, one.display_name) == ("model", "demo") and one.created_at.year >= 2020


def test_errors(node):
    key = "sk-ant-test"
    n = node(models={"demo": {}, "small": {"limit_context": 64}},
             keys={"k": {"sha256": hashlib.sha256(key.encode()).hexdigest(), "models": "demo small"}})

    def fails(kind, api_key=key, **more):
        with client(n, api_key=api_key) as c, pytest.raises(kind) as e:
            c.messages.create(**{"model": "demo", "max_tokens": 1, "messages": MESSAGES, **more})
        assert e.value.request_id.startswith("req_")
        return e.value.body["error"]

    assert fails(anthropic.AuthenticationError, "wrong")["type"] == "authentication_error"
    assert fails(anthropic.NotFoundError, model="dem")["type"] == "not_found_error"
    assert "Field required" in fails(anthropic.BadRequestError, messages=[{"role": "user"}])["message"]
    assert "prompt is too long" in fails(
        anthropic.BadRequestError, model="small",
        messages=[{"role": "user", "content": "word " * 100}])["message"]


def test_an_error_in_a_stream(node):
    n = node(models={"demo": {"simulate_rate": 5}}, gateway={"request_timeout_s": 1})
    with client(n) as c, pytest.raises(anthropic.APIStatusError) as e:
        with c.messages.stream(model="demo", max_tokens=1000, messages=MESSAGES) as stream:
            stream.until_done()
    assert e.value.body["error"]["type"] == "timeout_error"
