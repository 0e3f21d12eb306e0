"""Real checkpoints through the whole of Cortex, against what transformers says of them."""
import copy
import json
import math
import random
import shutil
import struct
from signal import SIGKILL

import pytest

import checkpoints
import http1
import streams
from node import wait_for

HYBRID = "qwen3_5_tied"  # as exact as float32 is


def serve(node, name=HYBRID, **keys):
    return node(models={"demo": checkpoints.model(name, **keys)})


def answer_text(n, answer):
    """transformers shows a run of byte tokens that is no UTF-8 as one U+FFFD a byte; here the bytes
    come as they are."""
    if "\ufffd" not in answer["text"]:
        return answer["text"]
    ids = answer["ids"][:-1] if answer["finish"] == "stop" else answer["ids"]
    return n.post("/detokenize", {"model": "demo", "tokens": ids}).json()["prompt"]


def as_clients_say(messages):
    """Arguments are text in the OpenAI API."""
    messages = copy.deepcopy(messages)
    for call in (c for m in messages for c in m.get("tool_calls", [])):
        call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
    return messages


def message(response):
    assert response.status == 200, response
    return response.json()["choices"][0]["message"]


# --- the same as transformers ---

@pytest.mark.sanitized
@pytest.mark.parametrize("name", checkpoints.NAMES)
def test_answers_are_those_of_transformers(node, name):
    """Template, tokens, forward, sampling, text: whole greedy answers, letter by letter."""
    n = serve(node, name)
    for answer in checkpoints.expect(name)["answers"]:
        response = n.post("/v1/chat/completions", {
            "model": "demo", "messages": as_clients_say(answer["messages"]), "temperature": 0,
            "max_tokens": 64, "repetition_penalty": 1, "chat_template_kwargs": answer["arguments"],
            **({"tools": answer["tools"]} if "tools" in answer else {})})
        found = message(response)
        usage = response.json()["usage"]
        assert usage["prompt_tokens"] == len(answer["prompt_ids"])
        if not checkpoints.is_f32(name) and answer["lead"] < 0.1:
            continue  # rounding to bf16 may take the other way
        if "tools" in answer and "\ufffd" in answer["text"]:
            # beside calls there is nothing but UTF-8: the same tokens as a completion
            alone = completions(n, prompt=answer["prompt_ids"], max_tokens=64)["choices"][0]
            assert alone["text"] == answer_text(n, answer)
            assert alone["finish_reason"] == answer["finish"]
            continue
        prompt = n.post("/detokenize", {"model": "demo", "tokens": answer["prompt_ids"]})
        reasoning, content = checkpoints.split_answer(prompt.json()["prompt"],
                                                      answer_text(n, answer))
        assert found.get("reasoning_content", "") == reasoning
        assert found["content"] == content
        assert response.json()["choices"][0]["finish_reason"] == answer["finish"]
        if content == "" and checkpoints.THINK_END not in answer["text"]:
            details = usage["completion_tokens_details"]
            assert details["reasoning_tokens"] == usage["completion_tokens"]


def has_special(name, messages):
    """A look-alike of a special token: transformers takes it for one, Cortex does not."""
    text = json.dumps(messages)
    tokenizer = json.loads((checkpoints.path(name) / "tokenizer.json").read_text())
    return any(t["special"] and t["content"] in text for t in tokenizer["added_tokens"])


@pytest.mark.parametrize("name", checkpoints.NAMES)
def test_prompts_are_those_of_transformers(node, name):
    n = serve(node, name)
    for chat in checkpoints.expect(name)["chats"]:
        body = {"model": "demo", "messages": chat["messages"],
                "add_generation_prompt": chat["add_generation_prompt"],
                "chat_template_kwargs": chat["arguments"]}
        if "tools" in chat:
            body["tools"] = chat["tools"]
        assert n.post("/apply-template", body).json()["prompt"] == chat["text"]
        if not has_special(name, chat["messages"]):
            assert n.post("/tokenize", body).json()["tokens"] == chat["ids"]
    for string in checkpoints.expect(name)["strings"]:
        if string["text"] == "":
            continue
        found = n.post("/tokenize", {"model": "demo", "prompt": string["text"]}).json()
        assert found["tokens"] == string["ids"], string["text"]
        found = n.post("/tokenize", {"model": "demo", "prompt": string["text"],
                                     "add_special_tokens": False}).json()
        assert found["tokens"] == string["ids_without_special"], string["text"]


def completions(n, **more):
    response = n.post("/v1/completions", {"model": "demo", "temperature": 0,
                                          "repetition_penalty": 1, **more})
    assert response.status == 200, response
    return response.json()


@pytest.mark.parametrize("name", [name for name in checkpoints.NAMES if checkpoints.is_f32(name)])
def test_logprobs_of_an_echoed_prompt(node, name):
    """As evaluation harnesses ask for them: ids in, log-probabilities of each out."""
    n = serve(node, name)
    expected = checkpoints.Logits(name)
    for ids, rows in expected.prompts:
        found = completions(n, prompt=ids, echo=True, max_tokens=0, logprobs=3)
        logprobs = found["choices"][0]["logprobs"]["token_logprobs"]
        assert len(logprobs) == len(ids) and logprobs[0] is None
        for i in range(1, len(ids)):
            assert logprobs[i] == pytest.approx(checkpoints.logprobs(rows[i - 1])[ids[i]], abs=2e-4)
        for i in {1, len(ids) - 1}:
            if 0 < i < len(ids):
                best = sorted(checkpoints.logprobs(rows[i - 1]), reverse=True)[:3]
                top = sorted(found["choices"][0]["logprobs"]["top_logprobs"][i].values(),
                             reverse=True)
                assert top[:1] == pytest.approx(best[:1], abs=2e-4)
        usage = found["usage"]
        assert (usage["prompt_tokens"], usage["completion_tokens"]) == (len(ids), 0)


def test_greedy_continuations(node):
    n = serve(node)
    for prompt, continuation in checkpoints.Logits(HYBRID).greedy:
        # two of its tokens would end the answer: up to the first of them
        eos = json.loads((checkpoints.path(HYBRID) / "generation_config.json").read_text())
        ends = [i for i, token in enumerate(continuation) if token in eos["eos_token_id"]]
        length = ends[0] if ends else len(continuation)
        found = completions(n, prompt=prompt, max_tokens=200, logprobs=0)
        text = n.post("/detokenize", {"model": "demo", "tokens": continuation[:min(200, length)]})
        assert found["choices"][0]["text"] == text.json()["prompt"]


# --- the same whatever happens around it ---

def requests(n_requests, tokens=100, **more):
    """Prompts of all lengths, each with a seed."""
    r = random.Random(5)
    for seed in range(n_requests):
        prompt = " ".join(r.choice(["north", "river", "tell me", "why", "and", "the"])
                          for _ in range(r.randrange(1, 60)))
        yield streams.chat_request("demo", seed, tokens, prompt=prompt, temperature=1.0, top_p=0.95,
                                   **more)


def digests(found):
    for stream in found:
        assert stream.status == 200, stream.head_and_body()[:2]
    return [stream.normal_bytes() for stream in found]


@pytest.mark.threads
def test_alone_and_together_are_the_same(node):
    n = serve(node)
    together = digests(streams.run(n.address, list(requests(24))))
    alone = [digests(streams.run(n.address, [request]))[0] for request in requests(24)]
    assert together == alone


@pytest.mark.sanitized
@pytest.mark.threads
@pytest.mark.timeout(300)
def test_kills_change_nothing(node):
    """Workers die in the middle of prompts and answers; the bytes are those of the calm run."""
    n = node(models={"demo": checkpoints.model(HYBRID, workers=2)})
    asked = list(requests(40, tokens=200, repetition_penalty=1.1, stop=["zq"]))
    calm = digests(streams.run(n.address, asked, timeout=120))
    r = random.Random(3)

    async def kill():
        import asyncio
        for _ in range(12):
            await asyncio.sleep(r.uniform(0.05, 0.25))
            n.kill_worker(r.choice([0, 1]), SIGKILL)

    assert digests(streams.run(n.address, asked, disturb=kill, timeout=240)) == calm
    assert n.metrics()["cortex_request_errors_total"] == 0


@pytest.mark.threads
def test_a_restarted_worker_reads_nothing(node):
    n = serve(node)
    assert n.log().count("nothing was read") == 0
    pid = n.worker_pids()[0]
    n.kill_worker(0, SIGKILL)
    wait_for("a new worker", lambda: n.worker_pids().get(0) not in (None, pid))
    n.wait_workers()
    assert n.chat(temperature=0).status == 200
    assert n.log().count("nothing was read") == 1


@pytest.mark.threads
def test_pages_and_states_of_few(node):
    """More requests than the memory has room for at once: all are answered, and the same."""
    n = serve(node, seats=3)
    found = digests(streams.run(n.address, list(requests(12, tokens=50)), timeout=60))
    n = serve(node, seats=16)
    assert digests(streams.run(n.address, list(requests(12, tokens=50)), timeout=60)) == found


@pytest.mark.threads
def test_a_client_that_leaves_gives_its_seat_back(node):
    """In the middle of a prompt or of an answer; those who stay are not disturbed."""
    n = serve(node, limit_context=4000, seats=4)
    stays = {"model": "demo", "stream": True, "max_tokens": 300, "temperature": 0,
             "messages": [{"role": "user", "content": "Where is the river?"}]}
    calm = digests(streams.run(n.address, [request_bytes(stays)]))
    for length in (1, 600):
        leaves = {"model": "demo", "max_tokens": 1000000, "logit_bias": {"65": 100},
                  "prompt": "north " * length}

        async def leave():
            for _ in range(3):
                with n.connect() as conn:
                    conn.send(http1.request_bytes("POST", "/v1/completions", leaves))
                    wait_for("it to run", lambda: "running" in leaving(n))
                wait_for("it to be gone", lambda: leaving(n) == [])

        assert digests(streams.run(n.address, [request_bytes(stays)], disturb=leave)) == calm
        wait_for("the seats to be free", lambda: active(n) == 0)


def leaving(n):
    """The states of requests that are no chats."""
    return [r["state"] for r in n.ctl("requests", "--json")["requests"]
            if r["dialect"] == "completion"]


def request_bytes(body):
    return http1.request_bytes("POST", "/v1/chat/completions", body, {"Connection": "close"})


def active(n):
    return sum(worker["active"] for worker in n.ctl("workers", "--json")["workers"])


# --- parameters ---

def test_seeds(node):
    n = serve(node)
    ask = lambda seed: message(n.chat(seed=seed, temperature=1.0, max_tokens=30))
    assert ask(1) == ask(1)
    assert ask(1) != ask(2)


@pytest.mark.sanitized
def test_logit_bias_and_stop(node):
    n = serve(node)
    token = n.post("/tokenize", {"model": "demo", "prompt": "q"}).json()["tokens"][0]
    found = completions(n, prompt="The river", max_tokens=5, logit_bias={str(token): 100})
    assert found["choices"][0]["text"] == "qqqqq"
    assert found["choices"][0]["finish_reason"] == "length"
    found = completions(n, prompt="The river", max_tokens=9, logit_bias={str(token): 100},
                        stop="qqq")
    assert found["choices"][0]["text"] == "" and found["choices"][0]["finish_reason"] == "stop"
    found = completions(n, prompt="The river", max_tokens=5, logit_bias={str(token): 100},
                        frequency_penalty=2, presence_penalty=2)
    assert found["choices"][0]["text"] == "qqqqq"  # 100 is more than all penalties
    refused = n.post("/v1/completions", {"model": "demo", "prompt": "x", "logit_bias": {"9999": 1}})
    assert refused.status == 400 and "9999" in refused.json()["error"]["message"]


def test_a_special_token_in_a_message_is_text(node):
    n = serve(node)
    ids = lambda text: n.post("/tokenize", {"model": "demo", "messages": [
        {"role": "user", "content": text}]}).json()["tokens"]
    end = n.post("/tokenize", {"model": "demo", "prompt": "<|im_end|>"}).json()["tokens"]
    assert len(end) == 1
    assert ids("a<|im_end|>b").count(end[0]) == ids("ab").count(end[0])
    prompt = n.post("/apply-template", {"model": "demo", "messages": [
        {"role": "user", "content": "a<|im_end|>b"}]}).json()["prompt"]
    assert "a<|im_end|>b" in prompt
    text = n.post("/detokenize", {"model": "demo", "tokens": ids("a<|im_end|>b")}).json()["prompt"]
    assert "a<|im_end|>b" in text


@pytest.mark.threads
def test_n_answers(node):
    n = serve(node)
    body = {"model": "demo", "messages": [{"role": "user", "content": "Why?"}], "seed": 7,
            "temperature": 1.0, "max_tokens": 20, "n": 3}
    found = n.post("/v1/chat/completions", body).json()
    texts = [json.dumps(choice["message"]) for choice in found["choices"]]
    assert [choice["index"] for choice in found["choices"]] == [0, 1, 2]
    assert len(set(texts)) == 3
    alone = n.post("/v1/chat/completions", {**body, "n": 1}).json()
    assert json.dumps(alone["choices"][0]["message"]) == texts[0]


# --- what cannot be ---

@pytest.mark.sanitized
def test_context_overflow(node):
    n = serve(node, limit_context=64)
    refused = n.chat(prompt="north " * 300)
    assert refused.status == 400
    error = refused.json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert "prompt is too long: " in error["message"] and "tokens > 63 maximum" in error["message"]
    # as long as it may be: the answer is as long as what is left
    tokens = [5] * 60
    found = completions(n, prompt=tokens, max_tokens=1000, logit_bias={"65": 100})
    assert found["usage"]["completion_tokens"] == 4
    assert found["choices"][0]["finish_reason"] == "length"


def test_bad_prompts(node):
    n = serve(node)
    for prompt, part in (("", "no tokens"), ([999999], "999999"), ([-1], "prompt")):
        refused = n.post("/v1/completions", {"model": "demo", "prompt": prompt})
        assert refused.status == 400 and part in refused.json()["error"]["message"], refused
    assert n.chat(temperature=0).status == 200


def spoil_weights(folder, change):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def put_nan(data):
    data[-4:] = struct.pack("<f", math.nan)


def cut(data):
    del data[-100:]


def rename_tensor(data):
    at = data.index(b"layernorm.weight")
    data[at:at + 9] = b"layerXorm"


def other_dtype(data):
    at = data.index(b'"F32"')
    data[at:at + 5] = b'"I32"'


def no_shape(folder):
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"hidden_size"', '"hidden_sizes"', 1))


SPOILED = {
    "nan": (lambda folder: spoil_weights(folder, put_nan), "model.safetensors"),
    "cut": (lambda folder: spoil_weights(folder, cut), "model.safetensors"),
    "missing": (lambda folder: spoil_weights(folder, rename_tensor), "layernorm.weight"),
    "dtype": (lambda folder: spoil_weights(folder, other_dtype), "I32"),
    "config": (no_shape, "hidden_size"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json"),
    "bad tokenizer": (lambda folder: (folder / "tokenizer.json").write_text("{"), "tokenizer.json"),
    "bad template": (lambda folder: (folder / "chat_template.jinja").write_text("{% if"),
                     "template"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
}


@pytest.mark.sanitized
@pytest.mark.parametrize("how", SPOILED)
def test_a_spoiled_checkpoint_is_named(make_node, tmp_path, how):
    """The model shows as failed with one sentence everywhere; another model is not disturbed."""
    spoil, part = SPOILED[how]
    folder = tmp_path / "model"
    shutil.copytree(checkpoints.path("qwen3_5_tied"), folder)
    spoil(folder)
    n = make_node(models={"bad": {**checkpoints.model(HYBRID), "path": folder}, "demo": {}})
    n.start(workers=False)
    n.wait_workers(1)

    def failed():
        return [m for m in n.get("/v1/models").json()["data"] if m["status"] == "failed"]

    entry, = wait_for("the model to fail", failed)
    assert entry["id"] == "bad" and part in entry["reason"], entry
    refused = n.chat(model="bad")
    assert refused.status == 503 and part in refused.json()["error"]["message"], refused
    assert part in n.ctl("status")
    assert n.chat().status == 200


def test_impossible_memory_is_refused_with_numbers(make_node):
    n = make_node(models={"bad": checkpoints.model(HYBRID, memory_mb=1), "demo": {}})
    n.start(workers=False)
    entry, = wait_for("the model to fail", lambda: [
        m for m in n.get("/v1/models").json()["data"] if m["status"] == "failed"])
    assert "MiB" in entry["reason"] and "limit_context" in entry["reason"], entry


def test_reading_with_pread(node):
    n = serve(node, io="pread")
    assert n.chat(temperature=0).status == 200
    assert "MiB past the page cache" in n.log()
