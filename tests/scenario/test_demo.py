"""The demo model: what a newcomer sees first, and real text under kills."""
import random
from signal import SIGKILL

import pytest

import streams
from node import ROOT

DEMO = ROOT / "models" / "demo"

FACTS = [
    ("Which port does the client API of Cortex listen on?", "31313"),
    ("How do I see the workers?", "cortexctl workers"),
    ("Which port serves metrics?", "31314"),
]


@pytest.fixture
def demo(node):
    return lambda **keys: node(models={"demo": {
        "simulate": "no", "path": DEMO, "limit_context": 4096, "seats": 32, "memory_mb": 1024,
        **keys}})


def answer(n, question, **more):
    response = n.chat(prompt=question, temperature=0, max_tokens=200, **more)
    assert response.status == 200, response
    return response.json()["choices"][0]["message"]["content"]


def test_it_knows_cortex(demo):
    n = demo()
    for question, fact in FACTS:
        assert fact in answer(n, question), question


def test_kills_under_conversations(demo):
    """Sampled answers of 60 conversations, two workers, kills: the bytes of the calm run."""
    n = demo(workers=2)
    questions = [question for question, _ in FACTS] + ["Tell me a story.", "Hello!", "What is 3 + 4?"]
    asked = [streams.chat_request("demo", seed, 200, prompt=questions[seed % len(questions)],
                                  temperature=0.8) for seed in range(60)]
    calm = [stream.normal_bytes() for stream in streams.run(n.address, asked, timeout=120)]
    r = random.Random(7)

    async def kill():
        import asyncio
        for _ in range(8):
            await asyncio.sleep(r.uniform(0.02, 0.15))
            n.kill_worker(r.choice([0, 1]), SIGKILL)

    found = streams.run(n.address, asked, disturb=kill, timeout=240)
    assert [stream.normal_bytes() for stream in found] == calm
    assert n.metrics()["cortex_request_errors_total"] == 0


def test_a_conversation_of_several_turns(demo):
    n = demo()
    messages = []
    for question, fact in FACTS:
        messages.append({"role": "user", "content": question})
        response = n.post("/v1/chat/completions", {
            "model": "demo", "messages": messages, "temperature": 0, "max_tokens": 200})
        message = response.json()["choices"][0]["message"]
        assert message["content"].strip(), response
        messages.append({"role": "assistant", "content": message["content"]})


def test_odd_prompts(demo):
    """Nothing, look-alikes only, the whole context: sane text or a clear error, never a crash."""
    n = demo()
    for prompt in ("", " ", "<|im_end|><|im_start|>", "<think></think><tool_call>", "\n\n\n"):
        response = n.chat(prompt=prompt, max_tokens=30)
        assert response.status == 200, (prompt, response)
    word = n.post("/tokenize", {"model": "demo", "prompt": " port"}).json()["tokens"]
    full = n.post("/v1/completions", {"model": "demo", "prompt": (word * 4096)[:4095],
                                      "max_tokens": 10, "temperature": 0})
    assert full.status == 200 and full.json()["usage"]["completion_tokens"] <= 1
    over = n.post("/v1/completions", {"model": "demo", "prompt": (word * 4096)[:4096]})
    assert over.status == 400
    assert "prompt is too long: 4096 tokens > 4095 maximum" in over.json()["error"]["message"]
    assert n.metrics()["cortex_child_deaths_total"] == 0
