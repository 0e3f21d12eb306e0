"""The small checkpoints of tests/golden, and what transformers says of them."""
import json
import math
import struct
from functools import lru_cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "checkpoints"
MAGIC = 0x78676F6C
THINK_END = "</think>"

NAMES = sorted(path.parent.name for path in FOLDER.glob("*/expect.json"))


def path(name):
    return FOLDER / name


@lru_cache
def expect(name):
    return json.loads((FOLDER / name / "expect.json").read_text())


@lru_cache
def is_f32(name):
    for shard in (FOLDER / name).glob("*.safetensors"):
        with open(shard, "rb") as f:
            n, = struct.unpack("<Q", f.read(8))
            header = json.loads(f.read(n))
        if any(t["dtype"] != "F32" for k, t in header.items() if k != "__metadata__"):
            return False
    return True


def model(name, **keys):
    """Keys of a [model] section that serves it."""
    return {"simulate": "no", "path": path(name), "limit_context": 512, "seats": 16,
            "memory_mb": 256, **keys}


class Logits:
    """expect.bin: prompts, and log-probabilities at each of their positions."""

    def __init__(self, name):
        data = (FOLDER / name / "expect.bin").read_bytes()
        magic, self.n_prompts, self.vocab = struct.unpack_from("<3I", data)
        assert magic == MAGIC
        self.prompts, at = [], 12
        for _ in range(self.n_prompts):
            n, = struct.unpack_from("<I", data, at)
            ids = struct.unpack_from(f"<{n}I", data, at + 4)
            at += 4 + 4 * n
            rows = [struct.unpack_from(f"<{self.vocab}f", data, at + 4 * self.vocab * i)
                    for i in range(n)]
            at += 4 * self.vocab * n
            self.prompts.append((list(ids), rows))
        n_greedy, = struct.unpack_from("<I", data, at)
        at += 4
        self.greedy = []
        for _ in range(n_greedy):
            n_prompt, n = struct.unpack_from("<2I", data, at)
            ids = struct.unpack_from(f"<{n_prompt + n}I", data, at + 8)
            at += 8 + 4 * (n_prompt + n)
            self.greedy.append((list(ids[:n_prompt]), list(ids[n_prompt:])))


def logprobs(row):
    top = max(row)
    lse = top + math.log(sum(math.exp(x - top) for x in row))
    return [x - lse for x in row]


def split_answer(prompt_text, text):
    """(reasoning, content) of an answer, as the worker tells them apart."""
    def strip(part):
        return part.lstrip("\n")
    if prompt_text.rstrip().endswith("<think>"):
        reasoning, end, content = text.partition(THINK_END)
        return strip(reasoning), strip(content) if end else ""
    before, start, rest = text.partition("<think>")
    if not start:
        return "", text
    reasoning, _, content = rest.partition(THINK_END)
    return strip(reasoning), before + strip(content)
