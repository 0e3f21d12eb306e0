#!/usr/bin/env python3
"""Random texts through worker/text/tokenizer.h and through the `tokenizers` library.

compare_tokenizer.py DRIVER [--seconds N] [--seed N] [--family NAME] [--json TOKENIZER_JSON]

DRIVER is tokenizer_driver of a build. Needs tokenizers==0.23.3. Every family of
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


def ask(driver, texts):
    """Ids and decoded bytes of each text. The answers are small enough for a pipe to hold none up."""
    answers = []
    for text in texts:
        data = text.encode()
        driver.stdin.write(struct.pack("=I", len(data)) + data)
    driver.stdin.flush()
    for _ in texts:
        n, = struct.unpack("=I", driver.stdout.read(4))
        if n == 0xffffffff:
            answers.append((None, b""))
            continue
        ids = list(struct.unpack(f"={n}I", driver.stdout.read(4 * n)))
        length, = struct.unpack("=I", driver.stdout.read(4))
        answers.append((ids, driver.stdout.read(length)))
    return answers


def same_text(library, ours, has_byte_tokens):
    """The library shows a U+FFFD for each byte of a run of byte tokens that is not UTF-8."""
    if ours.decode("utf-8", "replace") == library:
        return True
    return has_byte_tokens and "\ufffd" in library


def compare(name, text_json, driver_path, seconds, rng):
    library = Tokenizer.from_str(text_json)
    library.no_truncation()
    library.no_padding()
    has_byte_tokens = library.token_to_id("<0xFF>") is not None
    n = n_wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "tokenizer.json").write_text(text_json)
        driver = subprocess.Popen([driver_path, folder], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            texts = [tokenizer_families.random_text(rng) for _ in range(BATCH)]
            ours = ask(driver, texts)
            theirs = library.encode_batch_fast(texts)
            decoded = library.decode_batch([t.ids for t in theirs], skip_special_tokens=False)
            for text, (ids, shown), encoding, whole in zip(texts, ours, theirs, decoded):
                is_same = ids == encoding.ids and same_text(whole, shown, has_byte_tokens)
                n += 1
                n_wrong += not is_same
                if not is_same and n_wrong <= 5:
                    print(f"{name}: {text!r}\n  library {encoding.ids} {whole!r}\n"
                          f"  ours    {ids} {shown!r}\n  {encoding.tokens}")
        driver.stdin.close()
        driver.wait()
    print(f"{name}: {n} texts, {n_wrong} differ", flush=True)
    return n, n_wrong


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
    print(f"{sum(n for n, _ in totals)} texts, {sum(w for _, w in totals)} differ")
    return 1 if any(w for _, w in totals) else 0


if __name__ == "__main__":
    sys.exit(main())
