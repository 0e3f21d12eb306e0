"""The prefix cache through the whole of Cortex: what is reused, what is said of it, and that no answer
changes."""
import random
import re
from signal import SIGKILL

import pytest

import checkpoints
import http1
import streams
from node import ROOT

DEMO = ROOT / "models" / "demo"
SYSTEM = ("You are the assistant of the Cortex documentation. Answer in a few words, name the command or the "
          "port when there is one, and say so when you do not know. Never make anything up, never talk about "
          "other servers, and keep to what was asked. If somebody greets you, greet back. ") * 2
QUESTIONS = ["Which port does the client API of Cortex listen on?", "How do I see the workers?",
             "Which port serves metrics?", "Hello!", "What is 3 + 4?", "Tell me a story."]


def demo(node, level="info", **keys):
    return node(instance={"log_level": level}, models={"demo": {"simulate": "no", "path": DEMO, "limit_context": 4096, "seats": 32,
                                 "memory_mb": 1024, **keys}})


def ask(n, messages, **more):
    response = n.post("/v1/chat/completions", {"model": "demo", "messages": messages,
                                               "temperature": 0.7, "max_tokens": 100, **more})
    assert response.status == 200, response
    body = response.json()
    return body["choices"][0]["message"], body["usage"]


def cached(usage):
    return usage["prompt_tokens_details"]["cached_tokens"]


def talk(n, seed, system=SYSTEM):
    """A conversation over all questions: answers, usages."""
    messages, usages = [{"role": "system", "content": system}], []
    for i, question in enumerate(QUESTIONS):
        messages.append({"role": "user", "content": question})
        message, usage = ask(n, messages, seed=seed + i)
        messages.append({"role": "assistant", "content": message["content"]})
        usages.append(usage)
    return messages, usages


@pytest.mark.sanitized
@pytest.mark.threads
def test_turns_of_a_conversation(node):
    """Each turn finds the one before; every answer is that of a node without a cache."""
    n = demo(node)
    found, usages = talk(n, 1)
    assert cached(usages[0]) == 0
    for before, usage in zip(usages, usages[1:]):
        # all but a few tokens of the last message, which are not worth a cut, and the generation
        # prompt, whose end the template leaves out of earlier turns
        assert cached(usage) > before["prompt_tokens"] - 64 - 16, (before, usage)
        assert cached(usage) > before["prompt_tokens"] / 2
        assert cached(usage) < usage["prompt_tokens"]
    off = demo(node, prefix_cache_percent=0)
    expected, cold = talk(off, 1)
    assert found == expected
    assert [cached(usage) for usage in cold] == [0] * len(QUESTIONS)
    assert [usage["prompt_tokens"] for usage in cold] == [u["prompt_tokens"] for u in usages]
    assert off.metrics()["cortex_prefix_cached_bytes"] == 0
    assert off.metrics()["cortex_prefix_diverged_total"] == 0


def test_what_is_counted(node):
    n = demo(node)
    _, usages = talk(n, 1)
    total = sum(cached(usage) for usage in usages)
    metrics = n.metrics()
    assert metrics["cortex_prefix_hits_total"] == len(QUESTIONS) - 1
    assert metrics["cortex_prefix_hit_tokens_total"] == total
    assert metrics["cortex_cached_prompt_tokens_total"] == total
    assert metrics["cortex_prefix_diverged_total"] >= 1
    assert metrics["cortex_prefix_evictions_total"] == 0
    assert metrics["cortex_prefix_cached_bytes"] > 0
    assert "prefix_hit_tokens" in n.ctl("counters")
    worker, = n.ctl("workers", "--json")["workers"]
    assert 0 < worker["prefix_cached_bytes"] <= worker["memory_bytes"]


def test_conversations_that_share_their_beginning(node):
    """The system prompt is found by a second conversation at once; a branch within a message by the third."""
    n = demo(node, level="debug")
    talk(n, 1)
    _, usages = talk(n, 50)
    system = n.post("/tokenize", {"model": "demo", "add_generation_prompt": False, "messages": [
        {"role": "system", "content": SYSTEM}]}).json()["count"]
    assert cached(usages[0]) >= system
    text = "The river goes north. " * 40
    first, second, third = (ask(n, [{"role": "user", "content": text + end}])[1]
                            for end in ("Why?", "Where to?", "Since when?"))
    assert cached(first) == 0 and cached(second) == 0
    assert cached(third) > first["prompt_tokens"] - 32
    assert n.metrics()["cortex_prefix_no_checkpoint_total"] >= 1
    said = [line["text"] for line in n.log_lines() if "prompt tokens cached" in line["text"]]
    assert said[0] == f"0 of {said[0].split()[2]} prompt tokens cached, diverged_at=0"
    assert said[-1].startswith(f"{cached(third)} of {third['prompt_tokens']} prompt tokens cached, ")
    assert any("no_checkpoint_at=" in text for text in said)


def test_the_same_again(node):
    """All of a prompt but what its first token needs."""
    n = demo(node)
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "Why?"}]
    answers = [ask(n, messages, seed=3) for _ in range(3)]
    assert answers[0][0] == answers[1][0] == answers[2][0]
    assert cached(answers[2][1]) > answers[2][1]["prompt_tokens"] - 16
    # log-probabilities of the prompt itself have to be computed
    ids = n.post("/tokenize", {"model": "demo", "prompt": SYSTEM}).json()["tokens"]
    body = {"model": "demo", "prompt": ids, "max_tokens": 1, "temperature": 0}
    echo = [n.post("/v1/completions", {**body, "echo": True, "logprobs": 1}).json() for _ in range(2)]
    assert echo[0]["choices"] == echo[1]["choices"]
    assert cached(echo[1]["usage"]) == 0
    plain = [n.post("/v1/completions", body).json()["usage"] for _ in range(2)]
    assert 0 < cached(plain[1]) < len(ids)


def test_a_dense_model_reuses_every_token(node):
    n = node(models={"demo": checkpoints.model("qwen3")})
    words = [5 + i * 7 % 200 for i in range(150)]
    ask_ids = lambda ids: cached(n.post("/v1/completions", {
        "model": "demo", "prompt": ids, "max_tokens": 1, "temperature": 0}).json()["usage"])
    assert ask_ids(words) == 0
    assert ask_ids(words) == 149
    assert ask_ids(words[:77] + [4, 4, 4]) == 77
    assert ask_ids(words[:3]) == 2


def test_a_cancelled_prompt_is_not_lost(node):
    n = demo(node)
    messages = [{"role": "system", "content": SYSTEM * 4}, {"role": "user", "content": "Why?"}]
    body = {"model": "demo", "messages": messages, "max_tokens": 3000, "stream": True, "seed": 1,
            "logit_bias": {"70": 100}}
    with n.connect() as conn:
        conn.send(http1.request_bytes("POST", "/v1/chat/completions", body))
        conn.read_head()
        while not re.search(rb'"content":"[^"]', conn.read_line()):
            pass  # the answer has not begun yet
    _, usage = ask(n, messages)
    assert cached(usage) > usage["prompt_tokens"] - 16


def conversations(seeds):
    r = random.Random(11)
    for seed in seeds:
        messages = [{"role": "system", "content": SYSTEM}]
        for _ in range(r.randrange(3)):
            messages += [{"role": "user", "content": r.choice(QUESTIONS)},
                         {"role": "assistant", "content": r.choice(["31313", "cortexctl workers", "7"])}]
        messages.append({"role": "user", "content": r.choice(QUESTIONS)})
        yield http1.request_bytes(
            "POST", "/v1/chat/completions",
            {"model": "demo", "messages": messages, "stream": True, "seed": seed, "max_tokens": 150,
             "temperature": 0.8}, {"Connection": "close"})


def digests(found):
    for stream in found:
        assert stream.status == 200, stream.head_and_body()[:2]
    return [stream.normal_bytes() for stream in found]


@pytest.mark.sanitized
@pytest.mark.threads
@pytest.mark.timeout(300)
def test_kills_with_a_cache(node):
    """Workers die, the others have what they have: the bytes are those of a calm node without a cache."""
    asked = list(conversations(range(40)))
    off = demo(node, prefix_cache_percent=0)
    expected = digests(streams.run(off.address, asked, timeout=120))
    off.stop()
    n = demo(node, workers=2)
    r = random.Random(3)

    async def kill():
        import asyncio
        for _ in range(8):
            await asyncio.sleep(r.uniform(0.02, 0.15))
            n.kill_worker(r.choice([0, 1]), SIGKILL)

    assert digests(streams.run(n.address, asked, disturb=kill, timeout=240)) == expected
    assert digests(streams.run(n.address, asked, timeout=120)) == expected
    metrics = n.metrics()
    assert metrics["cortex_request_errors_total"] == 0
    assert metrics["cortex_cached_prompt_tokens_total"] > 0


@pytest.mark.threads
def test_little_memory(node):
    """Prefixes are evicted all the time, sequences never wait for them."""
    asked = list(conversations(range(24)))
    expected = digests(streams.run(demo(node).address, asked, timeout=120))
    n = demo(node, memory_mb=36, limit_context=1024, seats=4)
    assert digests(streams.run(n.address, asked, timeout=120)) == expected
    assert n.metrics()["cortex_prefix_evictions_total"] > 0
