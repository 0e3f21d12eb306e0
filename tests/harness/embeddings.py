"""The small embedding model of tests/golden, its variants, and a wide one made up on the spot."""
import base64
import json
import random
import shutil
import struct
from functools import lru_cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "embedding"


@lru_cache
def expect():
    return json.loads((FOLDER / "expect.json").read_text())


def model(path=FOLDER, **keys):
    """Keys of a [model] section that serves it."""
    return {"simulate": "no", "path": path, "limit_context": 512, "seats": 16, "memory_mb": 256,
            **keys}


def decode(text):
    data = base64.b64decode(text, validate=True)
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def as_float32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


# --- checkpoints ---

def change_json(path, **changes):
    content = json.loads(path.read_text())
    content.update(changes)
    path.write_text(json.dumps(content))


def copy_variant(to, pooling, normalize):
    """The checkpoint with another pooling, laid out as sentence-transformers 6 writes it."""
    shutil.copytree(FOLDER, to)
    (to / "1_Pooling" / "config.json").write_text(json.dumps(
        {"embedding_dimension": 32, "pooling_mode": pooling, "include_prompt": True}))
    modules = json.loads((to / "modules.json").read_text())
    (to / "modules.json").write_text(json.dumps(modules[:2 + normalize]))
    return to


def random_bf16(r, n):
    """Numbers of about 2^-8 to 2^-6, either sign."""
    data = bytearray(r.randbytes(2 * n))
    data[1::2] = bytes((0x3b, 0x3c, 0xbb, 0xbc)[b & 3] for b in data[1::2])
    return bytes(data)


def write_tensors(path, tensors):
    """tensors: name -> (shape, BF16 bytes)"""
    header, at = {}, 0
    for name, (shape, data) in tensors.items():
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(
        data for _, data in tensors.values()))


def make_wide(to, hidden=4096):
    """One layer, but vectors of so many numbers that their text takes several turns."""
    shutil.copytree(FOLDER, to)
    change_json(to / "config.json", hidden_size=hidden, num_hidden_layers=1, max_window_layers=1)
    change_json(to / "1_Pooling" / "config.json", word_embedding_dimension=hidden)
    config, r = json.loads((to / "config.json").read_text()), random.Random(1)
    heads = config["num_attention_heads"] * config["head_dim"]
    kv, inner = config["num_key_value_heads"] * config["head_dim"], config["intermediate_size"]
    matrices = {"embed_tokens": (config["vocab_size"], hidden),
                "layers.0.self_attn.q_proj": (heads, hidden), "layers.0.self_attn.k_proj": (kv, hidden),
                "layers.0.self_attn.v_proj": (kv, hidden), "layers.0.self_attn.o_proj": (hidden, heads),
                "layers.0.mlp.gate_proj": (inner, hidden), "layers.0.mlp.up_proj": (inner, hidden),
                "layers.0.mlp.down_proj": (hidden, inner)}
    norms = {"norm": hidden, "layers.0.input_layernorm": hidden,
             "layers.0.post_attention_layernorm": hidden,
             "layers.0.self_attn.q_norm": config["head_dim"],
             "layers.0.self_attn.k_norm": config["head_dim"]}
    tensors = {f"{name}.weight": ([rows, cols], random_bf16(r, rows * cols))
               for name, (rows, cols) in matrices.items()}
    tensors |= {f"{name}.weight": ([n], b"\x80\x3f" * n) for name, n in norms.items()}
    write_tensors(to / "model.safetensors", tensors)
    return to
