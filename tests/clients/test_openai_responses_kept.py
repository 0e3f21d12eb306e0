"""Responses with the official OpenAI SDK: custom tools, chains, what is kept, what is cancelled."""
import json

import pytest

from node import wait_for

openai = pytest.importorskip("openai", reason="the openai package is not installed")
pydantic = pytest.importorskip("pydantic", reason="pydantic is not installed")

PATCH = {"type": "custom", "name": "apply_patch", "description": "Changes files."}
ANSWERS = [
    {"match": "applied", "pieces": ["It is ", "done."]},
    {"match": "change", "pieces": ["<tool_call>", json.dumps(
        {"name": "apply_patch", "arguments": {"input": "*** a\n+ \"b\""}}), "</tool_call>"]},
    {"match": "person", "pieces": ['{"name": "Ada"', ', "age": 36}']},
    {"pieces": ["Hel", "lo."]},
]


class Person(pydantic.BaseModel):
    name: str
    age: int


@pytest.fixture
def c(node, tmp_path):
    script = tmp_path / "script.json"
    script.write_text(json.dumps(ANSWERS))
    n = node(models={"demo": {"simulate_script": script}, "slow": {"simulate_rate": 20}})
    with openai.OpenAI(base_url=f"{n.url}/v1", api_key="none", max_retries=0, timeout=30) as client:
        client.node = n
        yield client


def test_a_custom_tool(c):
    with c.responses.stream(model="demo", input="change it", tools=[PATCH]) as stream:
        deltas = [e.delta for e in stream if e.type == "response.custom_tool_call_input.delta"]
        first = stream.get_final_response()
    [call] = first.output
    assert call.type == "custom_tool_call" and call.input == "*** a\n+ \"b\"" == "".join(deltas)
    second = c.responses.create(model="demo", previous_response_id=first.id, tools=[PATCH], input=[
        {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "applied"}])
    assert second.output_text == "It is done."


def test_parse(c):
    answer = c.responses.parse(model="demo", input="a person", text_format=Person)
    assert answer.output_parsed == Person(name="Ada", age=36)


def test_a_chain(c):
    ids, tokens = [None], []
    for text in ("one", "two", "three"):
        answer = c.responses.create(model="demo", input=text, previous_response_id=ids[-1] or openai.omit)
        tokens.append(answer.usage.input_tokens)
        ids.append(answer.id)
    assert tokens == sorted(set(tokens))
    assert [c.responses.retrieve(id).output_text for id in ids[1:]] == ["Hello."] * 3
    c.responses.delete(ids[2])
    with pytest.raises(openai.NotFoundError) as e:
        c.responses.create(model="demo", input="four", previous_response_id=ids[2])
    assert e.value.code == "previous_response_not_found"
    assert c.responses.create(model="demo", input="four", previous_response_id=ids[3]).output_text


def test_input_items(c):
    answer = c.responses.create(model="demo", input=[{"role": "user", "content": f"item {i}"}
                                                     for i in range(45)])
    pages = c.responses.input_items.list(answer.id, order="asc", limit=10)
    assert [item.content[0].text for item in pages] == [f"item {i}" for i in range(45)]


def test_cancel(c):
    stream = c.responses.create(model="slow", input="hello", stream=True)
    first = next(stream)
    assert c.responses.retrieve(first.response.id).status == "in_progress"
    assert c.responses.cancel(first.response.id).status == "cancelled"
    *_, last = stream
    assert last.type == "response.failed" and last.response.status == "cancelled"
    assert c.responses.retrieve(first.response.id).status == "cancelled"
    wait_for("no request", lambda: c.node.metrics()["cortex_requests_open"] == 0)
