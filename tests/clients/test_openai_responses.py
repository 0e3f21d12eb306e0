"""POST /v1/responses with the official OpenAI SDK, and what is stored of it."""
import json

import pytest

from conversation import CITY, HELLO, PERSON, THOUGHT, WEATHER, WEATHER_SCHEMA

openai = pytest.importorskip("openai", reason="the openai package is not installed")
pydantic = pytest.importorskip("pydantic", reason="pydantic is not installed")

TOOL = {"type": "function", "name": "get_weather", "description": "The weather.",
        "parameters": WEATHER_SCHEMA, "strict": False}


class Person(pydantic.BaseModel):
    name: str
    age: int
    likes: list[str]


def connect(server):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=30)


@pytest.fixture
def client(server):
    with connect(server) as c:
        yield c


@pytest.fixture
def c(cortex):
    """With Cortex alone: what a server must remember, and what it refuses."""
    with connect(cortex()) as c:
        yield c


# --- answers ---

def test_text(client):
    answer = client.responses.create(model="demo", input="Hi.", instructions="Be short.",
                                     metadata={"a": "b"})
    assert answer.object == "response" and answer.status == "completed" and answer.error is None
    assert answer.output_text == HELLO and answer.id.startswith("resp_")
    assert answer.output[-1].role == "assistant" and answer.output[-1].status == "completed"
    assert answer.instructions == "Be short." and answer.metadata == {"a": "b"}
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert answer.usage.input_tokens_details.cached_tokens == 0


def test_streamed(client):
    events = list(client.responses.create(model="demo", input="Hi.", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created" and events[-1].type == "response.completed"
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == HELLO == events[-1].response.output_text


def test_stream_helper(client):
    with client.responses.stream(model="demo", input="Hi.") as stream:
        text = [event.snapshot for event in stream if event.type == "response.output_text.delta"][-1]
        assert stream.get_final_response().output_text == HELLO == text


def test_reasoning(client):
    answer = client.responses.create(model="demo", input="Think first.", reasoning={"summary": "auto"})
    reasoning, message = answer.output
    assert reasoning.type == "reasoning" and message.type == "message"
    parts = reasoning.content or reasoning.summary
    assert "".join(part.text for part in parts) == THOUGHT
    assert answer.output_text == HELLO


def test_call_and_result(client):
    question = [{"role": "user", "content": "How is the weather?"}]
    first = client.responses.create(model="demo", input=question, tools=[TOOL])
    [call] = [item for item in first.output if item.type == "function_call"]
    assert call.name == "get_weather" and json.loads(call.arguments) == CITY
    assert first.status == "completed" and call.status == "completed"
    second = client.responses.create(model="demo", tools=[TOOL], input=[
        *question, *first.output,
        {"type": "function_call_output", "call_id": call.call_id, "output": "21 degrees"}])
    assert second.output_text == WEATHER


def test_streamed_calls(client):
    with client.responses.stream(model="demo", input="How is it in two cities?", tools=[TOOL]) as stream:
        done = [e for e in stream if e.type == "response.function_call_arguments.done"]
        final = stream.get_final_response()
    expected = [CITY, {"city": "Rome", "days": 1}]
    assert [json.loads(event.arguments) for event in done] == expected
    calls = [item for item in final.output if item.type == "function_call"]
    assert [json.loads(call.arguments) for call in calls] == expected
    assert len({call.call_id for call in calls}) == 2


def test_parsed(client):
    answer = client.responses.parse(model="demo", input="Who was she?", text_format=Person)
    assert answer.output_parsed == Person(**PERSON)
    with client.responses.stream(model="demo", input="Who was she?", text_format=Person) as stream:
        stream.until_done()
        assert stream.get_final_response().output_parsed == Person(**PERSON)


def test_hosted_tools_are_skipped(client):
    answer = client.responses.create(model="demo", input="Hi.", tools=[{"type": "web_search"}, TOOL])
    assert answer.output_text == HELLO


def test_cut(c):
    answer = c.responses.create(model="demo", input="Hi.", max_output_tokens=1)
    assert answer.status == "incomplete"
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert answer.output_text and HELLO.startswith(answer.output_text)
    *_, last = c.responses.create(model="demo", input="Hi.", max_output_tokens=1, stream=True)
    assert last.type == "response.incomplete"


# --- what is stored ---

def test_stored(c):
    made = c.responses.create(model="demo", input="Hi.")
    assert made.store is not False
    found = c.responses.retrieve(made.id)
    assert (found.id, found.output_text, found.usage) == (made.id, HELLO, made.usage)
    items = list(c.responses.input_items.list(made.id))
    assert [item.role for item in items] == ["user"] and items[0].content[0].text == "Hi."
    c.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        c.responses.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        c.responses.create(model="demo", input="And now?", previous_response_id=made.id)


def test_not_stored(c):
    made = c.responses.create(model="demo", input="Hi.", store=False)
    with pytest.raises(openai.NotFoundError):
        c.responses.retrieve(made.id)


def test_streamed_is_stored(c):
    *_, last = c.responses.create(model="demo", input="Hi.", stream=True)
    assert c.responses.retrieve(last.response.id).output_text == HELLO


def test_goes_on(c):
    """What was said before is in the prompt, what was instructed before is not."""
    first = c.responses.create(model="demo", input="My name is Grace.", instructions="Be short.")
    second = c.responses.create(model="demo", input="What am I called?", previous_response_id=first.id)
    assert second.output_text == "You are called Grace."
    assert second.previous_response_id == first.id and second.instructions is None
    alone = c.responses.create(model="demo", input="What am I called?")
    assert alone.output_text == HELLO
    assert second.usage.input_tokens > alone.usage.input_tokens


def test_goes_on_with_a_result(c):
    first = c.responses.create(model="demo", input="How is the weather?", tools=[TOOL])
    [call] = [item for item in first.output if item.type == "function_call"]
    second = c.responses.create(model="demo", tools=[TOOL], previous_response_id=first.id, input=[
        {"type": "function_call_output", "call_id": call.call_id, "output": "21 degrees"}])
    assert second.output_text == WEATHER


# --- errors ---

def test_errors(c):
    with pytest.raises(openai.NotFoundError) as e:
        c.responses.create(model="nope", input="Hi.")
    assert e.value.code == "model_not_found" and e.value.request_id
    with pytest.raises(openai.NotFoundError) as e:
        c.responses.create(model="demo", input="Hi.", previous_response_id="resp_nope")
    assert "resp_nope" in str(e.value)
    for change in ({"temperature": -1}, {"input": 5}, {"background": True}):
        with pytest.raises(openai.BadRequestError) as e:
            c.responses.create(**{"model": "demo", "input": "Hi.", **change})
        assert e.value.param == next(iter(change)), change
