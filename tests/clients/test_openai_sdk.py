"""The official OpenAI SDK against a node, unchanged: only base_url and api_key are ours."""
import asyncio
import hashlib
import json

import pytest

import words
from embeddings import as_float32
from node import wait_for

openai = pytest.importorskip("openai", reason="the openai package is not installed")

MESSAGES = [{"role": "user", "content": "hello"}]
KEY = "sk-test-sdk"
KEYS = {"sdk": {"sha256": hashlib.sha256(KEY.encode()).hexdigest()}}


def client(node, **options):
    options = {"api_key": "none", "max_retries": 0, "timeout": 30, **options}
    return openai.OpenAI(base_url=f"{node.url}/v1", **options)


def test_models(node):
    c = client(node(models={"demo": {}, "other": {}}))
    assert [model.id for model in c.models.list()] == ["demo", "other"]
    assert c.models.retrieve("other").id == "other"


def test_chat(node):
    n = node()
    with client(n) as c:
        raw = c.chat.completions.with_raw_response.create(
            model="demo", messages=MESSAGES, seed=5, max_tokens=6)
        assert raw.headers["x-request-id"]
        answer = raw.parse()
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content == words.text(5, 6)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 6
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 6
    assert answer.usage.prompt_tokens_details.cached_tokens == 0


def test_chat_streamed(node):
    n = node(models={"demo": {"simulate_rate": 100}})
    with client(n) as c:
        chunks = list(c.chat.completions.create(
            model="demo", messages=MESSAGES, seed=5, max_completion_tokens=6, stream=True,
            stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == words.text(5, 6)
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
    assert chunks[-1].usage.completion_tokens == 6 and chunks[-1].choices == []


def test_chat_stream_helper(node):
    """The SDK's own accumulator of events."""
    n = node(models={"demo": {"simulate_tokens": 6}})
    with client(n) as c, c.chat.completions.stream(
            model="demo", messages=MESSAGES, seed=5) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "content.delta" in kinds and kinds[-1] != "error"
    assert final.choices[0].message.content == words.text(5, 6)
    assert final.usage.completion_tokens == 6


def test_completions(node):
    n = node()
    with client(n) as c:
        answer = c.completions.create(model="demo", prompt="hello", seed=5, max_tokens=6)
        assert answer.choices[0].text == words.text(5, 6) and answer.object == "text_completion"
        chunks = list(c.completions.create(model="demo", prompt="hello", seed=5, max_tokens=6,
                                           stream=True))
    assert "".join(c.choices[0].text for c in chunks if c.choices) == words.text(5, 6)


def test_embeddings(node):
    """The SDK asks for base64 by itself and decodes it; told float, it takes numbers."""
    with client(node()) as c:
        raw = c.embeddings.with_raw_response.create(model="demo", input=["nije bibo", "zahi"])
        assert isinstance(raw.http_response.json()["data"][0]["embedding"], str)
        answer = raw.parse()
        assert answer.object == "list" and answer.model == "demo"
        assert [row.index for row in answer.data] == [0, 1]
        expected = [words.embedding(words.tokens(text)) for text in ("nije bibo", "zahi")]
        assert [row.embedding for row in answer.data] == expected
        assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (3, 3)
        numbers = c.embeddings.create(model="demo", input=["nije bibo", "zahi"],
                                      encoding_format="float")
        assert [[as_float32(x) for x in row.embedding] for row in numbers.data] == expected
        ids = c.embeddings.create(model="demo", input=[[1, 2], [3]], dimensions=4)
        assert [row.embedding for row in ids.data] == [words.embedding([1, 2], 4),
                                                       words.embedding([3], 4)]
        with pytest.raises(openai.BadRequestError) as refused:
            c.embeddings.create(model="demo", input="")
        assert refused.value.param == "input"


def test_several_answers(node):
    """n, and several prompts, streamed and not."""
    expected = [words.text(words.choice_seed(5, i), 6) for i in range(3)]
    with client(node(models={"demo": {"simulate_tokens": 6}})) as c:
        answer = c.chat.completions.create(model="demo", messages=MESSAGES, seed=5, max_tokens=6, n=3)
        assert [choice.message.content for choice in answer.choices] == expected
        assert answer.usage.completion_tokens == 18
        texts = ["", "", ""]
        for chunk in c.chat.completions.create(model="demo", messages=MESSAGES, seed=5, max_tokens=6,
                                               n=3, stream=True):
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
        assert texts == expected
        with c.chat.completions.stream(model="demo", messages=MESSAGES, seed=5, n=3) as stream:
            final = stream.get_final_completion()
        assert [choice.message.content for choice in final.choices] == expected
        answer = c.completions.create(model="demo", prompt=["a", "b c"], seed=5, max_tokens=6, n=2)
        assert [choice.text for choice in answer.choices] == expected[:2] * 2
        assert answer.usage.prompt_tokens == 3


def test_logprobs(node):
    with client(node(models={"demo": {"simulate_tokens": 6}})) as c:
        answer = c.chat.completions.create(model="demo", messages=MESSAGES, seed=5, max_tokens=6,
                                           logprobs=True, top_logprobs=3)
        content = answer.choices[0].logprobs.content
        assert [e.token for e in content] == [words.word(5, i) for i in range(6)]
        assert [e.logprob for e in content] == [words.logprob(words.token(5, i), i) for i in range(6)]
        assert all(bytes(e.bytes).decode() == e.token and len(e.top_logprobs) == 3 for e in content)
        with c.chat.completions.stream(model="demo", messages=MESSAGES, seed=5, logprobs=True,
                                       top_logprobs=3) as stream:
            kinds = [event.type for event in stream]
            final = stream.get_final_completion()
        assert "logprobs.content.delta" in kinds
        assert final.choices[0].logprobs.content == content
        answer = c.completions.create(model="demo", prompt="x", seed=5, max_tokens=6, logprobs=2)
        found = answer.choices[0].logprobs
        assert found.tokens == [e.token for e in content]
        assert found.token_logprobs == [e.logprob for e in content]
        assert all(token in top for token, top in zip(found.tokens, found.top_logprobs)) and (
            found.text_offset == [len(words.text(5, i)) for i in range(6)])


def test_echo_of_token_ids(node):
    """What lm-eval's local-completions sends: ids, echo, one token more, its log-probabilities."""
    prompts = [words.text(1, 8), words.text(2, 5)]
    with client(node()) as c:
        answer = c.completions.create(
            model="demo", prompt=[words.tokens(p) for p in prompts], temperature=0, max_tokens=1,
            logprobs=1, seed=1234, echo=True)
        assert [choice.text for choice in answer.choices] == [
            p + words.text(1234, 1) for p in prompts]
        for choice, prompt in zip(answer.choices, prompts):
            logprobs = choice.logprobs
            assert logprobs.token_logprobs[0] is None and logprobs.top_logprobs[0] is None
            assert logprobs.tokens[:-1] == words.pieces(prompt)
            assert all(type(value) is float for value in logprobs.token_logprobs[1:])
        nothing = c.completions.create(model="demo", prompt=words.tokens(prompts[0]), max_tokens=0,
                                       logprobs=1, echo=True)
    assert nothing.choices[0].text == prompts[0] and nothing.usage.completion_tokens == 0


def test_sampling_parameters(node):
    with client(node()) as c:
        answer = c.chat.completions.create(
            model="demo", messages=[{"role": "system", "content": "be"}, *MESSAGES], seed=5,
            max_tokens=2, temperature=0.7, top_p=0.9, presence_penalty=0.5, frequency_penalty=-0.5,
            stop=["never said"], user="me", extra_body={"top_k": 40, "min_p": 0.1})
    assert answer.choices[0].message.content == words.text(5, 2)


def test_errors(node):
    n = node(keys=KEYS)
    with client(n, api_key="wrong") as c, pytest.raises(openai.AuthenticationError) as e:
        c.models.list()
    assert e.value.code == "invalid_api_key" and e.value.request_id
    with client(n, api_key=KEY) as c:
        with pytest.raises(openai.NotFoundError) as e:
            c.chat.completions.create(model="nope", messages=MESSAGES)
        assert e.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError) as e:
            c.chat.completions.create(model="demo", messages=MESSAGES, temperature=-1)
        assert e.value.param == "temperature" and e.value.type == "invalid_request_error"
        with pytest.raises(openai.BadRequestError) as e:
            c.chat.completions.create(model="demo", messages=MESSAGES, functions=[{"name": "f"}])
        assert e.value.code == "unsupported_parameter" and e.value.param == "functions"
        with pytest.raises(openai.BadRequestError) as e:
            c.completions.create(model="demo", prompt="x", n=2, best_of=3)
        assert e.value.code == "unsupported_parameter" and e.value.param == "best_of"


def test_retries_a_full_queue(node):
    """429 with retry-after: the SDK waits and comes again, and then there is room."""
    n = node(models={"demo": {"seats": 1, "simulate_rate": 10}}, gateway={"queue_depth": 0})
    with client(n) as holder:
        stream = holder.chat.completions.create(model="demo", messages=MESSAGES, max_tokens=10_000,
                                                stream=True)
        wait_for("a busy worker", lambda: n.metrics()["cortex_model_in_flight"] == 1)
        with client(n) as c, pytest.raises(openai.RateLimitError) as e:
            c.chat.completions.create(model="demo", messages=MESSAGES, max_tokens=1)
        assert e.value.code == "rate_limit_exceeded"

        async def retry():
            loop = asyncio.get_running_loop()
            async with openai.AsyncOpenAI(base_url=f"{n.url}/v1", api_key="none", max_retries=5,
                                          timeout=30) as c:
                call = asyncio.ensure_future(
                    c.chat.completions.create(model="demo", messages=MESSAGES, seed=1, max_tokens=3))
                await loop.run_in_executor(None, lambda: wait_for(
                    "a refusal", lambda: n.metrics()["cortex_requests_rejected_total"] >= 2))
                stream.close()
                return await call

        assert asyncio.run(retry()).choices[0].message.content == words.text(1, 3)


def test_async_client(node):
    n = node(models={"demo": {"workers": 2, "simulate_rate": 100}})

    async def ask(c, seed):
        text = ""
        async for chunk in await c.chat.completions.create(
                model="demo", messages=MESSAGES, seed=seed, max_tokens=20, stream=True):
            if chunk.choices:
                text += chunk.choices[0].delta.content or ""
        return text

    async def run():
        async with openai.AsyncOpenAI(base_url=f"{n.url}/v1", api_key="none", max_retries=0) as c:
            return await asyncio.gather(*(ask(c, seed) for seed in range(30)))

    assert asyncio.run(run()) == [words.text(seed, 20) for seed in range(30)]


def test_survives_a_killed_worker(node):
    n = node(models={"demo": {"workers": 1, "simulate_rate": 50}})
    with client(n) as c:
        text = ""
        for i, chunk in enumerate(c.chat.completions.create(
                model="demo", messages=MESSAGES, seed=5, max_tokens=60, stream=True)):
            if chunk.choices:
                text += chunk.choices[0].delta.content or ""
            if i in (10, 30):
                assert n.kill_worker(0)
                n.wait_workers()
    assert text == words.text(5, 60)


SCRIPT = [
    {"match": "weather", "delay_ms": 20,
     "pieces": [{"text": "Let me ", "channel": "reasoning"},
                {"text": "see.", "channel": "reasoning", "delay_ms": 20},
                "It is ", "☀️ a", "nd 21 °C", "."]},
    {"pieces": ["Hello."], "finish": "length"},
]


def test_scripted_answers(node, tmp_path):
    """A model that says exactly what a file holds, in exactly these pieces."""
    script = tmp_path / "script.json"
    script.write_text(json.dumps(SCRIPT))
    n = node(models={"demo": {"simulate_script": script}})
    question = [{"role": "user", "content": "How is the weather?"}]
    with client(n) as c:
        answer = c.chat.completions.create(model="demo", messages=question)
        chunks = list(c.chat.completions.create(model="demo", messages=question, stream=True))
        other = c.chat.completions.create(model="demo", messages=MESSAGES)
    message = answer.choices[0].message
    assert message.content == "It is ☀️ and 21 °C." and answer.choices[0].finish_reason == "stop"
    assert message.reasoning_content == "Let me see." == message.reasoning
    assert answer.usage.completion_tokens == 6
    assert answer.usage.completion_tokens_details.reasoning_tokens == 2
    deltas = [c.choices[0].delta for c in chunks if c.choices]
    assert [d.reasoning_content for d in deltas if hasattr(d, "reasoning_content")] == [
        "Let me ", "see."]
    assert [d.content for d in deltas if d.content] == ["It is ", "☀️ a", "nd 21 °C", "."]
    assert (other.choices[0].message.content, other.choices[0].finish_reason) == (
        "Hello.", "length")
