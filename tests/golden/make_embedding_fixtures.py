#!/usr/bin/env python3
"""Writes tests/golden/embedding: a small random embedding model, and what it makes of texts.

    tools/test --fixtures, or .venv-fixtures/bin/python tests/golden/make_embedding_fixtures.py

Needs sentence-transformers 6.2.0 beside what make_fixtures.py needs. The folder is a checkpoint as
Qwen3-Embedding is published: tensors without "model." in front and without a head, a tokenizer that
ends every text with <|endoftext|>, modules.json, 1_Pooling, prompts that nobody asks for. Its own
pooling is the last token's row, normalised.

expect.json  inputs: ids, and the text they come from where they do; variants: for each pooling and
             with and without the Normalize module, whole or cut to some dimensions, a vector per
             input, in the order of the inputs

The vectors are sentence-transformers', run in float64 on the weights as the files have them
(make_fixtures.py says how); oracle.py computes the rows a second time and must agree. Printed: how far
sentence-transformers in float32 is from them.
"""
import contextlib
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from sentence_transformers import SentenceTransformer, __version__
from sentence_transformers.util import truncate_embeddings

import fixture_text
from fixture_models import QWEN3, WARM, Case, file_tensors, full_config, make_weights
from fixture_models import write_json, write_tensors
from make_fixtures import AGREED, in_float64, rounded, take_frequencies
from oracle import Oracle

OUT = Path(__file__).resolve().parent / "embedding"
CASE = Case({**QWEN3, "hidden_size": 32, "intermediate_size": 48, "head_dim": 16,
             "num_hidden_layers": 3, "max_window_layers": 3, "max_position_embeddings": 1024,
             "tie_word_embeddings": True, "architectures": ["Qwen3ForCausalLM"]},
            "qwen", sampling=WARM)
LENGTHS = (1, 64, 65, 200)
TEXTS = ("river", "The worker turns token ids into token ids.", "Über dem Fluß 日本語 🙂",
         "  two  spaces\n\n\n and lines\r\n", "def f(x):\n    return x + 1\n" * 12)
DIMENSIONS = (None, 20)
END = "<|endoftext|>"
FLAGS = {"cls_token": "cls", "mean_tokens": "mean", "max_tokens": "max",
         "mean_sqrt_len_tokens": "sqrt", "weightedmean_tokens": "weighted",
         "lasttoken": "lasttoken"}


# --- the checkpoint ---

def end_texts(folder, tokens):
    """As Qwen3-Embedding's tokenizer does."""
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    piece = {"SpecialToken": {"id": END, "type_id": 0}}
    a, b = ({"Sequence": {"id": s, "type_id": 0}} for s in "AB")
    tokenizer["post_processor"] = {"type": "Sequence", "processors": [
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        {"type": "TemplateProcessing", "single": [a, piece], "pair": [a, piece, b, piece],
         "special_tokens": {END: {"id": END, "ids": [tokens[END]], "tokens": [END]}}}]}
    write_json(path, tokenizer)


def write_modules(folder, pooling, is_normalised, hidden):
    names = ["Transformer", "Pooling"] + ["Normalize"] * is_normalised
    write_json(folder / "modules.json", [
        {"idx": i, "name": str(i), "path": f"{i}_{name}" if i > 0 else "",
         "type": f"sentence_transformers.models.{name}"} for i, name in enumerate(names)])
    (folder / "1_Pooling").mkdir(exist_ok=True)
    write_json(folder / "1_Pooling" / "config.json", {
        "word_embedding_dimension": hidden,
        **{f"pooling_mode_{flag}": mode == pooling for flag, mode in FLAGS.items()},
        "include_prompt": True})


def write_checkpoint(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokens = fixture_text.write_tokenizer(folder, CASE)
    end_texts(folder, tokens)
    config = full_config(CASE, tokens)
    write_json(folder / "config.json", config)
    write_json(folder / "config_sentence_transformers.json", {
        "prompts": {"query": "Instruct: find what answers this\nQuery:", "document": ""},
        "default_prompt_name": None, "similarity_fn_name": "cosine"})
    write_modules(folder, "lasttoken", True, config["hidden_size"])
    weights = make_weights(CASE, config, CASE.seed, [])
    tensors = file_tensors(CASE, weights)
    write_tensors(folder, {n.removeprefix("model."): t for n, t in tensors.items()}, 1)


# --- what it makes of texts ---

class Embedder:
    def __init__(self, folder, oracle, is_wide):
        self.model = SentenceTransformer(str(folder), device="cpu", model_kwargs={
            "dtype": torch.float32, "attn_implementation": "eager"})
        self.inner = self.model[0].auto_model
        for module in self.inner.modules():
            if hasattr(module, "inv_freq"):
                take_frequencies(module, oracle)
        self.is_wide = is_wide
        if is_wide:
            self.model.double()

    @torch.no_grad()
    def embed(self, row, dimensions):
        """A text goes the whole way; ids begin behind the tokenizer. What is cut short is normalised
        again by models that normalise."""
        is_normalised = len(self.model) == 3
        with in_float64(self.inner) if self.is_wide else contextlib.nullcontext():
            if "text" in row:
                assert self.model.tokenizer(row["text"])["input_ids"] == row["ids"]
                return self.model.encode(row["text"], truncate_dim=dimensions,
                                         normalize_embeddings=is_normalised).tolist()
            ids = torch.tensor([row["ids"]])
            found = self.model({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
        vector = truncate_embeddings(found["sentence_embedding"][0], dimensions)
        if is_normalised:
            vector = torch.nn.functional.normalize(vector, dim=-1)
        return vector.tolist()


def make_inputs(folder, oracle):
    rng = np.random.default_rng(CASE.seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rows = [{"ids": rng.integers(0, len(oracle.embed), n).tolist()} for n in LENGTHS]
    return rows + [{"text": text, "ids": tokenizer(text)["input_ids"]} for text in TEXTS]


def compute_again(oracle, ids, variant):
    rows = oracle.hidden(ids)
    vector = rows.mean(0) if variant["pooling"] == "mean" else rows[-1]
    vector = vector[:variant["dimensions"]]
    return vector / np.sqrt((vector * vector).sum()) if variant["normalize"] else vector


def make_variant(folder, oracle, inputs, variant):
    """The variant with its vectors; how far the oracle and float32 are from them."""
    write_modules(folder, variant["pooling"], variant["normalize"], oracle.embed.shape[1])
    wide, narrow = (Embedder(folder, oracle, is_wide) for is_wide in (True, False))
    vectors = [wide.embed(row, variant["dimensions"]) for row in inputs]
    apart = [np.abs(np.array(other) - vector).max() for row, vector in zip(inputs, vectors)
             for other in (compute_again(oracle, row["ids"], variant),
                           narrow.embed(row, variant["dimensions"]))]
    assert max(apart[::2]) < AGREED, f"{variant}: the oracle is {max(apart[::2])} apart"
    vectors = [[float(f"{x:.12g}") for x in vector] for vector in vectors]
    return {**variant, "vectors": vectors}, max(apart[1::2])


def main():
    transformers.utils.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    write_checkpoint(OUT)
    oracle = Oracle(OUT)
    inputs = make_inputs(OUT, oracle)
    variants, apart = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        shutil.copytree(OUT, folder)
        for pooling in ("lasttoken", "mean"):
            for normalize in (True, False):
                for dimensions in DIMENSIONS:
                    variant = {"pooling": pooling, "normalize": normalize, "dimensions": dimensions}
                    made, off = make_variant(folder, oracle, inputs, variant)
                    variants.append(made)
                    apart[f"{pooling}, {normalize}, {dimensions}"] = rounded(float(off))
    text = json.dumps({"made_with": f"sentence-transformers {__version__}", "inputs": inputs,
                       "variants": variants}, ensure_ascii=False, separators=(",", ":"))
    (OUT / "expect.json").write_text(text + "\n", encoding="utf-8")
    size = sum(p.stat().st_size for p in OUT.rglob("*") if p.is_file())
    print(f"embedding: {size // 1024} KiB; float32 apart: {apart}")


if __name__ == "__main__":
    main()
