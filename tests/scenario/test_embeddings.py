"""POST /v1/embeddings: the simulated model's vectors, and real ones against sentence-transformers."""
import asyncio
import json
import random
from signal import SIGKILL, SIGSEGV

import pytest

import checkpoints
import embeddings
import http1
import streams
import words
from node import wait_for

TEXT = "nije bibo schön 日本 hello"


def embed(node, input, status=200, model="demo", **more):
    got = node.post("/v1/embeddings", {"model": model, "input": input, **more}, timeout=60)
    assert got.status == status, got
    return got.json() if status == 200 else got.error()


def vectors(answer):
    assert [row["index"] for row in answer["data"]] == list(range(len(answer["data"])))
    assert {row["object"] for row in answer["data"]} == {"embedding"}
    return [row["embedding"] for row in answer["data"]]


# --- the simulated model ---

@pytest.mark.sanitized
def test_forms_of_input(node):
    n = node()
    ids = words.tokens(TEXT)
    expected = words.embedding(ids)
    got = embed(n, TEXT)
    assert got == {"object": "list", "model": "demo", "usage": {"prompt_tokens": 5, "total_tokens": 5},
                   "data": [{"object": "embedding", "index": 0, "embedding": got["data"][0]["embedding"]}]}
    assert [embeddings.as_float32(x) for x in got["data"][0]["embedding"]] == expected
    for input in (ids, [TEXT], [ids]):
        assert embed(n, input)["data"] == got["data"]
    several = embed(n, ["nije", TEXT, [7, 8], "bibo"])
    assert several["usage"] == {"prompt_tokens": 9, "total_tokens": 9}
    assert vectors(several) == [vectors(embed(n, one))[0] for one in ("nije", TEXT, [7, 8], "bibo")]
    assert embed(n, TEXT, user="u", seed=3, encoding_format=None)["data"] == got["data"]


def test_formats_and_dimensions(node):
    n = node()
    inputs = [TEXT, "zahi", [1, 2, 3]]
    numbers = vectors(embed(n, inputs, encoding_format="float"))
    texts = vectors(embed(n, inputs, encoding_format="base64"))
    for vector, text in zip(numbers, texts):
        assert embeddings.decode(text) == [embeddings.as_float32(x) for x in vector]
        assert len(vector) == words.DIMENSIONS
    for dimensions in (1, 5, 64):
        got = vectors(embed(n, "nije bibo", dimensions=dimensions, encoding_format="base64"))
        assert embeddings.decode(got[0]) == words.embedding(words.tokens("nije bibo"), dimensions)


def test_numbers_have_no_more_digits_than_they_need(node):
    """Nine tell any two float32 apart; what is written is the shortest that reads back the same."""
    n = node()
    raw = n.post("/v1/embeddings", {"model": "demo", "input": TEXT}).body.decode()
    written = raw[raw.index("[", raw.index('"embedding":')) + 1:raw.index("]")].split(",")
    assert len(written) == words.DIMENSIONS
    for text, x in zip(written, words.embedding(words.tokens(TEXT))):
        shortest = next(f"{x:.{p}g}" for p in range(1, 10)
                        if embeddings.as_float32(float(f"{x:.{p}g}")) == x)
        assert float(text) == float(shortest), (text, shortest)


REFUSED = {
    "no input": ({}, "input", "missing"),
    "null": ({"input": None}, "input", "missing"),
    "a number": ({"input": 3}, "input", "expected a string or an array"),
    "an object": ({"input": {}}, "input", "expected a string or an array"),
    "nothing": ({"input": []}, "input", "nothing in it"),
    "an empty string": ({"input": ""}, "input", "input 0: an empty string"),
    "one of them empty": ({"input": ["a", ""]}, "input", "input 1: an empty string"),
    "no ids": ({"input": [[1], []]}, "input", "input 1: no token"),
    "a mix": ({"input": [1, "a"]}, "input", "input 0, token 1"),
    "a fraction": ({"input": [[1.5]]}, "input", "input 0, token 0"),
    "depth": ({"input": [[[1]]]}, "input", "expected a token id"),
    "an unknown id": ({"input": [99999]}, None, "99999"),
    "too many": ({"input": ["a"] * 1025}, "input", "1025 of them, expected at most 1024"),
    "format": ({"input": "a", "encoding_format": "hex"}, "encoding_format", "float or base64"),
    "format's type": ({"input": "a", "encoding_format": 3}, "encoding_format", "a string"),
    "no dimensions": ({"input": "a", "dimensions": 0}, "dimensions", "1 to"),
    "dimensions' type": ({"input": "a", "dimensions": "8"}, "dimensions", "an integer"),
    "dimensions": ({"input": "a", "dimensions": 65}, None, "found 65, expected 1 to 64"),
    "too long": ({"input": "a " * 101}, None, "prompt is too long: 101 tokens > 100 maximum"),
    "one too long": ({"input": ["a", "a " * 101]}, None, "prompt is too long"),
    "no text": ({"input": "  "}, None, None),
}


@pytest.mark.sanitized
def test_what_is_refused(node):
    n = node(models={"demo": {"limit_context": 100}})
    for name, (body, param, part) in REFUSED.items():
        got = n.post("/v1/embeddings", {"model": "demo", **body})
        if part is None:  # blanks are a token of this model
            assert got.status == 200, (name, got)
            continue
        assert got.status == 400, (name, got)
        assert part in got.error()["message"], (name, got)
        assert got.error()["param"] == param, (name, got)
    got = n.post("/v1/embeddings", {"input": "a"})
    assert got.status == 400 and "model: missing" in got.error()["message"]
    assert embed(n, "a", 404, model="dem")["code"] == "model_not_found"
    assert n.get("/v1/embeddings").status == 405


@pytest.mark.threads
def test_as_many_inputs_as_there_may_be(node):
    n = node(models={"demo": {"seats": 16}})
    inputs = [words.text(i, 1 + i % 5) for i in range(1024)]
    got = embed(n, inputs, encoding_format="base64")
    assert [embeddings.decode(v) for v in vectors(got)] == [
        words.embedding(words.tokens(text)) for text in inputs]
    metrics = n.metrics()
    assert metrics["cortex_requests_total"] == 1024
    assert metrics["cortex_prompt_tokens_total"] == got["usage"]["prompt_tokens"]
    assert metrics["cortex_completion_tokens_total"] == 0
    assert metrics["cortex_requests_open"] == 0


@pytest.mark.sanitized
@pytest.mark.threads
def test_kills_of_simulated_workers_change_nothing(node):
    n = node(models={"demo": {"workers": 2, "seats": 8, "simulate_prefill_ms": 20}})
    inputs = [words.text(i, 3) for i in range(400)]
    r = random.Random(1)

    async def kill():
        for _ in range(4):
            await asyncio.sleep(r.uniform(0.05, 0.15))
            n.kill_worker(r.choice([0, 1]), SIGKILL)

    found, = streams.run(n.address, [request(inputs)], disturb=kill, timeout=60)
    assert found.status == 200
    assert [embeddings.decode(v) for v in vectors(json.loads(body_of(found)))] == [
        words.embedding(words.tokens(text)) for text in inputs]
    assert n.metrics()["cortex_child_deaths_total"] >= 1


def request(inputs, **more):
    return http1.request_bytes("POST", "/v1/embeddings",
                               {"model": "demo", "input": inputs, "encoding_format": "base64", **more},
                               {"Connection": "close"})


def body_of(stream):
    return stream.head_and_body()[1]


def test_a_client_that_leaves(node):
    n = node(models={"demo": {"seats": 4, "simulate_prefill_ms": 50}})
    with n.connect() as conn:
        conn.send(request(["a b"] * 200))
        wait_for("requests", lambda: n.metrics()["cortex_model_in_flight"] > 0)
    wait_for("their end", lambda: n.metrics()["cortex_requests_open"] == 0)
    assert vectors(embed(n, "a"))[0]


# --- real models ---

def close_to(found, expected, bound):
    return all(abs(a - b) <= bound for a, b in zip(found, expected)) and len(found) == len(expected)


@pytest.mark.sanitized
@pytest.mark.parametrize("pooling", ["lasttoken", "mean"])
@pytest.mark.parametrize("normalize", [True, False])
def test_vectors_are_those_of_sentence_transformers(node, tmp_path, pooling, normalize):
    path = embeddings.copy_variant(tmp_path / "model", pooling, normalize)
    n = node(models={"demo": embeddings.model(path)})
    rows = embeddings.expect()["inputs"]
    variants = [v for v in embeddings.expect()["variants"]
                if v["pooling"] == pooling and v["normalize"] == normalize]
    assert [v["dimensions"] for v in variants] == [None, 20]
    for variant in variants:
        more = {"dimensions": variant["dimensions"]} if variant["dimensions"] else {}
        for inputs in ([row["ids"] for row in rows], [row.get("text", row["ids"]) for row in rows]):
            got = embed(n, inputs, **more)
            for found, expected in zip(vectors(got), variant["vectors"]):
                assert close_to(found, expected, 2e-6 if normalize else 1e-5)
            assert got["usage"]["prompt_tokens"] == sum(len(row["ids"]) for row in rows)
    for row in rows:
        if "text" in row:
            got = n.post("/tokenize", {"model": "demo", "prompt": row["text"]})
            assert got.json()["tokens"] == row["ids"]


@pytest.mark.sanitized
@pytest.mark.threads
@pytest.mark.parametrize("pooling", ["lasttoken", "mean"])
def test_alone_and_together_are_the_same(node, tmp_path, pooling):
    """Steps of 16 tokens and of 512, one input and many, one thread and two: the same bits."""
    path = embeddings.copy_variant(tmp_path / "model", pooling, False)
    inputs = [row["ids"] for row in embeddings.expect()["inputs"]]
    n = node(models={"demo": embeddings.model(path),
                     "small": embeddings.model(path, batch_tokens=16, seats=3, threads=1)})
    together = vectors(embed(n, inputs, encoding_format="base64"))
    assert [vectors(embed(n, one, encoding_format="base64"))[0] for one in inputs] == together
    assert vectors(embed(n, inputs, encoding_format="base64", model="small")) == together
    # what was read before is known, but for a mean every row is needed
    assert (n.counter("prefix_hit_tokens") > 0) == (pooling == "lasttoken")


@pytest.mark.threads
def test_a_long_batch_among_short_ones(node):
    """More than there is room for: all are answered, whoever gave way."""
    n = node(models={"demo": embeddings.model(memory_mb=4, seats=16)})
    r = random.Random(2)
    inputs = [[r.randrange(300) for _ in range(r.choice((1, 30, 500)))] for _ in range(60)]
    got = vectors(embed(n, inputs, encoding_format="base64"))
    assert [vectors(embed(n, one, encoding_format="base64"))[0] for one in inputs[:8]] == got[:8]


def test_what_a_model_is_for(node):
    n = node(models={"demo": embeddings.model(), "chat": checkpoints.model("qwen3"), "sim": {}})
    entries = {m["id"]: m for m in n.get("/v1/models").json()["data"]}
    assert entries["demo"]["capabilities"] == ["embedding"]
    assert entries["chat"]["capabilities"][:2] == ["completion", "chat"]
    assert "embedding" not in entries["chat"]["capabilities"]
    assert entries["sim"]["capabilities"] == ["completion", "chat", "tools", "reasoning", "embedding"]
    error = embed(n, "a", 400, model="chat")
    assert error["code"] == "unsupported_parameter"
    assert "generates text: it makes no embeddings" in error["message"]
    for got in (n.chat(), n.post("/v1/completions", {"model": "demo", "prompt": "a"})):
        assert got.status == 400, got
        assert "this is an embedding model" in got.error()["message"]
        assert "/v1/embeddings" in got.error()["message"]
    streamed = n.chat(stream=True)
    assert streamed.status == 400 and "embedding model" in streamed.error()["message"]
    assert n.chat(model="chat", temperature=0).status == 200


def test_limits_of_a_real_model(node, tmp_path):
    path = embeddings.copy_variant(tmp_path / "model", "mean", True)
    (path / "sentence_bert_config.json").write_text('{"max_seq_length": 100, "do_lower_case": false}')
    n = node(models={"demo": embeddings.model(path)})
    assert "found 33, expected 1 to 32" in embed(n, "a", 400, dimensions=33)["message"]
    error = embed(n, [[5] * 101], 400)
    assert error["code"] == "context_length_exceeded"
    assert "prompt is too long: 101 tokens > 100 maximum" in error["message"]
    assert len(vectors(embed(n, [[5] * 100], dimensions=32))[0]) == 32
    assert "99999" in embed(n, [[99999]], 400)["message"]
    assert n.get("/v1/models/demo").json()["max_model_len"] == 100


def test_an_unknown_layout_is_named(make_node, tmp_path):
    path = embeddings.copy_variant(tmp_path / "model", "cls", True)
    n = make_node(models={"bad": embeddings.model(path), "demo": {}})
    n.start(workers=False)
    entry, = wait_for("the model to fail", lambda: [
        m for m in n.get("/v1/models").json()["data"] if m["status"] == "failed"])
    assert "1_Pooling/config.json: found pooling by cls" in entry["reason"], entry
    assert "pooling by cls" in embed(n, "a", 503, model="bad")["message"]


@pytest.mark.sanitized
@pytest.mark.threads
@pytest.mark.timeout(300)
def test_kills_change_nothing(node, tmp_path):
    """Vectors of 4096 numbers come in turns: workers die between them, and in the middle of one. The
    bytes are those of the calm run."""
    n = node(models={"demo": embeddings.model(embeddings.make_wide(tmp_path / "wide"), workers=2,
                                              memory_mb=512)})
    r = random.Random(4)
    inputs = [[r.randrange(300) for _ in range(r.randrange(1, 120))] for _ in range(150)]
    calm = body_of(streams.run(n.address, [request(inputs)], timeout=120)[0])
    assert len(embeddings.decode(json.loads(calm)["data"][0]["embedding"])) == 4096

    async def kill():
        for _ in range(10):
            await asyncio.sleep(r.uniform(0.01, 0.1))
            n.kill_worker(r.choice([0, 1]), SIGKILL)

    for _ in range(20):
        found, = streams.run(n.address, [request(inputs)], disturb=kill, timeout=240)
        assert body_of(found) == calm
        if n.counter("worker_tokens_replayed") > 0:
            break
    assert n.counter("worker_tokens_replayed") > 0
    assert n.metrics()["cortex_request_errors_total"] == 0


def test_the_canary_of_an_embedding_model(node):
    """It asks for an embedding: a completion would be refused, and the circuit stay open."""
    n = node(models={"demo": embeddings.model()},
             supervisor={"fault_budget": 1, "circuit_open_ms": 100})

    def opens():
        n.kill_worker(0, SIGSEGV)
        return n.metrics()["cortex_circuit_opens_total"] >= 1

    wait_for("the circuit", opens)
    wait_for("an answer", lambda: n.post("/v1/embeddings", {"model": "demo", "input": "a"}).status
             == 200)
    assert "canary refused" not in n.log()
