"""Tool calls through the chat API: the forms, every cut, kills, what a model can do."""
import json
import random
from signal import SIGKILL

import pytest

import checkpoints
import streams
from node import ROOT

TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "The weather of a place.",
        "parameters": {"type": "object", "properties": {
            "city": {"type": "string"}, "days": {"type": "integer"},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}}},
    {"type": "function", "function": {"name": "now"}},
]
JSON_CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "K\\u00f6ln", "days": 2}}\n' \
            '</tool_call>'
XML_CALL = '<tool_call>\n<function=get_weather>\n<parameter=city>\n  two\n\nlines\n</parameter>\n' \
           '<parameter=days>\n3\n</parameter>\n<parameter=note>\nnull\n</parameter>\n</function>\n' \
           '</tool_call>'
XML_ARGUMENTS = {"city": "  two\n\nlines", "days": 3, "note": None}
NOW_CALL = '<tool_call>\n<function=now>\n</function>\n</tool_call>'


def scripted(node, tmp_path, answers, **keys):
    path = tmp_path / "script.json"
    path.write_text(json.dumps(answers))
    return node(models={"demo": {"simulate_script": path, **keys}})


def cut(text, size, **more):
    return [{"text": text[i:i + size], **more} for i in range(0, len(text), size)]


def ask(n, prompt, **more):
    response = n.chat(prompt=prompt, tools=TOOLS, max_tokens=10000, **more)
    assert response.status == 200, response
    return response.json()["choices"][0]


def calls_of(message):
    return [(c["function"]["name"], json.loads(c["function"]["arguments"]))
            for c in message.get("tool_calls", [])]


def joined(stream):
    """The message that the pieces of a stream make, and its finish reason."""
    message, reason = {"content": "", "reasoning_content": ""}, None
    for choice in stream.choices():
        delta = choice["delta"]
        for key in ("content", "reasoning_content"):
            message[key] += delta.get(key) or ""
        for call in delta.get("tool_calls", []):
            calls = message.setdefault("tool_calls", [])
            if call["index"] == len(calls):
                calls.append({"id": call["id"], "function": {
                    "name": call["function"]["name"], "arguments": ""}})
            calls[call["index"]]["function"]["arguments"] += call["function"].get("arguments", "")
        reason = choice["finish_reason"] or reason
    return message, reason


CASES = {
    "json": (JSON_CALL, [("get_weather", {"city": "Köln", "days": 2})], None),
    "xml": ("Let me see." + XML_CALL + "\n", [("get_weather", XML_ARGUMENTS)], "Let me see."),
    "several": (JSON_CALL + "\n" + NOW_CALL,
                [("get_weather", {"city": "Köln", "days": 2}), ("now", {})], None),
    "untagged": ('{"name": "now", "arguments": {}}', [("now", {})], None),
    "other": ('<tool_call>\n{"name": "other", "arguments": {}}\n</tool_call>\n', [],
              '<tool_call>\n{"name": "other", "arguments": {}}\n</tool_call>\n'),
}


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_forms_in_pieces(node, tmp_path, size):
    n = scripted(node, tmp_path, [{"match": name, "pieces": cut(text, size)}
                                  for name, (text, _, _) in CASES.items()], simulate_rate=0)
    for name, (_, calls, content) in CASES.items():
        choice = ask(n, name)
        assert calls_of(choice["message"]) == calls, name
        assert (choice["message"]["content"] or None) == content
        assert choice["finish_reason"] == ("tool_calls" if calls else "stop")
        stream = streams.run(n.address, [streams.chat_request("demo", 1, 10000, prompt=name,
                                                              tools=TOOLS)])[0]
        message, reason = joined(stream)
        assert calls_of(message) == calls
        assert (message["content"] or None) == content
        assert reason == choice["finish_reason"]


def test_a_call_ends_the_reasoning(node, tmp_path):
    n = scripted(node, tmp_path, {"pieces": cut("I look. " + NOW_CALL, 4, channel="reasoning")
                                  + cut("\n\n", 4) + ["Done."]}, simulate_rate=0)
    choice = ask(n, "x")
    assert choice["message"]["reasoning_content"] == "I look. "
    assert calls_of(choice["message"]) == [("now", {})]
    assert choice["message"]["content"] == "\n\nDone."
    assert choice["finish_reason"] == "tool_calls"


def test_what_the_request_says_about_calls(node, tmp_path):
    text = NOW_CALL + "\n" + NOW_CALL
    n = scripted(node, tmp_path, {"pieces": cut(text, 5)}, simulate_rate=0)
    assert len(calls_of(ask(n, "x")["message"])) == 2
    one = ask(n, "x", parallel_tool_calls=False)
    assert calls_of(one["message"]) == [("now", {})] and one["finish_reason"] == "tool_calls"
    none = ask(n, "x", tool_choice="none")
    assert none["message"]["content"] == text and none["finish_reason"] == "stop"
    assert "tool_calls" not in none["message"]
    stopped = ask(n, "x", stop=["function"])  # stop strings are for content
    assert len(calls_of(stopped["message"])) == 2


def test_an_empty_answer_is_an_error(node, tmp_path):
    n = scripted(node, tmp_path, {"pieces": ["", ""]})
    response = n.chat(prompt="x")
    assert response.status == 500, response
    assert response.json()["error"]["code"] == "empty_answer"


def test_kills_under_calls(node, tmp_path):
    """Two workers, kills in the middle of calls: the bytes of the calm run."""
    text = "Well. " + JSON_CALL + "\n" + XML_CALL + "\n" + NOW_CALL
    n = scripted(node, tmp_path, {"pieces": cut("hm, hm. ", 3, channel="reasoning") + cut(text, 2)},
                 workers=2, simulate_rate=100)
    asked = [streams.chat_request("demo", seed, 10000, tools=TOOLS) for seed in range(40)]
    calm = [stream.normal_bytes() for stream in streams.run(n.address, asked)]
    r = random.Random(5)

    async def kill():
        import asyncio
        for _ in range(6):
            await asyncio.sleep(r.uniform(0.05, 0.3))
            n.kill_worker(r.choice([0, 1]), SIGKILL)

    found = streams.run(n.address, asked, disturb=kill)
    assert [stream.normal_bytes() for stream in found] == calm
    message, reason = joined(found[0])
    assert [name for name, _ in calls_of(message)] == ["get_weather", "get_weather", "now"]
    assert reason == "tool_calls"
    assert n.metrics()["cortex_request_errors_total"] == 0


def facts(n, model="demo"):
    entry = n.get("/v1/models/" + model).json()
    return entry["tool_call"], entry["reasoning"], entry["capabilities"]


@pytest.mark.parametrize("name, tools, reasoning", [
    ("qwen3_5_tied", True, True), ("qwen2", True, False), ("llama3", False, False)])
def test_what_a_model_can_do(node, name, tools, reasoning):
    n = node(models={"demo": checkpoints.model(name)})
    found = ["completion", "chat"] + ["tools"] * tools + ["reasoning"] * reasoning
    assert facts(n) == (tools, reasoning, found)
    response = n.chat(prompt="hello", tools=TOOLS, max_tokens=2)
    if tools:
        assert response.status == 200, response
    else:
        assert response.status == 400
        error = response.json()["error"]
        assert error["code"] == "unsupported_parameter"
        assert error["message"].startswith("tools: ")


def test_the_simulated_model_can_do_all(node):
    assert facts(node()) == (True, True, ["completion", "chat", "tools", "reasoning",
                                             "embedding"])


def test_the_demo_model_reads_what_it_called(node):
    """History with calls and results goes through its template, as transformers renders it."""
    n = node(models={"demo": {"simulate": "no", "path": ROOT / "models" / "demo",
                              "limit_context": 4096, "memory_mb": 1024}})
    call = {"id": "call_1", "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city": "Köln", "days": 2}'}}
    messages = [{"role": "user", "content": "And in Köln?"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "call_1", "content": "rain"}]
    rendered = n.post("/apply-template", {"model": "demo", "messages": messages,
                                          "tools": TOOLS}).json()["prompt"]
    assert ("<tool_call>\n<function=get_weather>\n<parameter=city>\nKöln\n</parameter>\n"
            "<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>") in rendered
    assert "<tool_response>\nrain\n</tool_response>" in rendered
    response = n.post("/v1/chat/completions", {"model": "demo", "messages": messages,
                                               "tools": TOOLS, "max_tokens": 5})
    assert response.status == 200, response
