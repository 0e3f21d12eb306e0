"""The official Anthropic SDK, unchanged: only base_url and api_key are ours."""
import asyncio
import hashlib
import json

import pytest

from conversation import CITY, HELLO, PERSON, THOUGHT, WEATHER, WEATHER_SCHEMA
from node import wait_for

anthropic = pytest.importorskip("anthropic", reason="the anthropic package is not installed")
pydantic = pytest.importorskip("pydantic", reason="pydantic is not installed")

TOOL = {"name": "get_weather", "description": "The weather.", "input_schema": WEATHER_SCHEMA}
THINKING = {"type": "enabled", "budget_tokens": 1024}


class Person(pydantic.BaseModel):
    name: str
    age: int
    likes: list[str]


def connect(server, **options):
    return anthropic.Anthropic(**{"base_url": server.url, "api_key": "none", "max_retries": 0,
                                  "timeout": 30, **options})


def ask(text, **more):
    return {"model": "demo", "max_tokens": 2048, "messages": [{"role": "user", "content": text}], **more}


@pytest.fixture
def client(server):
    with connect(server) as c:
        yield c


@pytest.fixture
def c(cortex):
    """With Cortex alone: limits, counts, errors."""
    with connect(cortex()) as c:
        yield c


# --- answers ---

def test_text(client):
    answer = client.messages.create(**ask("Hi."), system=[
        {"type": "text", "text": "Be short.", "cache_control": {"type": "ephemeral"}}])
    assert (answer.type, answer.role, answer.model) == ("message", "assistant", "demo")
    assert [block.type for block in answer.content] == ["text"] and answer.content[0].text == HELLO
    assert answer.stop_reason == "end_turn" and answer.stop_sequence is None
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0
    assert answer.id.startswith("msg_")


def test_stream_helper(client):
    with client.messages.stream(**ask("Hi.")) as stream:
        assert "".join(stream.text_stream) == HELLO
        final = stream.get_final_message()
    assert final.content[0].text == HELLO and final.stop_reason == "end_turn"
    assert final.usage.output_tokens > 0


def test_plain_stream(client):
    events = list(client.messages.create(**ask("Hi."), stream=True))
    assert events[0].type == "message_start" and events[-1].type == "message_stop"
    assert "".join(e.delta.text for e in events if e.type == "content_block_delta") == HELLO


def test_thinking(client):
    """Thinking has a signature, and may be sent back with it."""
    answer = client.messages.create(**ask("Think first."), thinking=THINKING)
    thinking, text = answer.content
    assert (thinking.type, thinking.thinking, text.text) == ("thinking", THOUGHT, HELLO)
    assert thinking.signature
    with client.messages.stream(**ask("Think first."), thinking=THINKING) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_message()
    assert {"thinking", "signature", "text"} <= kinds
    assert final.content[0].thinking == THOUGHT and final.content[0].signature
    again = client.messages.create(model="demo", max_tokens=2048, thinking=THINKING, messages=[
        {"role": "user", "content": "Think first."}, {"role": "assistant", "content": answer.content},
        {"role": "user", "content": "My name is Grace."}])
    assert again.content[-1].type == "text"


def test_call_and_result(client):
    first = client.messages.create(**ask("How is the weather?"), tools=[TOOL])
    assert first.stop_reason == "tool_use"
    text, call = first.content
    assert text.text.strip() == "I look it up."
    assert (call.type, call.name, call.input) == ("tool_use", "get_weather", CITY) and call.id
    second = client.messages.create(model="demo", max_tokens=100, tools=[TOOL], messages=[
        {"role": "user", "content": "How is the weather?"},
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id,
                                      "content": [{"type": "text", "text": "21 degrees"}]}]}])
    assert second.content[0].text == WEATHER and second.stop_reason == "end_turn"


def test_streamed_calls(client):
    with client.messages.stream(**ask("How is it in two cities?"), tools=[TOOL]) as stream:
        pieces = [event.partial_json for event in stream if event.type == "input_json"]
        final = stream.get_final_message()
    calls = [block for block in final.content if block.type == "tool_use"]
    expected = [CITY, {"city": "Rome", "days": 1}]
    assert [call.input for call in calls] == expected and len({call.id for call in calls}) == 2
    decoder, text, found = json.JSONDecoder(), "".join(pieces).strip(), []
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:].strip()
    assert found == expected


def test_tool_runner(client):
    """The SDK calls the function, sends its result and asks again. It would have the server keep the
    conversation (`thread`), and does without where it is told that this cannot be had."""
    asked = []

    @anthropic.beta_tool
    def get_weather(city: str, days: int) -> str:
        """The weather.

        Args:
            city: of which city
            days: for how many days
        """
        asked.append((city, days))
        return "21 degrees"

    runner = client.beta.messages.tool_runner(**ask("How is the weather?"), tools=[get_weather])
    assert runner.until_done().content[0].text == WEATHER
    assert asked == [("Paris", 2)]


def test_parsed(client):
    answer = client.messages.parse(**ask("Who was she?"), output_format=Person)
    assert answer.parsed_output == Person(**PERSON)
    with client.messages.stream(**ask("Who was she?"), output_format=Person) as stream:
        assert stream.get_final_message().parsed_output == Person(**PERSON)


def test_beta(client):
    """?beta=true and any anthropic-beta."""
    answer = client.beta.messages.create(**ask("Hi."), betas=["unheard-of-2031-01-01"])
    assert answer.content[0].text == HELLO


def test_system_in_the_middle(client):
    answer = client.messages.create(model="demo", max_tokens=100, messages=[
        {"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."},
        {"role": "system", "content": "My name is Grace."}, {"role": "user", "content": "Well?"}])
    assert answer.content[0].text == "You are called Grace."


# --- limits and counts ---

def test_limits(c):
    answer = c.messages.create(**{**ask("Hi."), "max_tokens": 1})
    assert answer.stop_reason == "max_tokens" and answer.usage.output_tokens == 1
    answer = c.messages.create(**ask("Hi."), stop_sequences=["never", "fine"])
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "fine")
    assert answer.content[0].text == HELLO.split("fine")[0]
    with c.messages.stream(**ask("Hi."), stop_sequences=["fine"]) as stream:
        final = stream.get_final_message()
    assert (final.stop_reason, final.stop_sequence) == ("stop_sequence", "fine")


@pytest.mark.parametrize("more", [
    {}, {"system": "Be short."}, {"tools": [TOOL]}, {"thinking": THINKING}], ids=str)
def test_count_tokens(c, more):
    """What /v1/messages says of the same request."""
    asked = ask("How is the weather?", **more)
    answer = c.messages.create(**asked)
    del asked["max_tokens"]
    assert c.messages.count_tokens(**asked).input_tokens == sum((
        answer.usage.input_tokens, answer.usage.cache_read_input_tokens or 0,
        answer.usage.cache_creation_input_tokens or 0))


def test_models(c):
    assert [model.id for model in c.models.list()] == ["demo"]
    assert c.models.retrieve("demo").id == "demo"


# --- errors ---

KEY = "sk-test-sdk"
KEYS = {"sdk": {"sha256": hashlib.sha256(KEY.encode()).hexdigest()}}


def test_errors(cortex):
    n = cortex(keys=KEYS)
    with connect(n, api_key="wrong") as c, pytest.raises(anthropic.AuthenticationError) as e:
        c.messages.create(**ask("Hi."))
    assert e.value.body["error"]["type"] == "authentication_error" and e.value.request_id
    assert e.value.body["request_id"] == e.value.request_id
    with connect(n, api_key=KEY) as c:
        with pytest.raises(anthropic.NotFoundError) as e:
            c.messages.create(**{**ask("Hi."), "model": "nope"})
        assert e.value.body["error"]["type"] == "not_found_error"
        for change in ({"max_tokens": 0}, {"messages": []}, {"extra_body": {"temperature": -1}},
                       {"messages": [{"role": "user", "content": [{"type": "tape"}]}]}):
            with pytest.raises(anthropic.BadRequestError) as e:
                c.messages.create(**{**ask("Hi."), **change})
            assert e.value.body["error"]["type"] == "invalid_request_error", change
    with connect(n, api_key=None, auth_token=KEY) as c:
        assert c.messages.create(**ask("Hi.")).content[0].text == HELLO


def test_too_long(node):
    with connect(node(models={"demo": {"limit_context": 100}})) as c:
        with pytest.raises(anthropic.BadRequestError) as e:
            c.messages.create(**ask("nije " * 200))
    assert "prompt is too long" in e.value.body["error"]["message"]


def test_retries_a_full_queue(node):
    """429 with retry-after: the SDK waits and comes again, and then there is room."""
    n = node(models={"demo": {"seats": 1, "simulate_rate": 10}}, gateway={"queue_depth": 0})
    with connect(n) as holder:
        stream = holder.messages.create(**{**ask("Hi."), "max_tokens": 10_000}, stream=True)
        wait_for("a busy worker", lambda: n.metrics()["cortex_model_in_flight"] == 1)
        with connect(n) as c, pytest.raises(anthropic.RateLimitError) as e:
            c.messages.create(**{**ask("Hi."), "max_tokens": 1})
        assert e.value.body["error"]["type"] == "rate_limit_error"
        assert 1 <= int(e.value.response.headers["retry-after"]) <= 60

        async def retry():
            loop = asyncio.get_running_loop()
            async with anthropic.AsyncAnthropic(base_url=n.url, api_key="none", max_retries=5,
                                                timeout=30) as c:
                call = asyncio.ensure_future(c.messages.create(**{**ask("Hi."), "max_tokens": 3}))
                await loop.run_in_executor(None, lambda: wait_for(
                    "a refusal", lambda: n.metrics()["cortex_requests_rejected_total"] >= 2))
                stream.close()
                return await call

        assert asyncio.run(retry()).stop_reason == "max_tokens"
