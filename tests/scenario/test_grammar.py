"""Structured output against `jsonschema`: random schemas, random walks through their masks with the
tokens of real vocabularies. Whatever comes out must be JSON of the schema."""
import json
import shutil
import struct
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator as Validator

from node import BIN_DIR, ROOT
from schemas import Schemas

DRIVER = BIN_DIR.parent / "tests" / "grammar_driver"
REFUSED = 0xffffffff
SCHEMAS = 270  # for each vocabulary, others for each
WALKS = 3


class Driver:
    def __init__(self, folder):
        self.process = subprocess.Popen([DRIVER, folder], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def number(self):
        return struct.unpack("=I", self.process.stdout.read(4))[0]

    def text(self):
        return self.process.stdout.read(self.number()).decode()

    def ask(self, schema, seed):
        """The texts of walks, or the sentence that refuses the schema."""
        data = json.dumps(schema).encode()
        self.process.stdin.write(struct.pack("=III", seed, WALKS, len(data)) + data)
        self.process.stdin.flush()
        n = self.number()
        return self.text() if n == REFUSED else [self.text() for _ in range(n)]

    def close(self):
        self.process.stdin.close()
        assert self.process.wait() == 0


@pytest.fixture(params=list(enumerate(["demo", "qwen2", "llama2", "gpt_oss"])),
                ids=lambda param: param[1])
def tokenizer(request):
    return request.param


@pytest.fixture
def driver(tokenizer, tmp_path):
    if not DRIVER.exists():
        pytest.fail(f"{DRIVER} does not exist; build first, or set CORTEX_BIN_DIR")
    if tokenizer[1] == "demo":
        yield Driver(ROOT / "models" / "demo")
        return
    file = ROOT / "tests" / "golden" / "tokenizers" / f"{tokenizer[1]}.json"
    shutil.copy(file, tmp_path / "tokenizer.json")
    yield Driver(tmp_path)


@pytest.mark.sanitized
def test_walks_give_json_of_the_schema(driver, tokenizer):
    refused, unfinished, n_texts = Counter(), 0, 0
    for seed in range(tokenizer[0] * SCHEMAS, (tokenizer[0] + 1) * SCHEMAS):
        schema = Schemas(seed).whole()
        found = driver.ask(schema, seed)
        if isinstance(found, str):
            refused[found.split(": ")[-1]] += 1
            continue
        unfinished += WALKS - len(found)
        validator = Validator(schema, format_checker=Validator.FORMAT_CHECKER)
        for text in found:
            n_texts += 1
            for wrong in validator.iter_errors(json.loads(text)):
                pytest.fail(f"seed {seed}: {json.dumps(schema)}\n{text}\n{wrong.message}")
    driver.close()
    print(f"{n_texts} texts, {unfinished} without an end; {dict(refused)}")
    assert sum(refused.values()) < SCHEMAS / 10
    assert unfinished < SCHEMAS / 10
