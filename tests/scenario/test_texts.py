"""/tokenize, /detokenize, /apply-template: what the simulated model's tokenizer and template do."""
import json

import pytest

import words
from node import wait_for

TEXT = "nije bibo schön 日本 hello"
MESSAGES = [{"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "nije"},
                                         {"type": "text", "text": " bibo"}]},
            {"role": "assistant", "reasoning_content": "hm", "content": "zahi"},
            {"role": "user", "content": "and?"}]
RENDERED = "system: be brief\nuser: nije bibo\nassistant: (hm) zahi\nuser: and?\n"
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def post(node, path, status=200, **body):
    got = node.post(path, body)
    assert got.status == status, got
    return got.json() if status == 200 else got.error()


def test_tokenize(node):
    n = node(models={"demo": {"limit_context": 4096}})
    ids = words.tokens(TEXT)
    for name in ("prompt", "content"):
        assert post(n, "/tokenize", model="demo", **{name: TEXT}) == {
            "tokens": ids, "count": 5, "max_model_len": 4096}
    assert post(n, "/tokenize", prompt="")["tokens"] == []
    got = post(n, "/tokenize", prompt=TEXT, return_token_strs=True)
    assert got["token_strs"] == words.pieces(TEXT)
    assert post(n, "/tokenize", content=TEXT, with_pieces=True)["tokens"] == [
        {"id": id, "piece": piece} for id, piece in zip(ids, words.pieces(TEXT))]
    both = post(n, "/tokenize", content=TEXT, with_pieces=True, return_token_strs=True)
    assert [t["piece"] for t in both["tokens"]] == both["token_strs"]


def test_pieces_that_are_not_utf8(node):
    """A character across two tokens: the bytes of each, as llama-server gives them."""
    n = node()
    text = "日" * 100
    got = post(n, "/tokenize", prompt=text, with_pieces=True, return_token_strs=True)
    pieces = [t["piece"] for t in got["tokens"]]
    assert [type(piece) for piece in pieces] == [list, list]
    assert (bytes(pieces[0]) + bytes(pieces[1])).decode() == text
    assert got["token_strs"] == ["日" * 66 + "\ufffd\ufffd", "\ufffd" + "日" * 33]


def test_there_and_back(node):
    n = node()
    text = words.text(5, 300)
    ids = post(n, "/tokenize", prompt=text)["tokens"]
    assert ids == [words.token(5, i) for i in range(300)]
    assert post(n, "/detokenize", tokens=ids) == {"prompt": text, "content": text}
    assert post(n, "/detokenize", tokens=[])["prompt"] == ""


def test_template(node):
    n = node()
    assert post(n, "/apply-template", messages=MESSAGES) == {"prompt": RENDERED + "assistant:"}
    assert post(n, "/apply-template", messages=MESSAGES, add_generation_prompt=False) == {
        "prompt": RENDERED}
    got = post(n, "/apply-template", messages=MESSAGES, tools=TOOLS, tool_choice="auto",
               chat_template_kwargs={"enable_thinking": False}, reasoning_effort="low")
    assert got["prompt"] == (
        "tools: " + json.dumps(TOOLS, separators=(",", ":")) + '\nreasoning_effort: "low"\n'
        'chat_template_kwargs: {"enable_thinking":false}\n' + RENDERED + "assistant:")


def test_the_three_and_chat_agree(node):
    """The tokens of the messages are those of the rendered text, and what chat counts."""
    n = node()
    rendered = post(n, "/apply-template", messages=MESSAGES)["prompt"]
    got = post(n, "/tokenize", messages=MESSAGES)
    assert got["tokens"] == words.tokens(rendered)
    assert got["tokens"] == post(n, "/tokenize", prompt=rendered)["tokens"]
    chat = post(n, "/v1/chat/completions", model="demo", messages=MESSAGES, max_tokens=1)
    assert chat["usage"]["prompt_tokens"] == got["count"]
    with_tools = post(n, "/tokenize", messages=MESSAGES, tools=TOOLS, add_generation_prompt=False)
    assert with_tools["count"] == got["count"] + 2 - 1


def test_without_a_model(node):
    n = node(models={"demo": {}, "other": {}}, aliases={"fast": "demo"})
    for path, body in (("/tokenize", {"prompt": "x"}), ("/detokenize", {"tokens": [1]}),
                       ("/apply-template", {"messages": MESSAGES})):
        error = post(n, path, 400, **body)
        assert error["param"] == "model" and "2" in error["message"], error
        assert post(n, path, 404, model="dmo", **body)["code"] == "model_not_found"
        assert post(n, path, model="fast", **body) == post(n, path, model="demo", **body)


@pytest.mark.parametrize("path, body, param", [
    ("/tokenize", {}, "prompt"),
    ("/tokenize", {"prompt": "a", "content": "a"}, "prompt"),
    ("/tokenize", {"prompt": "a", "messages": MESSAGES}, "prompt"),
    ("/tokenize", {"prompt": "a", "tools": TOOLS}, "tools"),
    ("/tokenize", {"prompt": [1, 2]}, "prompt"),
    ("/tokenize", {"messages": [5]}, "messages"),
    ("/tokenize", {"messages": MESSAGES, "tools": [1]}, "tools"),
    ("/tokenize", {"prompt": "a", "add_special_tokens": 1}, "add_special_tokens"),
    ("/detokenize", {}, "tokens"),
    ("/detokenize", {"tokens": "a"}, "tokens"),
    ("/detokenize", {"tokens": [1, "a"]}, "tokens"),
    ("/detokenize", {"tokens": [-1]}, "tokens"),
    ("/apply-template", {}, "messages"),
    ("/apply-template", {"messages": []}, "messages"),
])
def test_bad_fields(node, path, body, param):
    error = post(node(), path, 400, **body)
    assert error["code"] == "invalid_request_body" and error["param"].startswith(param), error


def test_refused_by_the_worker(node):
    error = post(node(), "/detokenize", 400, tokens=[1, 5000])
    assert "prompt[1]: token 5000" in error["message"], error


@pytest.mark.parametrize("field, value", [
    ("functions", [{"name": "f"}]), ("function_call", "f"),
])
def test_not_to_be_had(node, field, value):
    error = post(node(), "/apply-template", 400, messages=MESSAGES, **{field: value})
    assert error["code"] == "unsupported_parameter" and error["param"] == field, error


def test_the_slip_rule_and_methods(node):
    n = node()
    body = {"model": "demo", "prompt": "x", "max_tokens": 1}
    assert n.post("/v1/v1/completions", body).status == 200
    assert n.post("/v1/tokenize", {"prompt": "x"}).status == 404
    got = n.get("/tokenize")
    assert got.status == 405 and got.field("allow") == "POST"


def test_longer_than_the_context(node):
    """A text may be longer than what the model could answer to."""
    n = node(models={"demo": {"limit_context": 16}})
    assert post(n, "/tokenize", prompt="word " * 1000)["count"] == 1000


@pytest.mark.sanitized
@pytest.mark.parametrize("at", [1, 50, 120])
def test_a_death_in_the_middle(node, at):
    """They are requests like any other: journaled, and resumed."""
    text = words.text(5, 120)
    ids = [words.token(5, i) for i in range(120)]
    fault = {"simulate_fault": f"kill@token:{at}@once"}
    answers = (("/tokenize", {"prompt": text, "with_pieces": True},
                lambda got: [t["id"] for t in got["tokens"]] == ids
                and "".join(t["piece"] for t in got["tokens"]) == text),
               ("/detokenize", {"tokens": ids}, lambda got: got["prompt"] == text),
               ("/apply-template", {"messages": [{"role": "user", "content": text}]},
                lambda got: got["prompt"] == f"user: {text}\nassistant:"))
    for path, body, is_right in answers:
        n = node(models={"demo": fault})
        assert is_right(post(n, path, **body)), path
        wait_for("the obituary", lambda: n.metrics()["cortex_child_deaths_total"] == 1)
        assert n.metrics()["cortex_requests_resumed_total"] == 1
        assert n.metrics()["cortex_completion_tokens_total"] == 0
        n.stop()


def test_a_long_text(node):
    """A million tokens, and the others are served meanwhile."""
    n = node()
    text = "nije " * 1_000_000
    got = post(n, "/tokenize", prompt=text)
    assert got["count"] == 1_000_000 and set(got["tokens"][:-1]) == {words.tokens("nije")[0]}
    assert post(n, "/tokenize", prompt="x" * 1_000_000)["count"] == 5000
