#!/usr/bin/env python3
"""Writes tests/golden/kernels.bin: what the kernel reference is compared with.

    tools/test --fixtures, or .venv-fixtures/bin/python tests/golden/make_kernel_fixtures.py

Everything is computed here in float64 from its definition, one token at a time, on inputs that
tests/kernels/golden_test.c makes with the same generator.  Where transformers has the operation,
the float64 result is compared with it first.  Rope tables are transformers' own."""
import math
import struct
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.qwen3_next.modeling_qwen3_next import torch_recurrent_gated_delta_rule

OUT = Path(__file__).with_name("kernels.bin")
MASK = (1 << 64) - 1


class Values:
    """splitmix64; a value is a multiple of 2^-23 in [-1, 1), exact in float32."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        z ^= z >> 31
        return (z >> 40) * 2.0**-23 - 1.0

    def array(self, *shape):
        n = math.prod(shape)
        return np.array([self.next() for _ in range(n)]).reshape(shape)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def normed(x, eps):
    return x / np.sqrt((x * x).sum(-1, keepdims=True) + eps)


def rms(x, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps)


def delta_rule(q, k, v, g, beta, state):
    """q, k [T, H, dk] normalised, q scaled; v [T, H, dv]; g, beta [T, H]; state [H, dk, dv]."""
    out = np.zeros(v.shape)
    for t in range(len(q)):
        state *= np.exp(g[t])[:, None, None]
        u = beta[t][:, None] * (v[t] - np.einsum("hkv,hk->hv", state, k[t]))
        state += np.einsum("hk,hv->hkv", k[t], u)
        out[t] = np.einsum("hkv,hk->hv", state, q[t])
    return out


def compare_with_transformers(q, k, v, g, beta, want):
    """q before the scale, as its function takes it."""
    def tensor(x):
        return torch.tensor(x, dtype=torch.float32)[None]

    got, _ = torch_recurrent_gated_delta_rule(
        tensor(q), tensor(k), tensor(v), g=tensor(g), beta=tensor(beta), initial_state=None,
        output_final_state=True)
    error = np.abs(got[0].double().numpy() - want).max()
    print(f"delta rule against transformers: {error:.1e}")
    assert error < 1e-4


def gdn(seed, hk, r, dk, dv, conv, tokens, permuted, correlated):
    values, hv = Values(seed), hk * r
    channels = 2 * hk * dk + hv * dv
    x = values.array(tokens, channels)
    w = values.array(conv, channels)
    a, b = 4 * values.array(tokens, hv), 4 * values.array(tokens, hv)
    a_log, dt_bias = values.array(hv), values.array(hv)
    z, norm_w = values.array(tokens, hv * dv), values.array(dv)
    if correlated:
        x[:, :2 * hk * dk] = 1 + x[:, :2 * hk * dk] / 128
        a, b = a - 12, b + 12
    padded = np.concatenate([np.zeros((conv - 1, channels)), x])
    y = silu(sum(w[i] * padded[i:i + tokens] for i in range(conv)))
    q = normed(y[:, :hk * dk].reshape(tokens, hk, dk), 1e-6)
    k = normed(y[:, hk * dk:2 * hk * dk].reshape(tokens, hk, dk), 1e-6)
    v = y[:, 2 * hk * dk:].reshape(tokens, hv, dv)
    key_of = [j % hk if permuted else j // r for j in range(hv)]
    q, k = q[:, key_of], k[:, key_of]
    g, beta = -np.exp(a_log) * np.log1p(np.exp(a + dt_bias)), sigmoid(b)
    state = np.zeros((hv, dk, dv))
    o = delta_rule(q / math.sqrt(dk), k, v, g, beta, state)
    if tokens < 200:
        compare_with_transformers(q, k, v, g, beta, o)
    out = rms(o, 1e-6) * norm_w * silu(z.reshape(tokens, hv, dv))
    return out.reshape(tokens, hv * dv), state


def rotated(x, cos, sin, half):
    a, b = x[..., :half], x[..., half:2 * half]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin, x[..., 2 * half:]], -1)


def attention(seed, kv_heads, group, dim, half, tokens):
    values, heads = Values(seed), kv_heads * group
    q = values.array(tokens, heads, 2, dim)  # query, gate
    k, v = values.array(tokens, kv_heads, dim), values.array(tokens, kv_heads, dim)
    q_w, k_w = values.array(dim), values.array(dim)
    inv_freq = (1 / np.float32(10000) ** (np.arange(half, dtype=np.float32) / np.float32(half)))
    angle = (np.arange(tokens, dtype=np.float32)[:, None] * inv_freq.astype(np.float32))
    cos, sin = (f(angle.astype(np.float64))[:, None, :] for f in (np.cos, np.sin))
    qr = rotated(rms(q[:, :, 0], 1e-6) * (1 + q_w), cos, sin, half)
    kr = rotated(rms(k, 1e-6) * (1 + k_w), cos, sin, half)
    out = np.zeros((tokens, heads, dim))
    for t in range(tokens):
        for h in range(heads):
            scores = kr[:t + 1, h // group] @ qr[t, h] / math.sqrt(dim)
            weights = np.exp(scores - scores.max())
            out[t, h] = weights @ v[:t + 1, h // group] / weights.sum()
    return inv_freq, (out * sigmoid(q[:, :, 1])).reshape(tokens, heads * dim)


ROPES = {
    "default": {"rope_type": "default", "rope_theta": 10000000.0},
    "linear": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
    "llama3": {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0,
               "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 8192},
    "yarn": {"rope_type": "yarn", "rope_theta": 1000000.0, "factor": 4.0,
             "original_max_position_embeddings": 32768},
    "yarn_mscale": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 40.0,
                    "original_max_position_embeddings": 4096, "mscale": 0.7,
                    "mscale_all_dim": 1.0, "truncate": False},
}


def default_frequencies(theta, dim):
    return 1.0 / (theta ** (torch.arange(0, dim, 2, dtype=torch.int64).float() / dim)), 1.0


def rope_table(parameters):
    config = LlamaConfig(hidden_size=512, num_attention_heads=4, max_position_embeddings=131072)
    config.rope_parameters = dict(parameters)
    kind = parameters["rope_type"]
    if kind in ROPE_INIT_FUNCTIONS:
        inv_freq, scaling = ROPE_INIT_FUNCTIONS[kind](config, torch.device("cpu"))
    else:
        inv_freq, scaling = default_frequencies(parameters["rope_theta"], 128)
    return inv_freq.numpy(), scaling


def main():
    records = {}
    records["gdn.y"], state = gdn(1, 2, 2, 16, 24, 4, 128, False, False)
    records["gdn.state"] = state
    records["gdn_permuted.y"], _ = gdn(2, 2, 3, 8, 16, 4, 100, True, False)
    records["gdn_correlated.y"], _ = gdn(3, 1, 2, 32, 16, 4, 130, False, True)
    y, _ = gdn(4, 1, 1, 16, 16, 4, 10000, False, False)
    records["gdn_long.y"] = y[-64:]
    records["attention.inv_freq"], records["attention.y"] = attention(5, 2, 3, 24, 5, 80)
    for name, parameters in ROPES.items():
        inv_freq, scaling = rope_table(parameters)
        records["rope." + name] = np.append(inv_freq, np.float32(scaling))
    with OUT.open("wb") as f:
        for name, array in records.items():
            data = np.ascontiguousarray(array, dtype="<f4").ravel()
            f.write(struct.pack("<24sII", name.encode(), data.size, 0) + data.tobytes())
    print(f"{OUT}: {OUT.stat().st_size} bytes, {len(records)} arrays")


if __name__ == "__main__":
    main()
