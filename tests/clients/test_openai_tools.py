"""Tools and structured output with the official OpenAI SDK: plain, streamed, and its parse helpers."""
import json

import pytest

from conversation import CITY, PERSON, PERSON_SCHEMA, WEATHER, WEATHER_SCHEMA

openai = pytest.importorskip("openai", reason="the openai package is not installed")
pydantic = pytest.importorskip("pydantic", reason="pydantic is not installed")

QUESTION = [{"role": "user", "content": "How is the weather?"}]
TWO = [{"role": "user", "content": "How is it in two cities?"}]
WHO = [{"role": "user", "content": "Who was she?"}]
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "The weather.",
                                         "parameters": WEATHER_SCHEMA}}


class Person(pydantic.BaseModel):
    name: str
    age: int
    likes: list[str]


class GetWeather(pydantic.BaseModel):
    city: str
    days: int


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=30) as c:
        yield c


def test_call_and_result(client):
    """The way of every agent: a call, its result, the answer."""
    first = client.chat.completions.create(model="demo", messages=QUESTION, tools=[TOOL])
    assert first.choices[0].finish_reason == "tool_calls"
    message = first.choices[0].message
    assert message.content.strip() == "I look it up."
    [call] = message.tool_calls
    assert call.type == "function" and call.id and call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == CITY
    second = client.chat.completions.create(model="demo", tools=[TOOL], messages=[
        *QUESTION, message, {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}])
    assert second.choices[0].message.content == WEATHER
    assert second.choices[0].message.tool_calls is None
    assert second.choices[0].finish_reason == "stop"
    assert second.usage.prompt_tokens > 0 and second.usage.completion_tokens > 0


def test_streamed_calls(client):
    """The SDK's own accumulator of events, with two calls."""
    with client.chat.completions.stream(model="demo", messages=TWO, tools=[TOOL]) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert [json.loads(event.arguments) for event in done] == [CITY, {"city": "Rome", "days": 1}]
    assert [event.index for event in done] == [0, 1]
    calls = final.choices[0].message.tool_calls
    assert len({call.id for call in calls}) == 2
    assert final.choices[0].finish_reason == "tool_calls"


def test_tool_choice_none(client):
    """The tools are in the prompt, but nothing is called."""
    answer = client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "Hi."}],
                                            tools=[TOOL], tool_choice="none")
    assert answer.choices[0].message.tool_calls is None
    assert answer.choices[0].finish_reason == "stop"


def test_parsed_call(client):
    tool = openai.pydantic_function_tool(GetWeather, name="get_weather")
    answer = client.chat.completions.parse(model="demo", messages=QUESTION, tools=[tool])
    [call] = answer.choices[0].message.tool_calls
    assert call.function.parsed_arguments == GetWeather(**CITY)


def test_parsed_answer(client):
    answer = client.chat.completions.parse(model="demo", messages=WHO, response_format=Person)
    assert answer.choices[0].message.parsed == Person(**PERSON)
    assert answer.choices[0].message.refusal is None
    with client.chat.completions.stream(model="demo", messages=WHO, response_format=Person) as stream:
        kinds = {event.type for event in stream}
        assert stream.get_final_completion().choices[0].message.parsed == Person(**PERSON)
    assert "content.done" in kinds


def test_json_schema(client):
    """As a plain request, without the SDK's helpers."""
    for response_format in (
            {"type": "json_object"},
            {"type": "json_schema", "json_schema": {"name": "person", "strict": True,
                                                    "schema": PERSON_SCHEMA}}):
        answer = client.chat.completions.create(model="demo", messages=WHO,
                                                response_format=response_format)
        assert json.loads(answer.choices[0].message.content) == PERSON


def test_answer_too_long_to_parse(cortex):
    """parse() says so when the answer was cut; what it got is whole otherwise."""
    n = cortex()
    with openai.OpenAI(base_url=f"{n.url}/v1", api_key="none", max_retries=0) as c:
        with pytest.raises(openai.LengthFinishReasonError) as e:
            c.chat.completions.parse(model="demo", messages=WHO, response_format=Person, max_tokens=2)
    assert e.value.completion.usage.completion_tokens == 2


@pytest.mark.parametrize("change, param", [
    ({"tools": [{"type": "function", "function": {"name": "no good name"}}]}, "tools"),
    ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}},
     "tool_choice"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": 5}}},
     "response_format"),
    ({"messages": [*QUESTION, {"role": "tool", "tool_call_id": "call_unknown", "content": "?"}]},
     "messages"),
])
def test_refused_by_name(cortex, change, param):
    n = cortex()
    with openai.OpenAI(base_url=f"{n.url}/v1", api_key="none", max_retries=0) as c:
        with pytest.raises(openai.BadRequestError) as e:
            c.chat.completions.create(**{"model": "demo", "messages": QUESTION, **change})
    assert e.value.param.split(".")[0].split("[")[0] == param
    assert e.value.type == "invalid_request_error"
