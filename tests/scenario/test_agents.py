"""Agents with the demo model: tool calls and their results through every dialect, over turns that
find what was read before; and what Claude Code, Codex and opencode send, through a real template."""
import json

import pytest

from node import ROOT

pytestmark = pytest.mark.sanitized

DEMO = ROOT / "models" / "demo"
RECORDED = sorted((ROOT / "tests" / "clients" / "recorded").glob("*/*.json"))
QUESTION = "What is the weather in Oslo right now?"
NAME, ABOUT = "get_weather", "Current weather of a city."
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
RESULT = '{"city": "Oslo", "temperature_c": 3, "sky": "cloudy"}'


@pytest.fixture
def demo(node):
    return lambda **keys: node(models={"demo": {
        "simulate": "no", "path": DEMO, "limit_context": 4096, "seats": 32, "memory_mb": 1024,
        **keys}})


class Chat:
    """Each of these asks, keeps what came, and says what matters of it."""

    def __init__(self, n):
        self.n, self.messages = n, [{"role": "user", "content": QUESTION}]

    def ask(self):
        got = self.n.post("/v1/chat/completions", {
            "model": "demo", "messages": self.messages, "temperature": 0, "max_tokens": 200,
            "tools": [{"type": "function", "function": {
                "name": NAME, "description": ABOUT, "parameters": SCHEMA}}]})
        assert got.status == 200, got
        got = got.json()
        self.message, usage = got["choices"][0]["message"], got["usage"]
        return (usage["prompt_tokens"], usage["completion_tokens"],
                usage["prompt_tokens_details"]["cached_tokens"])

    def call(self):
        call = self.message["tool_calls"][0]
        self.messages += [self.message, {"role": "tool", "tool_call_id": call["id"],
                                         "content": RESULT}]
        return call["function"]["name"], json.loads(call["function"]["arguments"])

    def text(self):
        return self.message["content"]


class Messages:
    def __init__(self, n):
        self.n, self.messages = n, [{"role": "user", "content": QUESTION}]

    def ask(self):
        got = self.n.post("/v1/messages", {
            "model": "demo", "messages": self.messages, "temperature": 0, "max_tokens": 200,
            "tools": [{"name": NAME, "description": ABOUT,
                                          "input_schema": SCHEMA}]})
        assert got.status == 200, got
        self.answer = got.json()
        usage = self.answer["usage"]
        cached = usage["cache_read_input_tokens"]
        return usage["input_tokens"] + cached, usage["output_tokens"], cached

    def call(self):
        call = next(b for b in self.answer["content"] if b["type"] == "tool_use")
        self.messages += [{"role": "assistant", "content": self.answer["content"]},
                          {"role": "user", "content": [{
                              "type": "tool_result", "tool_use_id": call["id"],
                              "content": RESULT}]}]
        return call["name"], call["input"]

    def text(self):
        return "".join(b["text"] for b in self.answer["content"] if b["type"] == "text")


class Responses:
    def __init__(self, n):
        self.n, self.items = n, [{"role": "user", "content": QUESTION}]

    def ask(self):
        got = self.n.post("/v1/responses", {
            "model": "demo", "input": self.items, "temperature": 0, "max_output_tokens": 200,
            "store": False,
            "tools": [{"type": "function", "name": NAME, "description": ABOUT,
                       "parameters": SCHEMA}]})
        assert got.status == 200, got
        self.answer = got.json()
        usage = self.answer["usage"]
        return (usage["input_tokens"], usage["output_tokens"],
                usage["input_tokens_details"]["cached_tokens"])

    def call(self):
        call = next(i for i in self.answer["output"] if i["type"] == "function_call")
        self.items += [*self.answer["output"], {
            "type": "function_call_output", "call_id": call["call_id"], "output": RESULT}]
        return call["name"], json.loads(call["arguments"])

    def text(self):
        return "".join(part["text"] for item in self.answer["output"] if item["type"] == "message"
                       for part in item["content"])


@pytest.mark.parametrize("dialect", [Chat, Messages, Responses])
def test_a_call_and_its_result(demo, dialect):
    """The second turn finds the first one's prompt and answer, as the very tokens they were."""
    agent = dialect(demo())
    prompt, answer, cached = agent.ask()
    assert cached == 0
    assert agent.call() == (NAME, {"city": "Oslo"})
    longer, _, cached = agent.ask()
    assert longer > prompt + answer and cached >= prompt + answer - 1, (prompt, answer, cached)
    assert "Oslo" in agent.text() or "3" in agent.text(), agent.text()


def test_the_dialects_say_the_same(demo):
    """One conversation in three forms: the same tokens in, the same tokens out."""
    n = demo(prefix_cache_percent=0)
    seen = []
    for dialect in (Chat, Messages, Responses):
        agent = dialect(n)
        first = agent.ask()
        call = agent.call()
        seen.append((first, call, agent.ask(), agent.text()))
    assert seen[0] == seen[1] == seen[2]


def test_a_changed_call_is_what_the_client_says(demo):
    agent = Chat(demo())
    agent.ask()
    agent.call()
    call = agent.messages[-2]["tool_calls"][0]["function"]
    call["arguments"] = json.dumps({"city": "Bergen"})
    shown = agent.n.post("/apply-template", {"messages": agent.messages}).json()["prompt"]
    said = shown.split("<|im_start|>assistant")[1].split("<|im_end|>")[0]
    assert "Bergen" in said and "Oslo" not in said
    assert agent.ask()[0] > 0


def test_a_system_message_in_the_middle(demo):
    """The demo's template takes one at the beginning only, as Qwen's do."""
    n = demo()
    messages = [{"role": "user", "content": "Hi"}, {"role": "system", "content": "Be brief."},
                {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "And?"}]
    shown = n.post("/apply-template", {"messages": messages}).json()["prompt"]
    assert "Hi<|im_end|>\n<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>assistant" in shown
    got = n.post("/v1/messages", {"model": "demo", "max_tokens": 20, "messages": messages})
    assert got.status == 200, got


@pytest.fixture(scope="module")
def recorded_bodies():
    found = [json.loads(path.read_text()) for path in RECORDED]
    return [r for r in found if isinstance(r.get("body"), dict)]


@pytest.mark.parametrize("path, asks", [
    ("/v1/messages", "/v1/messages/count_tokens"), ("/v1/chat/completions", "/tokenize"),
    ("/v1/responses", "/v1/responses")])
def test_what_programs_send(demo, recorded_bodies, path, asks):
    """Every recorded request goes through the demo's template and tokenizer; it may be too long for
    the demo, or hold a picture, and nothing else is wrong with it."""
    n = demo(path=DEMO)
    bodies = [{**r["body"], "model": "demo", "stream": False} for r in recorded_bodies
              if r["path"] == path]
    assert len(bodies) > 5
    for body in bodies:
        if asks == "/tokenize":
            body = {key: body[key] for key in ("model", "messages", "tools") if key in body}
        got = n.post(asks, body)
        if got.status == 400:
            said = got.error()["message"]
            assert "prompt is too long" in said or "image" in json.dumps(body), got
        else:
            assert got.status == 200, got
