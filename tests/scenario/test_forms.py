"""Answers with a form: schemas and tool calls hold whatever the model would have said, here the demo
model's noise at temperature 2, alone, side by side, and when its worker is killed."""
import json
import random
from signal import SIGKILL

import jsonschema
import pytest

import streams
from node import ROOT

pytestmark = pytest.mark.sanitized

DEMO = ROOT / "models" / "demo"

SCHEMAS = [
    {"type": "object", "properties": {
        "name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 0,
                                                             "maximum": 120},
        "tags": {"type": "array", "items": {"enum": ["a", "b\n", "<|im_end|>"]}, "maxItems": 4}},
     "required": ["name", "age", "tags"], "additionalProperties": False},
    {"type": "array", "minItems": 1, "maxItems": 2, "items": {"anyOf": [
        {"type": "null"}, {"const": 7}, {"type": "string", "pattern": "^[a-c]{2,5}$"}]}},
    {"$ref": "#/$defs/node", "$defs": {"node": {
        "type": "object", "properties": {
            "value": {"type": "boolean"},
            "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
        "required": ["value", "next"], "additionalProperties": False}}},
    {"type": "object", "properties": {"when": {"type": "string", "format": "date"}},
     "required": ["when"], "additionalProperties": False},
]
WEATHER = {"type": "function", "function": {
    "name": "get_weather", "strict": True, "parameters": {
        "type": "object", "properties": {
            "city": {"type": "string", "maxLength": 20},
            "days": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["city", "days"], "additionalProperties": False}}}
LOOSE = {"type": "function", "function": {"name": "note", "parameters": {"type": "object"}}}
TOO_MUCH = {"type": "function", "function": {
    "name": "odd", "strict": True, "parameters": {
        "type": "object", "properties": {"x": {"type": "string", "pattern": "(?=a)b"}},
        "required": ["x"], "additionalProperties": False}}}


@pytest.fixture
def demo(node):
    return lambda **keys: node(models={"demo": {
        "simulate": "no", "path": DEMO, "limit_context": 4096, "seats": 32, "memory_mb": 1024,
        **keys}})


def choice(n, seed=1, **more):
    got = n.chat(prompt="Hello!", seed=seed, **{"temperature": 2, "max_tokens": 1500, **more})
    assert got.status == 200, got
    return got.json()["choices"][0], got


def schema_format(schema):
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_schema_holds(demo, schema):
    n, ended = demo(), 0
    for seed in range(12):
        c, _ = choice(n, seed, response_format=schema_format(schema))
        if c["finish_reason"] == "stop":
            jsonschema.validate(json.loads(c["message"]["content"]), schema)
            ended += 1
    assert ended > 3  # noise need not come to an end


def test_any_object(demo):
    n = demo()
    found = [choice(n, seed, response_format={"type": "json_object"}, temperature=1)[0]
             for seed in range(8)]
    ended = [c for c in found if c["finish_reason"] == "stop"]
    assert len(ended) > 3
    assert all(isinstance(json.loads(c["message"]["content"]), dict) for c in ended)


def test_behind_the_reasoning(demo):
    """The form begins where the reasoning ends, however the model reasons."""
    n = demo()
    for seed in range(6):
        c, _ = choice(n, seed, temperature=1, response_format=schema_format(SCHEMAS[0]),
                      chat_template_kwargs={"enable_thinking": True})
        if c["finish_reason"] == "stop":
            jsonschema.validate(json.loads(c["message"]["content"]), SCHEMAS[0])


def calls_of(c):
    assert c["finish_reason"] in ("tool_calls", "length"), c
    calls = c["message"].get("tool_calls", [])
    if c["finish_reason"] == "tool_calls":
        assert calls and c["message"]["content"] is None
    return [(call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in calls] if c["finish_reason"] == "tool_calls" else []


def test_a_call_that_is_required(demo):
    n, seen = demo(), []
    for seed in range(10):
        c, got = choice(n, seed, tools=[WEATHER, LOOSE], tool_choice="required",
                        parallel_tool_calls=False)
        assert got.field("x-cortex-tools") is None
        seen += calls_of(c)
    assert seen
    for name, arguments in seen:
        assert name in ("get_weather", "note") and isinstance(arguments, dict)
        if name == "get_weather":
            jsonschema.validate(arguments, WEATHER["function"]["parameters"])


def test_a_call_by_name(demo):
    n = demo()
    for seed in range(6):
        c, _ = choice(n, seed, tools=[LOOSE, WEATHER],
                      tool_choice={"type": "function", "function": {"name": "get_weather"}})
        assert all(name == "get_weather" for name, _ in calls_of(c))


def test_one_call_at_a_time(demo):
    n = demo()
    for seed in range(8):
        c, _ = choice(n, seed, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False)
        assert len(calls_of(c)) <= 1


def test_a_schema_beyond_us(demo):
    """Of an answer it is refused; of a tool it is let go, and that is said."""
    n = demo()
    got = n.chat(response_format=schema_format(TOO_MUCH["function"]["parameters"]))
    assert got.status == 400 and "#/properties/x/pattern" in got.error()["message"], got
    for _ in range(2):  # made, and remembered
        c, got = choice(n, temperature=1, tools=[TOO_MUCH, WEATHER], tool_choice={
            "type": "function", "function": {"name": "odd"}})
        assert got.field("x-cortex-tools") == "unconstrained"
        assert all(isinstance(arguments["x"], str) for _, arguments in calls_of(c) if arguments)
    stream = n.chat(stream=True, tools=[TOO_MUCH], temperature=0, max_tokens=5)
    assert stream.field("x-cortex-tools") == "unconstrained"


@pytest.mark.threads
def test_words_or_a_call(demo):
    """auto: text, or calls; with a schema too: what is said keeps it."""
    n = demo()
    for seed in range(8):
        c, _ = choice(n, seed, temperature=1, tools=[WEATHER],
                      response_format=schema_format(SCHEMAS[0]))
        if c["finish_reason"] == "tool_calls":
            calls_of(c)
        elif c["finish_reason"] == "stop":
            jsonschema.validate(json.loads(c["message"]["content"]), SCHEMAS[0])


@pytest.mark.threads
def test_kills_under_forms(demo):
    """A form is rebuilt from the tokens so far: the bytes of the calm run."""
    n = demo(workers=2)
    long = {"type": "array", "minItems": 60, "items": {"anyOf": [
        {"type": "string", "maxLength": 9}, {"type": "integer", "minimum": -5, "maximum": 77}]}}
    forms = [{"response_format": schema_format(schema)} for schema in (long, SCHEMAS[0], long)]
    forms += [{"tools": [WEATHER, LOOSE], "tool_choice": "required"}, {"tools": [WEATHER, LOOSE]}]
    asked = [streams.chat_request("demo", seed, 500, prompt="Hello!", temperature=1.5,
                                  **forms[seed % len(forms)]) for seed in range(60)]
    calm = [stream.normal_bytes() for stream in streams.run(n.address, asked, timeout=120)]
    r = random.Random(11)

    async def kill():
        import asyncio
        for _ in range(6):
            await asyncio.sleep(r.uniform(0.05, 0.2))
            n.kill_worker(r.choice([0, 1]), SIGKILL)

    found = streams.run(n.address, asked, disturb=kill, timeout=240)
    assert [stream.normal_bytes() for stream in found] == calm
    assert n.metrics()["cortex_request_errors_total"] == 0
    assert n.metrics()["cortex_requests_resumed_total"] > 0
