#!/usr/bin/env python3
"""make_gguf.py DIRECTORY OUT.gguf: a checkpoint's weights, unchanged, in llama.cpp's file format.

For benchmarks: BF16 safetensors of the families qwen3 and qwen3_5 (as many value heads as key
heads), and no tokenizer. Matrices are copied byte for byte; vectors become f32, as llama.cpp wants
them: -exp(A_log), and 1 + w for every norm of qwen3_5 but DeltaNet's own.
"""
import array
import json
import math
import struct
import sys
from pathlib import Path

F32, BF16 = 0, 30  # ggml types
U32, I32, FLOAT32, STRING, ARRAY = 4, 5, 6, 8, 9  # of metadata values
ALIGN = 32

TOP = {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}
LAYER = {
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight", "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight", "self_attn.o_proj.weight": "attn_output.weight",
    "self_attn.q_norm.weight": "attn_q_norm.weight",
    "self_attn.k_norm.weight": "attn_k_norm.weight",
    "linear_attn.in_proj_qkv.weight": "attn_qkv.weight",
    "linear_attn.in_proj_z.weight": "attn_gate.weight",
    "linear_attn.in_proj_b.weight": "ssm_beta.weight",
    "linear_attn.in_proj_a.weight": "ssm_alpha.weight",
    "linear_attn.conv1d.weight": "ssm_conv1d.weight", "linear_attn.A_log": "ssm_a",
    "linear_attn.dt_bias": "ssm_dt.bias", "linear_attn.norm.weight": "ssm_norm.weight",
    "linear_attn.out_proj.weight": "ssm_out.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight", "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}


def text(s):
    data = s.encode()
    return struct.pack("<Q", len(data)) + data


class Metadata:
    def __init__(self, arch):
        self.arch, self.n, self.data = arch, 0, b""

    def add(self, key, kind, packed):
        full = key if key.startswith(("general.", "tokenizer.")) else f"{self.arch}.{key}"
        self.data += text(full) + struct.pack("<I", kind) + packed
        self.n += 1

    def u32(self, key, value):
        self.add(key, U32, struct.pack("<I", value))

    def f32(self, key, value):
        self.add(key, FLOAT32, struct.pack("<f", value))

    def string(self, key, value):
        self.add(key, STRING, text(value))

    def i32s(self, key, values):
        self.add(key, ARRAY, struct.pack(f"<IQ{len(values)}i", I32, len(values), *values))


def metadata_of(config):
    is_hybrid = config["model_type"].startswith("qwen3_5")
    rope = config.get("rope_parameters") or config
    m = Metadata("qwen35" if is_hybrid else "qwen3")
    m.string("general.architecture", m.arch)
    m.string("general.name", "bench")
    m.u32("general.file_type", 32)
    m.u32("block_count", config["num_hidden_layers"])
    m.u32("context_length", config["max_position_embeddings"])
    m.u32("embedding_length", config["hidden_size"])
    m.u32("feed_forward_length", config["intermediate_size"])
    m.u32("attention.head_count", config["num_attention_heads"])
    m.u32("attention.head_count_kv", config["num_key_value_heads"])
    m.u32("attention.key_length", config["head_dim"])
    m.u32("attention.value_length", config["head_dim"])
    m.f32("attention.layer_norm_rms_epsilon", config["rms_norm_eps"])
    m.f32("rope.freq_base", rope["rope_theta"])
    m.u32("vocab_size", config["vocab_size"])
    m.string("tokenizer.ggml.model", "none")
    if is_hybrid:
        heads = config["linear_num_value_heads"]
        if heads != config["linear_num_key_heads"]:
            sys.exit("make_gguf: llama.cpp permutes value heads when they are more than key heads")
        rotated = int(config["head_dim"] * rope["partial_rotary_factor"])
        m.u32("rope.dimension_count", rotated)
        m.i32s("rope.dimension_sections", [11, 11, 10, 0])
        m.u32("ssm.conv_kernel", config["linear_conv_kernel_dim"])
        m.u32("ssm.state_size", config["linear_key_head_dim"])
        m.u32("ssm.group_count", heads)
        m.u32("ssm.time_step_rank", heads)
        m.u32("ssm.inner_size", heads * config["linear_value_head_dim"])
        m.u32("full_attention_interval", config["full_attention_interval"])
    return m


def name_of(name):
    short = name.removeprefix("model.language_model.").removeprefix("model.")
    if short in TOP:
        return TOP[short]
    if short.startswith("layers."):
        _, i, rest = short.split(".", 2)
        if rest == "post_attention_layernorm.weight":
            return f"blk.{i}.{{post}}.weight"
        return f"blk.{i}.{LAYER[rest]}"
    return "output.weight" if name == "lm_head.weight" else sys.exit(f"make_gguf: {name}: unknown")


def floats(data, dtype):
    if dtype == "F32":
        return array.array("f", data)
    if dtype != "BF16":
        sys.exit(f"make_gguf: {dtype}: only F32 and BF16 are read")
    wide = b"".join(b"\0\0" + data[i:i + 2] for i in range(0, len(data), 2))
    return array.array("f", wide)


def vector(name, data, dtype, is_hybrid):
    values = floats(data, dtype)
    if name.endswith("A_log"):
        values = array.array("f", [-math.exp(x) for x in values])
    elif is_hybrid and "norm" in name and not name.endswith("linear_attn.norm.weight"):
        values = array.array("f", [1 + x for x in values])
    return values.tobytes()


def read_header(path):
    with open(path, "rb") as f:
        n, = struct.unpack("<Q", f.read(8))
        return json.loads(f.read(n)), 8 + n


def main(folder, out):
    config = json.loads((Path(folder) / "config.json").read_text())
    config = config.get("text_config", config)
    m = metadata_of(config)
    is_hybrid = m.arch == "qwen35"
    path = Path(folder) / "model.safetensors"
    header, base = read_header(path)
    header.pop("__metadata__", None)

    tensors, offset = [], 0
    for name, t in header.items():
        is_matrix = len(t["shape"]) == 2
        shape = [d for d in t["shape"] if d != 1] if len(t["shape"]) == 3 else t["shape"]
        elements = math.prod(t["shape"])
        size = elements * (2 if is_matrix else 4)
        target = name_of(name).format(post="post_attention_norm" if is_hybrid else "ffn_norm")
        tensors.append((name, target, t, shape, BF16 if is_matrix else F32, offset, size))
        offset += (size + ALIGN - 1) // ALIGN * ALIGN

    with open(out, "wb") as f, open(path, "rb") as source:
        head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), m.n) + m.data
        for _, target, _, shape, kind, at, _ in tensors:
            head += text(target) + struct.pack("<I", len(shape))
            head += struct.pack(f"<{len(shape)}Q", *reversed(shape)) + struct.pack("<IQ", kind, at)
        start = (len(head) + ALIGN - 1) // ALIGN * ALIGN
        f.write(head.ljust(start, b"\0"))
        for name, _, t, _, kind, at, _ in tensors:
            begin, end = t["data_offsets"]
            source.seek(base + begin)
            data = source.read(end - begin)
            if kind == F32:
                data = vector(name, data, t["dtype"], is_hybrid)
            f.seek(start + at)
            f.write(data)
        f.truncate(start + offset)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
