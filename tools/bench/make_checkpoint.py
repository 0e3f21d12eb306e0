#!/usr/bin/env python3
"""Writes a checkpoint of random bf16 weights in the shape of a published model, for benches.

    tools/bench/make_checkpoint.py FOLDER [--shape NAME] [--layers N] [--seed N]

No weight is zero and no layer blows up: each is plus or minus [1, 2) times the power of two that
keeps the scale of what it multiplies. No tokenizer: benches bring ids. Needs nothing but Python; the
0.8B shape is 1.5 GB and takes some seconds.
"""
import argparse
import json
import math
import random
import struct
from pathlib import Path

COMMON = dict(hidden_act="silu", attention_bias=False, attention_dropout=0.0, use_cache=True,
              initializer_range=0.02, rms_norm_eps=1e-6, torch_dtype="bfloat16", eos_token_id=0,
              tie_word_embeddings=True)
SHAPES = {
    "hybrid-0.8b": {**COMMON, **dict(
        model_type="qwen3_5_text", vocab_size=248320, hidden_size=1024, intermediate_size=3584,
        num_hidden_layers=24, num_attention_heads=8, num_key_value_heads=2, head_dim=256,
        linear_num_value_heads=16, linear_num_key_heads=16, linear_key_head_dim=128,
        linear_value_head_dim=128, linear_conv_kernel_dim=4, full_attention_interval=4,
        attn_output_gate=True, max_position_embeddings=262144,
        rope_parameters=dict(rope_type="default", rope_theta=10000000,
                             partial_rotary_factor=0.25))},
    "dense-0.6b": {**COMMON, **dict(
        model_type="qwen3", vocab_size=151936, hidden_size=1024, intermediate_size=3072,
        num_hidden_layers=28, num_attention_heads=16, num_key_value_heads=8, head_dim=128,
        rope_theta=1000000, max_position_embeddings=40960)},
}
PIECE = 1 << 19  # elements drawn at once


def linear_layer(c):
    hidden, values = c["hidden_size"], c["linear_num_value_heads"] * c["linear_value_head_dim"]
    channels = 2 * c["linear_num_key_heads"] * c["linear_key_head_dim"] + values
    heads = c["linear_num_value_heads"]
    return {"linear_attn.in_proj_qkv.weight": (channels, hidden),
            "linear_attn.in_proj_z.weight": (values, hidden),
            "linear_attn.in_proj_b.weight": (heads, hidden),
            "linear_attn.in_proj_a.weight": (heads, hidden),
            "linear_attn.conv1d.weight": (channels, 1, c["linear_conv_kernel_dim"]),
            "linear_attn.A_log": (heads,), "linear_attn.dt_bias": (heads,),
            "linear_attn.norm.weight": (c["linear_value_head_dim"],),
            "linear_attn.out_proj.weight": (hidden, values)}


def attention_layer(c):
    hidden, dim = c["hidden_size"], c["head_dim"]
    context, kv = c["num_attention_heads"] * dim, c["num_key_value_heads"] * dim
    return {"self_attn.q_proj.weight": (context * (2 if c.get("attn_output_gate") else 1), hidden),
            "self_attn.k_proj.weight": (kv, hidden), "self_attn.v_proj.weight": (kv, hidden),
            "self_attn.o_proj.weight": (hidden, context),
            "self_attn.q_norm.weight": (dim,), "self_attn.k_norm.weight": (dim,)}


def tensors(c):
    """name -> shape, in the order of the file."""
    hidden, inner = c["hidden_size"], c["intermediate_size"]
    found = {"model.embed_tokens.weight": (c["vocab_size"], hidden), "model.norm.weight": (hidden,)}
    for i in range(c["num_hidden_layers"]):
        is_linear = (i + 1) % c.get("full_attention_interval", 1) != 0
        layer = {**(linear_layer(c) if is_linear else attention_layer(c)),
                 "input_layernorm.weight": (hidden,), "post_attention_layernorm.weight": (hidden,),
                 "mlp.gate_proj.weight": (inner, hidden), "mlp.up_proj.weight": (inner, hidden),
                 "mlp.down_proj.weight": (hidden, inner)}
        found.update({f"model.layers.{i}.{name}": shape for name, shape in layer.items()})
    return found


def exponent_of(name, shape, is_plus_one):
    """Of two: a matrix keeps the variance, and so does a norm."""
    if name.endswith("A_log"):
        return 0
    if name.endswith("norm.weight"):
        return -4 if is_plus_one and "linear_attn" not in name else 0
    if name.endswith("dt_bias"):
        return -4
    return round(math.log2(1 / math.sqrt(shape[-1]) / 1.53))


def draw(rng, count, exponent):
    """bf16 numbers as bytes: sign and mantissa at random."""
    keep = int.from_bytes(b"\x7f\x80" * count, "little")
    power = int.from_bytes(struct.pack("<H", 127 + exponent << 7) * count, "little")
    return (rng.getrandbits(16 * count) & keep | power).to_bytes(2 * count, "little")


def write(folder, config, seed):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    shapes, header, end = tensors(config), {}, 0
    is_plus_one = config["model_type"].startswith("qwen3_5")
    for name, shape in shapes.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    rng = random.Random(seed)
    with open(folder / "model.safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes.items():
            left, exponent = math.prod(shape), exponent_of(name, shape, is_plus_one)
            while left > 0:
                f.write(draw(rng, min(left, PIECE), exponent))
                left -= PIECE
    return end


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("folder", type=Path)
    p.add_argument("--shape", choices=SHAPES, default="hybrid-0.8b")
    p.add_argument("--layers", type=int)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    config = dict(SHAPES[args.shape])
    if args.layers:
        config["num_hidden_layers"] = args.layers
    print(f"{args.folder}: {write(args.folder, config, args.seed)} bytes of weights")


if __name__ == "__main__":
    main()
