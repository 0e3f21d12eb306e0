"""Log-probabilities and echo, streamed and not, and through the deaths of workers."""
import json

import pytest

import http1
import streams
import words
from node import SLOWNESS, wait_for
from test_kill_storm import Storm, set_rate

PROMPT = "nije bibo zahi"


def completion(node, **more):
    got = node.post("/v1/completions", {"model": "demo", "prompt": PROMPT, "seed": 3, **more})
    assert got.status == 200, got
    return got.json()


def completion_request(**more):
    return http1.request_bytes("POST", "/v1/completions", {
        "model": "demo", "prompt": PROMPT, "stream": True, **more}, {"Connection": "close"})


def candidate(id, logprob, is_first):
    text = words.token_text(id, is_first)
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def expected_content(seed, n, top):
    """Chat's content array for n tokens of a seed."""
    found = []
    for i in range(n):
        id = words.token(seed, i)
        found.append({**candidate(id, words.logprob(id, i), i == 0), "top_logprobs": [
            candidate(*pair, i == 0) for pair in words.likeliest(id, i, top)]})
    return found


def expected_arrays(seed, n, top, ids=()):
    """The four arrays of a completion whose first tokens are the prompt's, where ids has them."""
    ids = list(ids)
    all_ids = ids + [words.token(seed, i) for i in range(n)]
    texts = [words.token_text(id, i in (0, len(ids))) for i, id in enumerate(all_ids)]
    maps = []
    for i, id in enumerate(all_ids):
        pairs = words.likeliest(id, i, top) + [(id, words.logprob(id, i))]
        maps.append({texts[i] if other == id else words.token_text(other, i == 0): logprob
                     for other, logprob in pairs})
    values = [words.logprob(id, i) for i, id in enumerate(all_ids)]
    if ids:
        values[0] = maps[0] = None
    return {"tokens": texts, "token_logprobs": values, "top_logprobs": maps,
            "text_offset": [len("".join(texts[:i])) for i in range(len(texts))]}


@pytest.mark.parametrize("top", [None, 0, 3, 20])
def test_chat(node, top):
    """With 20 the last four are impossible: JSON has no infinity, they have -9999."""
    n = node()
    more = {} if top is None else {"top_logprobs": top}
    answer = n.chat(seed=3, max_tokens=40, logprobs=True, **more).json()["choices"][0]
    expected = expected_content(3, 40, top or 0)
    assert answer["logprobs"] == {"content": expected, "refusal": None}
    assert any(c["logprob"] == -9999.0 for e in expected for c in e["top_logprobs"]) == (top == 20)
    stream = streams.run(n.address, [
        streams.chat_request("demo", 3, 40, logprobs=True, **more)])[0]
    assert stream.text() == words.text(3, 40)
    per_event = [c["logprobs"] for c in stream.choices()]
    assert [e for lp in per_event if lp for e in lp["content"]] == expected
    assert per_event[0] is None and per_event[-1] is None, "role and finish carry none"


def test_not_asked_for(node):
    n = node()
    assert n.chat(seed=1, max_tokens=2, logprobs=False).json()["choices"][0]["logprobs"] is None
    assert completion(n, max_tokens=2)["choices"][0]["logprobs"] is None


@pytest.mark.parametrize("top", [0, 1, 20])
def test_completion(node, top):
    n = node()
    answer = completion(n, max_tokens=30, logprobs=top)["choices"][0]
    expected = expected_arrays(3, 30, top)
    assert answer["logprobs"] == expected
    stream = streams.run(n.address, [completion_request(seed=3, max_tokens=30, logprobs=top)])[0]
    joined = {name: [] for name in expected}
    for choice in stream.choices():
        for name, elements in (choice["logprobs"] or {}).items():
            joined[name] += elements
    assert joined == expected
    assert stream.text() == answer["text"] == words.text(3, 30)


@pytest.mark.parametrize("max_tokens", [0, 1, 7])
def test_echo(node, max_tokens):
    """As an evaluation harness asks: ids in, the prompt's own log-probabilities out."""
    n = node()
    ids = words.tokens(PROMPT)
    for prompt in (PROMPT, ids):
        answer = completion(n, prompt=prompt, echo=True, max_tokens=max_tokens, logprobs=1,
                            temperature=0)
        choice = answer["choices"][0]
        assert choice["text"] == PROMPT + words.text(3, max_tokens)
        expected = expected_arrays(3, max_tokens, 1, ids)
        assert choice["logprobs"] == expected
        assert choice["logprobs"]["token_logprobs"][0] is None
        assert choice["finish_reason"] == "length"
        assert answer["usage"]["prompt_tokens"] == 3
        assert answer["usage"]["completion_tokens"] == max_tokens
    stream = streams.run(n.address, [
        completion_request(seed=3, max_tokens=max_tokens, echo=True, logprobs=1)])[0]
    assert stream.text() == PROMPT + words.text(3, max_tokens)
    assert sum(len(c["logprobs"]["tokens"]) for c in stream.choices() if c["logprobs"]) == (
        3 + max_tokens)


def test_greedy_as_an_evaluation_harness_finds_out(node):
    """A token is the greedy one when its log-probability is the largest of its map: the numbers
    must be written alike."""
    n = node()
    ids = words.tokens(words.text(9, 200))
    answer = completion(n, prompt=ids, echo=True, max_tokens=1, logprobs=1)
    logprobs = answer["choices"][0]["logprobs"]
    pairs = list(zip(logprobs["token_logprobs"], logprobs["top_logprobs"]))[1:-1]
    greedy = [value == max(top.values()) for value, top in pairs]
    assert greedy == [words.mix(id, i) % 4 == 0 for i, id in enumerate(ids)][1:]
    assert 20 < sum(greedy) < 100


def test_counters_tell_generated_from_echoed(node):
    n = node()
    completion(n, prompt="word " * 50, echo=True, max_tokens=7)
    metrics = n.metrics()
    assert metrics["cortex_completion_tokens_total"] == 7
    assert metrics["cortex_prompt_tokens_total"] == 50
    assert metrics["cortex_worker_tokens_total"] == 57
    assert metrics["cortex_time_to_first_token_seconds_count"] == 1
    assert metrics["cortex_inter_token_seconds_count"] == 6


def test_stop_strings_are_not_for_the_prompt(node):
    n = node()
    answer = completion(n, echo=True, max_tokens=50, stop=["bibo", words.word(3, 4)])
    assert answer["choices"][0]["text"] == PROMPT + words.text(3, 4)
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_held_back_text_has_its_event(node):
    """A token whose text waits for a stop string is told at once all the same."""
    n = node()
    stop = words.text(3, 4)[len(words.text(3, 1)):] + "!"
    stream = streams.run(n.address, [
        streams.chat_request("demo", 3, 6, logprobs=True, stop=[stop])])[0]
    choices = [c for c in stream.choices() if c["logprobs"]]
    assert [len(c["logprobs"]["content"]) for c in choices] == [1] * 6
    assert [c["delta"]["content"] for c in choices[1:4]] == ["", "", ""]
    assert stream.text() == words.text(3, 6)


SMILE = "🙂".encode()
SCRIPT = {"pieces": ["a", {"bytes": [*SMILE[:2]]}, {"bytes": [*SMILE[2:]]}, "ü", {"bytes": [0xff]},
                     {"text": "hm", "channel": "reasoning"}, "z"]}


def test_tokens_that_are_not_utf8(node, tmp_path):
    """The text is whole, a token by itself is not: U+FFFD for it, and the exact bytes."""
    script = tmp_path / "script.json"
    script.write_text(json.dumps(SCRIPT))
    n = node(models={"demo": {"simulate_script": script}})
    answer = n.chat(logprobs=True).json()["choices"][0]
    content = answer["logprobs"]["content"]
    assert answer["message"]["content"] == "a🙂ü\ufffdz"
    assert answer["message"]["reasoning_content"] == "hm"
    assert [bytes(e["bytes"]) for e in content] == [
        b"a", SMILE[:2], SMILE[2:], "ü".encode(), b"\xff", b"hm", b"z"]
    assert [e["token"] for e in content] == [
        "a", "\ufffd\ufffd", "\ufffd\ufffd", "ü", "\ufffd", "hm", "z"]
    logprobs = completion(n, logprobs=2)["choices"][0]["logprobs"]
    assert logprobs["tokens"] == [e["token"] for e in content]
    assert logprobs["text_offset"] == [0, 1, 2, 2, 3, 4, 6]


def test_too_many_for_one_response(node):
    """64 MiB, of all answers together: an error, not memory without end. A stream has no limit."""
    n = node()
    got = n.chat(n=128, max_tokens=400, logprobs=True, top_logprobs=20)
    assert got.status == 400 and "stream it" in got.error()["message"], got
    wait_for("all requests to end", lambda: n.metrics()["cortex_requests_open"] == 0)
    assert n.chat(max_tokens=400, logprobs=True, top_logprobs=20).status == 200


# --- through deaths ---

TOKENS = 60
IDS = words.tokens(PROMPT)


def four_answers(seed):
    """n=4 with log-probabilities and echo, one of two prompts by its ids."""
    return completion_request(prompt=[PROMPT, IDS], seed=seed, n=4, echo=True, logprobs=5,
                              max_tokens=TOKENS)


def sequences(stream):
    """What the stream says of each answer, and its end. How the answers interleave is nobody's
    promise."""
    found = {}
    for choice in stream.choices():
        found.setdefault(choice["index"], []).append(json.dumps(choice))
    last = stream.events()[-2].json()
    return found, last["usage"]


@pytest.mark.sanitized
@pytest.mark.timeout(300)
@pytest.mark.parametrize("workers", [1, 2])
def test_kill_nine(node, workers):
    """Workers die in the middle of many such streams: every event of every answer is the same."""
    n = node(models={"demo": {"workers": workers}})
    requests = [four_answers(seed) for seed in range(10)]
    calm = [sequences(s) for s in streams.run(n.address, requests)]
    for seed, (found, usage) in enumerate(calm):
        assert sorted(found) == list(range(8)), seed
        assert usage["completion_tokens"] == 8 * TOKENS and usage["prompt_tokens"] == 2 * len(IDS)
        for i, events in found.items():
            choices = [json.loads(event) for event in events]
            assert "".join(c["text"] for c in choices) == (
                PROMPT + words.text(words.choice_seed(seed, i % 4), TOKENS))
    set_rate(n, 30)
    before = n.usage()
    kill = Storm(n, kills=8, seconds=1.8, seed=4)
    stormy = streams.run(n.address, requests, disturb=kill, timeout=120 * SLOWNESS)
    assert [sequences(s) for s in stormy] == calm
    n.wait_workers()
    metrics = n.metrics()
    assert metrics["cortex_requests_resumed_total"] > 0
    assert metrics["cortex_request_errors_total"] == 0
    assert metrics["cortex_protocol_violations_total"] == 0
    n.check_baseline(before)


@pytest.mark.sanitized
@pytest.mark.parametrize("at", [1, 2, 3, 4, 9])
def test_death_within_the_echo(node, at):
    """At its first, second, third token, which are the prompt's, or later: not streamed, too."""
    n = node(models={"demo": {"simulate_fault": f"kill@token:{at}@once"}})
    choice = completion(n, echo=True, max_tokens=10, logprobs=2)["choices"][0]
    assert choice["text"] == PROMPT + words.text(3, 10)
    assert choice["logprobs"] == expected_arrays(3, 10, 2, IDS)
    wait_for("the obituary", lambda: n.metrics()["cortex_child_deaths_total"] == 1)
    assert n.metrics()["cortex_requests_resumed_total"] == 1
