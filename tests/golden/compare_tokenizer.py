#!/usr/bin/env python3
"""Random texts and ids through worker/text/tokenizer.h and through the `tokenizers` library.

compare_tokenizer.py DRIVER [--seconds N] [--seed N] [--family NAME] [--json TOKENIZER_JSON]

DRIVER is build/release/tests/tokenizer_driver. Needs tokenizers==0.23.3. Every family of
tokenizer_families.py gets its share of the time; what differs is shown, and the exit code is 1.
"""
import argparse
import random
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tokenizers import Tokenizer

import tokenizer_families

BATCH = 100


def ask(driver, requests):
    """Ids and decoded bytes of each text or list of ids. The answers to a batch are small enough for
    a pipe to hold none up."""
    for request in requests:
        is_text = isinstance(request, str)
        data = request.encode() if is_text else struct.pack(f"={len(request)}I", *request)
        driver.stdin.write(struct.pack("=I", len(data) | (0 if is_text else 1 << 31)) + data)
    driver.stdin.flush()
    return [read_answer(driver.stdout) for _ in requests]


def read_answer(stream):
    n, = struct.unpack("=I", stream.read(4))
    if n == 0xffffffff:
        return None, b""
    ids = list(struct.unpack(f"={n}I", stream.read(4 * n)))
    length, = struct.unpack("=I", stream.read(4))
    return ids, stream.read(length)


def random_ids(library, rng):
    """Byte tokens only for whole characters: what the library makes of a broken run is not what
    comes out here, see tokenizer.h."""
    def byte_id(byte):
        return library.token_to_id(f"<0x{byte:02X}>")
    has_bytes = byte_id(255) is not None
    n = library.get_vocab_size() + 3
    out = []
    for _ in range(rng.randrange(1, 12)):
        if has_bytes and rng.random() < 0.3:
            out += [byte_id(byte) for byte in tokenizer_families.random_character(rng).encode()]
            continue
        i = rng.randrange(n)
        if not (has_bytes and (library.id_to_token(i) or "").startswith("<0x")):
            out.append(i)
    return out


class Comparison:
    """One tokenizer here and there, and what differed."""

    def __init__(self, name, text_json):
        self.name = name
        self.library = Tokenizer.from_str(text_json)
        self.library.no_truncation()
        self.library.no_padding()
        self.n = self.n_wrong = 0

    def judge(self, request, ids, shown, ids_expected, text_expected):
        self.n += 1
        if ids == ids_expected and shown.decode("utf-8", "replace") == text_expected:
            return
        self.n_wrong += 1
        if self.n_wrong <= 5:
            print(f"{self.name}: {request!r}\n  library {ids_expected} {text_expected!r}\n"
                  f"  ours    {ids} {shown!r}")

    def run_batch(self, driver, rng):
        texts = [tokenizer_families.random_text(rng) for _ in range(BATCH)]
        lists = [random_ids(self.library, rng) for _ in range(BATCH // 4)]
        expected = [e.ids for e in self.library.encode_batch_fast(texts)] + lists
        decoded = self.library.decode_batch(expected, skip_special_tokens=False)
        answers = ask(driver, texts + lists)
        for request, (ids, shown), *rest in zip(texts + lists, answers, expected, decoded):
            self.judge(request, ids, shown, *rest)


def compare(name, text_json, driver_path, seconds, rng):
    comparison = Comparison(name, text_json)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "tokenizer.json").write_text(text_json)
        driver = subprocess.Popen([driver_path, folder], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            comparison.run_batch(driver, rng)
        driver.stdin.close()
        driver.wait()
    print(f"{name}: {comparison.n} texts and lists of ids, {comparison.n_wrong} differ", flush=True)
    return comparison.n, comparison.n_wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("driver")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--family")
    parser.add_argument("--json")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    if options.json:
        todo = [(options.json, Path(options.json).read_text())]
    else:
        todo = [(f["name"], tokenizer_families.make(f)) for f in tokenizer_families.families()
                if options.family in (None, f["name"])]
    totals = [compare(name, text, options.driver, options.seconds / len(todo), rng)
              for name, text in todo]
    print(f"{sum(n for n, _ in totals)} texts and lists, {sum(w for _, w in totals)} differ")
    return 1 if any(w for _, w in totals) else 0


if __name__ == "__main__":
    sys.exit(main())
