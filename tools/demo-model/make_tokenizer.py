"""Byte-level BPE with Qwen3.5's normaliser and pre-tokeniser, trained on the corpus and our pages.

usage: make_tokenizer.py DIRECTORY
"""
import json
import sys
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import corpus
from facts import ROOT
from model import CONFIG

SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MARKS = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"]  # as Qwen3.5: added, not special
SAMPLES = 30000


def lines():
    for i in range(SAMPLES):
        yield "".join(corpus.texts("tokenizer", i))
    for page in sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")]):
        yield page.read_text()


def make():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=CONFIG["vocab_size"], initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False,
        special_tokens=[AddedToken(t, special=True, normalized=False) for t in SPECIAL] +
                       [AddedToken(t, special=True, normalized=False) for t in MARKS])
    texts = (t for line in lines() for t in line.split("<|im_start|>"))
    tokenizer.train_from_iterator(texts, trainer)
    state = json.loads(tokenizer.to_str())  # the trainer makes all of them special
    for token in state["added_tokens"]:
        token["special"] = token["content"] in SPECIAL
    return Tokenizer.from_str(json.dumps(state))


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = make()
    assert tokenizer.get_vocab_size() == CONFIG["vocab_size"], tokenizer.get_vocab_size()
    tokenizer.save(str(out / "tokenizer.json"))


if __name__ == "__main__":
    main()
