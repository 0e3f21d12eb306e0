#!/usr/bin/env python3
"""make_checkpoint.py SHAPE DIRECTORY: config.json and model.safetensors of random BF16 weights, in the
shape of a published model. For benchmarks: it has no tokenizer.

SHAPE: qwen3.5-0.8b (hybrid, 24 layers), qwen3-0.6b (dense, 28 layers)
"""
import array
import json
import math
import random
import struct
import sys
from pathlib import Path

POOL = 1 << 18  # normal numbers, walked from a random start for each piece of a tensor

HYBRID = {
    "model_type": "qwen3_5_text", "vocab_size": 248320, "hidden_size": 1024,
    "intermediate_size": 3584, "num_hidden_layers": 24, "num_attention_heads": 8,
    "num_key_value_heads": 2, "head_dim": 256, "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_num_key_heads": 16,
    "linear_num_value_heads": 16, "full_attention_interval": 4, "max_position_embeddings": 262144,
    "rms_norm_eps": 1e-6, "hidden_act": "silu", "tie_word_embeddings": True,
    "attention_bias": False, "eos_token_id": 248044, "dtype": "bfloat16",
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000000,
                        "partial_rotary_factor": 0.25},
}
DENSE = {
    "model_type": "qwen3", "vocab_size": 151936, "hidden_size": 1024, "intermediate_size": 3072,
    "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
    "max_position_embeddings": 40960, "rms_norm_eps": 1e-6, "hidden_act": "silu",
    "tie_word_embeddings": True, "attention_bias": False, "eos_token_id": 151645,
    "rope_theta": 1000000, "dtype": "bfloat16",
}
SHAPES = {"qwen3.5-0.8b": HYBRID, "qwen3-0.6b": DENSE}


def attention(c, is_gated):
    head, hidden = c["head_dim"], c["hidden_size"]
    q, kv = c["num_attention_heads"] * head, c["num_key_value_heads"] * head
    return {"self_attn.q_proj.weight": [q * (2 if is_gated else 1), hidden],
            "self_attn.k_proj.weight": [kv, hidden], "self_attn.v_proj.weight": [kv, hidden],
            "self_attn.o_proj.weight": [hidden, q], "self_attn.q_norm.weight": [head],
            "self_attn.k_norm.weight": [head]}


def delta_net(c):
    heads, value = c["linear_num_value_heads"], c["linear_value_head_dim"]
    keys = c["linear_num_key_heads"] * c["linear_key_head_dim"]
    values, hidden = heads * value, c["hidden_size"]
    channels = 2 * keys + values
    return {"linear_attn.in_proj_qkv.weight": [channels, hidden],
            "linear_attn.in_proj_z.weight": [values, hidden],
            "linear_attn.in_proj_b.weight": [heads, hidden],
            "linear_attn.in_proj_a.weight": [heads, hidden],
            "linear_attn.conv1d.weight": [channels, 1, c["linear_conv_kernel_dim"]],
            "linear_attn.A_log": [heads], "linear_attn.dt_bias": [heads],
            "linear_attn.norm.weight": [value], "linear_attn.out_proj.weight": [hidden, values]}


def tensors_of(c):
    hidden, mlp = c["hidden_size"], c["intermediate_size"]
    found = {"model.embed_tokens.weight": [c["vocab_size"], hidden], "model.norm.weight": [hidden]}
    for i in range(c["num_hidden_layers"]):
        interval = c.get("full_attention_interval")
        is_linear = interval is not None and (i + 1) % interval != 0
        layer = {"input_layernorm.weight": [hidden], "post_attention_layernorm.weight": [hidden],
                 "mlp.gate_proj.weight": [mlp, hidden], "mlp.up_proj.weight": [mlp, hidden],
                 "mlp.down_proj.weight": [hidden, mlp],
                 **(delta_net(c) if is_linear else attention(c, interval is not None))}
        found.update({f"model.layers.{i}.{name}": shape for name, shape in layer.items()})
    return found


def bf16(values):
    wide = array.array("f", values).tobytes()
    return b"".join(wide[i + 2:i + 4] for i in range(0, len(wide), 4))


def write_tensor(f, name, shape, pools, r):
    scale = 1 / math.sqrt(shape[-1]) if len(shape) == 2 else 0.3
    if scale not in pools:
        pools[scale] = bf16(x * scale for x in pools["normal"])
    pool, left = pools[scale], 2 * math.prod(shape)
    if name.endswith("norm.weight"):  # near one in either reading: w of 1, or 1 + w of 0
        pool = bf16([1.0 + 0.1 * r.random() for _ in range(shape[0])])
        f.write(pool)
        return
    while left > 0:
        at = 2 * r.randrange(POOL // 2)
        piece = pool[at:at + min(left, len(pool) - at)]
        f.write(piece)
        left -= len(piece)


def main(shape, folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = SHAPES[shape]
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    r = random.Random(1)
    pools = {"normal": [r.gauss(0, 1) for _ in range(POOL)]}
    header, at = {}, 0
    tensors = tensors_of(config)
    for name, dims in tensors.items():
        size = 2 * math.prod(dims)
        header[name] = {"dtype": "BF16", "shape": dims, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text = text.ljust((len(text) + 7) // 8 * 8)
    with open(folder / "model.safetensors.part", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name, dims in tensors.items():
            write_tensor(f, name, dims, pools, r)
    (folder / "model.safetensors.part").rename(folder / "model.safetensors")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in SHAPES:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
