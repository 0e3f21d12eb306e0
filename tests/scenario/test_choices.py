"""Several answers to a request: n, several prompts, their seeds, usage, failures, cancellation."""
import asyncio
import re
from pathlib import Path
from signal import SIGTERM

import pytest

import http1
import streams
import words
from node import wait_for

MESSAGES = [{"role": "user", "content": "hello"}]


def completion(node, prompt, **more):
    return node.post("/v1/completions", {"model": "demo", "prompt": prompt, **more})


def completion_request(prompt, **more):
    return http1.request_bytes("POST", "/v1/completions",
                               {"model": "demo", "prompt": prompt, "stream": True, **more},
                               {"Connection": "close"})


def by_index(stream):
    """Index -> its choices, in their order."""
    found = {}
    for choice in stream.choices():
        found.setdefault(choice["index"], []).append(choice)
    return found


def text_of(choices):
    return "".join(c["text"] if "text" in c else c["delta"].get("content", "") for c in choices)


def usage_of(stream):
    """The usage chunk: one, with no choice, the last before [DONE]."""
    events = [event.json() for event in stream.events()[:-1]]
    assert [i for i, event in enumerate(events) if "usage" in event] == [len(events) - 1]
    assert events[-1]["choices"] == []
    return events[-1]["usage"]


def test_n_in_chat(node):
    n = node()
    answer = n.chat(seed=7, n=3, max_tokens=5).json()
    assert [c["index"] for c in answer["choices"]] == [0, 1, 2]
    assert [c["message"]["content"] for c in answer["choices"]] == [
        words.text(words.choice_seed(7, i), 5) for i in range(3)]
    assert {c["finish_reason"] for c in answer["choices"]} == {"length"}
    alone = n.chat(seed=7, max_tokens=5).json()
    assert alone["choices"][0] == answer["choices"][0]
    assert answer["usage"]["prompt_tokens"] == alone["usage"]["prompt_tokens"]
    assert answer["usage"]["completion_tokens"] == 15
    assert answer["usage"]["total_tokens"] == 15 + alone["usage"]["prompt_tokens"]
    assert n.metrics()["cortex_requests_total"] == 4


def test_n_streamed(node):
    n = node(models={"demo": {"simulate_rate": 100}})
    stream = streams.run(n.address, [streams.chat_request("demo", 7, 20, n=4)])[0]
    found = by_index(stream)
    assert sorted(found) == [0, 1, 2, 3]
    for i, choices in found.items():
        assert text_of(choices) == words.text(words.choice_seed(7, i), 20)
        assert choices[0]["delta"] == {"role": "assistant", "content": ""}
        assert [c["finish_reason"] for c in choices] == [None] * (len(choices) - 1) + ["length"]
    order = [c["index"] for c in stream.choices() if c["delta"].get("content")]
    assert order != sorted(order), "the answers do not come side by side"
    assert len({event.json()["id"] for event in stream.events()[:-1]}) == 1
    assert usage_of(stream)["completion_tokens"] == 80


def test_without_a_seed_all_differ(node):
    n = node()
    answer = completion(n, ["a", "a"], n=8, max_tokens=8).json()
    assert len({c["text"] for c in answer["choices"]}) == 16


PROMPTS = [
    ("a string", "nije bibo", 1),
    ("an array of one string", ["nije bibo"], 1),
    ("an array of strings", ["nije bibo", "zahi"], 2),
    ("an array of ids", [1, 2, 3], 1),
    ("an array of arrays of ids", [[1, 2], [3]], 2),
    ("a mixture", [[1, 2], "zahi"], 2),
    ("nothing", "", 1),
]


@pytest.mark.parametrize("prompt, n_prompts", [row[1:] for row in PROMPTS],
                         ids=[row[0] for row in PROMPTS])
def test_prompts(node, prompt, n_prompts):
    """Each prompt gets what it would get alone; the text of ids is that of their words."""
    n = node()
    answer = completion(n, prompt, seed=3, n=2, max_tokens=4, echo=True).json()
    assert len(answer["choices"]) == 2 * n_prompts
    prompts = prompt if n_prompts > 1 or (prompt and isinstance(prompt[0], str)
                                          and isinstance(prompt, list)) else [prompt]
    n_tokens = 0
    for i, choice in enumerate(answer["choices"]):
        one = prompts[i // 2]
        shown = one if isinstance(one, str) else "".join(
            words.token_text(id, k == 0) for k, id in enumerate(one))
        assert choice["index"] == i
        assert choice["text"] == shown + words.text(words.choice_seed(3, i % 2), 4)
        n_tokens += (len(words.pieces(one)) if isinstance(one, str) else len(one)) * (i % 2 == 0)
    assert answer["usage"]["prompt_tokens"] == n_tokens
    assert answer["usage"]["completion_tokens"] == 8 * n_prompts


def test_many_prompts_streamed(node):
    n = node(models={"demo": {"workers": 2}})
    prompts = [f"prompt {i}" for i in range(100)]
    stream = streams.run(n.address, [
        completion_request(prompts, seed=1, max_tokens=3, echo=True)])[0]
    found = by_index(stream)
    assert {i: text_of(choices) for i, choices in found.items()} == {
        i: prompt + words.text(1, 3) for i, prompt in enumerate(prompts)}
    assert usage_of(stream)["prompt_tokens"] == 200
    assert usage_of(stream)["completion_tokens"] == 300


def peak_kb(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status).group(1))


def test_a_long_prompt_is_there_once(node):
    """32 answers to a prompt of 4 MB: it is checked and written once, and shared."""
    n = node(models={"demo": {"simulate_tokens": 2}})
    before, peak = n.usage(), peak_kb(n.router_pid())
    prompt = "word " * 800_000
    answer = completion(n, prompt, n=32, seed=1).json()
    assert answer["usage"]["prompt_tokens"] == 800_000
    assert [c["text"] for c in answer["choices"]] == [
        words.text(words.choice_seed(1, i), 2) for i in range(32)]
    assert peak_kb(n.router_pid()) - peak < 60_000
    n.check_baseline(before, rss_slack_kb=24576)


def test_one_that_is_refused_ends_all(node):
    """An HTTP status as long as nothing was sent."""
    n = node(models={"demo": {"limit_context": 16, "simulate_prefill_ms": 20}})
    prompts = ["short", "word " * 17, "short"]
    for stream in (False, True):
        got = completion(n, prompts, stream=stream)
        assert got.status == 400, got
        assert got.error()["code"] == "context_length_exceeded", got
    wait_for("all requests to end", lambda: n.metrics()["cortex_requests_open"] == 0)
    assert n.metrics()["cortex_model_in_flight"] == 0
    answer = completion(n, "short", max_tokens=2, seed=1).json()
    assert answer["choices"][0]["text"] == words.text(1, 2)


def test_one_that_fails_later_is_an_error_event(node):
    """After the first byte: an error event, no [DONE], and the others stop, too."""
    n = node(models={"demo": {"simulate_rate": 50, "limit_context": 64, "simulate_prefill_ms": 200,
                              "simulate_fault": "marker:boom", "workers": 2}})
    stream = streams.run(n.address, [
        completion_request(["fine", "boom"], max_tokens=60, seed=1)])[0]
    assert stream.status == 200
    assert stream.error()["code"] == "request_quarantined"
    assert stream.events()[-1].data != b"[DONE]"
    wait_for("all requests to end", lambda: n.metrics()["cortex_requests_open"] == 0)
    assert n.metrics()["cortex_quarantined_requests_total"] == 1


def test_all_are_cancelled_when_the_client_leaves(node):
    n = node(models={"demo": {"simulate_rate": 20, "seats": 3}})
    conn = n.connect()
    conn.send(streams.chat_request("demo", 1, 10000, n=5))
    wait_for("some to run, some to wait", lambda: (
        n.metrics()["cortex_model_in_flight"], n.metrics()["cortex_model_queue_depth"]) == (3, 2))
    wait_for("tokens", lambda: n.metrics()["cortex_completion_tokens_total"] > 3)
    conn.close()
    wait_for("all to be gone", lambda: n.metrics()["cortex_requests_open"] == 0, timeout=1)
    assert n.metrics()["cortex_requests_cancelled_total"] == 5
    assert n.metrics()["cortex_worker_cancels_total"] == 3


def test_each_counts_in_the_queue(node):
    n = node(models={"demo": {"seats": 2, "simulate_rate": 20}}, gateway={"queue_depth": 2})
    got = n.chat(n=5)
    assert got.status == 429 and got.error()["code"] == "rate_limit_exceeded", got
    assert n.metrics()["cortex_requests_rejected_total"] == 5
    assert n.metrics()["cortex_requests_open"] == 0
    with n.connect() as conn:
        conn.send(streams.chat_request("demo", 1, 10000, n=4))
        wait_for("a full queue", lambda: n.metrics()["cortex_model_queue_depth"] == 2)
        assert n.chat().status == 429


def test_one_that_waits_too_long_ends_all(node):
    n = node(models={"demo": {"seats": 1, "simulate_rate": 5}}, gateway={"queue_timeout_s": 1})
    got = n.chat(n=3, max_tokens=1000)
    assert got.status == 503 and got.error()["code"] == "no_healthy_node", got
    wait_for("all requests to end", lambda: n.metrics()["cortex_requests_open"] == 0)
    assert n.chat(max_tokens=1).status == 200


def test_a_stop_ends_all(node):
    """SIGTERM, a drain that is too short, and an error event for each stream."""
    n = node(models={"demo": {"seats": 2, "simulate_rate": 20}}, supervisor={"drain_timeout_s": 1})

    async def stop():
        await asyncio.get_running_loop().run_in_executor(None, lambda: wait_for(
            "all to be there", lambda: n.metrics()["cortex_requests_open"] == 6))
        n.signal(SIGTERM)

    found = streams.run(n.address, [streams.chat_request("demo", 1, 10000, n=3)] * 2, disturb=stop)
    assert [stream.error()["code"] for stream in found] == ["shutting_down"] * 2
    assert n.process.wait(15) == 0


def test_no_slot_for_all(node):
    n = node(gateway={"max_requests": 4})
    assert n.chat(n=5).status == 429
    assert n.chat(n=4, max_tokens=1).status == 200


def test_pipelined_after_several(node):
    n = node()
    with n.connect() as conn:
        for seed in (1, 2):
            conn.send(http1.request_bytes("POST", "/v1/chat/completions", {
                "model": "demo", "messages": MESSAGES, "seed": seed, "n": 3, "max_tokens": 2}))
        for seed in (1, 2):
            choices = conn.read_response().json()["choices"]
            assert choices[0]["message"]["content"] == words.text(seed, 2) and len(choices) == 3


def test_cortexctl_shows_each(node):
    n = node(models={"demo": {"simulate_rate": 20}})
    with n.connect() as conn:
        conn.send(streams.chat_request("demo", 1, 10000, n=3))
        wait_for("three running", lambda: n.metrics()["cortex_model_in_flight"] == 3)
        rows = n.ctl("requests", "--json")["requests"]
        names = sorted(row["name"] for row in rows)
        assert [name.rpartition(".")[2] for name in names] == ["0", "1", "2"]
        assert len({name.rpartition(".")[0] for name in names}) == 1


def test_slow_reader_of_many(node):
    """What is held for one that does not read is bounded, however many answers it asked for."""
    n = node(models={"demo": {"simulate_rate": 0}})
    count = lambda: (n.metrics()["cortex_completion_tokens_total"],
                     n.metrics()["cortex_bytes_sent_total"])
    read = streams.run(n.address, [streams.chat_request("demo", 1, 100, n=64)])[0]
    tokens, sent = count()
    assert tokens == 6400
    with n.connect() as conn:
        conn.send(streams.chat_request("demo", 1, 100_000, n=64))
        wait_for("a standstill", lambda: n.ctl("workers", "--json")["workers"][0]["paused"] == 64)
        more_tokens, more_sent = (b - a for a, b in zip((tokens, sent), count()))
    held = more_tokens * read.total / tokens - more_sent
    assert 64 * 16 * 100 < held < 1_000_000, held
