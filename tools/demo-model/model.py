"""The model as it is trained: Qwen3.5's mathematics with the names of transformers' state dict, fast on a CPU.

transformers' own module is the definition; test_model.py compares the two.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

CHUNK = 32
FORGET = -60.0  # log decay at the first token of a conversation: the state of the one before is gone

CONFIG = dict(
    vocab_size=2048,
    hidden_size=256,
    intermediate_size=640,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=64,
    linear_num_key_heads=4,
    linear_num_value_heads=4,
    linear_key_head_dim=32,
    linear_value_head_dim=64,
    linear_conv_kernel_dim=4,
    max_position_embeddings=4096,
    rms_norm_eps=1e-6,
    tie_word_embeddings=True,
    rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.25,
                         mrope_section=[3, 3, 2], mrope_interleaved=True),
)


def rms_norm(x, weight, eps):
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


class Norm(nn.Module):
    def __init__(self, n, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n))
        self.eps = eps

    def forward(self, x):
        return rms_norm(x, 1.0 + self.weight, self.eps)


class GatedNorm(nn.Module):
    def __init__(self, n, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n))
        self.eps = eps

    def forward(self, x, gate):
        return rms_norm(x, self.weight, self.eps) * F.silu(gate.float())


def l2norm(x):
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)


def unit_lower_inverse(lower):
    """(I + L)^-1 for strictly lower L [..., n, n] by halves: only products of true inverses, so nothing grows
    that does not belong there (powers of L would)."""
    n = lower.shape[-1]
    if n == 1:
        return torch.ones_like(lower)
    if n == 2:
        eye = torch.eye(2, dtype=lower.dtype, device=lower.device)
        return eye - lower
    h = n // 2
    # Both diagonal blocks in one call: their inverses are independent.
    top, bottom = unit_lower_inverse(
        torch.stack((lower[..., :h, :h], lower[..., h:, h:]))).unbind(0)
    corner = -(bottom @ (lower[..., h:, :h] @ top))
    zeros = torch.zeros_like(corner)
    return torch.cat((torch.cat((top, zeros), -1), torch.cat((corner, bottom), -1)), -2)


def delta_rule(q, k, v, g, beta):
    """q, k [B, T, Hk, dk], v [B, T, Hv, dv], g, beta [B, T, Hv] -> [B, T, Hv, dv]; T a multiple of CHUNK."""
    batch, tokens, heads, dv = v.shape
    dk = q.shape[-1]
    chunks = tokens // CHUNK
    repeat = heads // q.shape[2]
    q = l2norm(q) * dk ** -0.5
    k = l2norm(k)
    if repeat > 1:
        q = q.repeat_interleave(repeat, 2)
        k = k.repeat_interleave(repeat, 2)

    def cut(x):  # [B, T, H, ...] -> [B, H, chunks, CHUNK, ...]
        return x.reshape(batch, chunks, CHUNK, heads, -1).permute(0, 3, 1, 2, 4)

    q, k, v = cut(q), cut(k), cut(v)
    beta = cut(beta)
    total = cut(g).cumsum(-2)  # [.., CHUNK, 1]
    lower = torch.ones(CHUNK, CHUNK, dtype=torch.bool, device=q.device).tril()
    decay = (total - total.transpose(-1, -2)).masked_fill(~lower, float("-inf")).exp()
    kk = k @ k.transpose(-1, -2)
    inverse = unit_lower_inverse((beta * kk * decay).tril(-1))
    grown = total.exp()
    u = inverse @ (beta * v)
    w = inverse @ (beta * grown * k)
    scores = (q @ k.transpose(-1, -2)) * decay
    q_in = q * grown
    k_out = (k * (total[..., -1:, :] - total).exp()).transpose(-1, -2)
    end = grown[..., -1:, :]

    state = q.new_zeros(batch, heads, dk, dv)
    out = []
    for c in range(chunks):
        v_new = u[:, :, c] - w[:, :, c] @ state
        out.append(q_in[:, :, c] @ state + scores[:, :, c] @ v_new)
        state = state * end[:, :, c] + k_out[:, :, c] @ v_new
    return torch.stack(out, 2).permute(0, 2, 3, 1, 4).reshape(batch, tokens, heads, dv)


class Packing:
    """Several conversations in a row of tokens: none sees another. position [B, T]: of each token in its own one."""

    def __init__(self, position, inv_freq):
        self.position = position
        angle = position.unsqueeze(1).unsqueeze(-1).float() * inv_freq  # [B, 1, T, n]
        self.cos, self.sin = angle.cos(), angle.sin()
        document = (position == 0).cumsum(1)
        same = document.unsqueeze(2) == document.unsqueeze(1)
        self.mask = same.tril().unsqueeze(1)


class DeltaNet(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.hk, self.hv = c["linear_num_key_heads"], c["linear_num_value_heads"]
        self.dk, self.dv = c["linear_key_head_dim"], c["linear_value_head_dim"]
        self.width = c["linear_conv_kernel_dim"]
        hidden, keys, values = c["hidden_size"], self.hk * self.dk, self.hv * self.dv
        channels = 2 * keys + values
        self.splits = (keys, keys, values)
        self.conv1d = nn.Conv1d(channels, channels, self.width, groups=channels, bias=False)
        self.dt_bias = nn.Parameter(torch.ones(self.hv))
        self.A_log = nn.Parameter(torch.empty(self.hv).uniform_(0.01, 16).log())
        self.norm = GatedNorm(self.dv, c["rms_norm_eps"])
        self.in_proj_qkv = nn.Linear(hidden, channels, bias=False)
        self.in_proj_z = nn.Linear(hidden, values, bias=False)
        self.in_proj_b = nn.Linear(hidden, self.hv, bias=False)
        self.in_proj_a = nn.Linear(hidden, self.hv, bias=False)
        self.out_proj = nn.Linear(values, hidden, bias=False)

    def forward(self, x, packing):
        batch, tokens, _ = x.shape
        qkv = self.in_proj_qkv(x).float()
        taps = self.conv1d.weight[:, 0]  # [channels, width]; a sum of shifts is quicker than conv1d's backward
        mixed = qkv * taps[:, -1]
        for back in range(1, self.width):
            shifted = F.pad(qkv[:, :-back], (0, 0, back, 0)) * (packing.position >= back).unsqueeze(-1)
            mixed = mixed + shifted * taps[:, -1 - back]
        qkv = F.silu(mixed)
        q, k, v = qkv.split(self.splits, -1)
        beta = self.in_proj_b(x).float().sigmoid()
        g = -self.A_log.exp() * F.softplus(self.in_proj_a(x).float() + self.dt_bias)
        g = g.masked_fill((packing.position == 0).unsqueeze(-1), FORGET)
        with torch.autocast("cpu", enabled=False):
            o = delta_rule(q.reshape(batch, tokens, self.hk, self.dk), k.reshape(batch, tokens, self.hk, self.dk),
                           v.reshape(batch, tokens, self.hv, self.dv), g, beta)
        z = self.in_proj_z(x).reshape(batch, tokens, self.hv, self.dv)
        return self.out_proj(self.norm(o, z).reshape(batch, tokens, -1))


def rotate(x, cos, sin):
    n = cos.shape[-1]
    a, b, rest = x[..., :n], x[..., n:2 * n], x[..., 2 * n:]
    return torch.cat((a * cos - b * sin, b * cos + a * sin, rest), -1)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.kv_heads, self.dim = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        hidden = c["hidden_size"]
        self.q_proj = nn.Linear(hidden, self.heads * self.dim * 2, bias=False)
        self.k_proj = nn.Linear(hidden, self.kv_heads * self.dim, bias=False)
        self.v_proj = nn.Linear(hidden, self.kv_heads * self.dim, bias=False)
        self.o_proj = nn.Linear(self.heads * self.dim, hidden, bias=False)
        self.q_norm = Norm(self.dim, c["rms_norm_eps"])
        self.k_norm = Norm(self.dim, c["rms_norm_eps"])

    def forward(self, x, packing):
        batch, tokens, _ = x.shape
        q, gate = self.q_proj(x).view(batch, tokens, self.heads, 2 * self.dim).chunk(2, -1)
        k = self.k_proj(x).view(batch, tokens, self.kv_heads, self.dim)
        v = self.v_proj(x).view(batch, tokens, self.kv_heads, self.dim)
        q = rotate(self.q_norm(q).transpose(1, 2), packing.cos, packing.sin)
        k = rotate(self.k_norm(k).transpose(1, 2), packing.cos, packing.sin)
        repeat = self.heads // self.kv_heads
        k = k.repeat_interleave(repeat, 1)
        v = v.transpose(1, 2).float().repeat_interleave(repeat, 1)
        o = F.scaled_dot_product_attention(q, k, v, attn_mask=packing.mask).transpose(1, 2)
        return self.o_proj((o * gate.float().sigmoid()).reshape(batch, tokens, -1))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate_proj = nn.Linear(c["hidden_size"], c["intermediate_size"], bias=False)
        self.up_proj = nn.Linear(c["hidden_size"], c["intermediate_size"], bias=False)
        self.down_proj = nn.Linear(c["intermediate_size"], c["hidden_size"], bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c, index):
        super().__init__()
        self.mixer = "self_attn" if index % 4 == 3 else "linear_attn"
        self.add_module(self.mixer, Attention(c) if index % 4 == 3 else DeltaNet(c))
        self.mlp = Mlp(c)
        self.input_layernorm = Norm(c["hidden_size"], c["rms_norm_eps"])
        self.post_attention_layernorm = Norm(c["hidden_size"], c["rms_norm_eps"])

    def forward(self, x, packing):
        x = x + getattr(self, self.mixer)(self.input_layernorm(x), packing)
        return x + self.mlp(self.post_attention_layernorm(x))


class Body(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList(Layer(c, i) for i in range(c["num_hidden_layers"]))
        self.norm = Norm(c["hidden_size"], c["rms_norm_eps"])


class Model(nn.Module):
    """ids and positions [B, T], T a multiple of CHUNK -> hidden states; `logits` makes logits of them."""

    def __init__(self, c=CONFIG):
        super().__init__()
        self.config = c
        self.model = Body(c)
        rotary = c["rope_parameters"]
        n = int(c["head_dim"] * rotary["partial_rotary_factor"])
        self.register_buffer("inv_freq", rotary["rope_theta"] ** (-torch.arange(0, n, 2).float() / n),
                             persistent=False)
        self.init_weights()

    def init_weights(self):
        depth = (2 * self.config["num_hidden_layers"]) ** -0.5
        for name, p in self.named_parameters():
            if name.endswith("embed_tokens.weight"):
                nn.init.normal_(p, std=0.05)
            elif name.endswith("dt_bias"):
                # Steps of 0.001 to 0.1, as Mamba and FLA draw them: with the ones of transformers' constructor nearly
                # every head forgets within a token, and nothing but the attention layer learns to look back.
                step = torch.empty_like(p).uniform_(math.log(0.001), math.log(0.1)).exp()
                p.data.copy_(step + torch.log(-torch.expm1(-step)))
            elif p.dim() == 2:
                scale = depth if name.endswith(("out_proj.weight", "o_proj.weight", "down_proj.weight")) else 1.0
                nn.init.normal_(p, std=scale * p.shape[1] ** -0.5)

    def forward(self, ids, position=None):
        if position is None:  # one conversation a row
            position = torch.arange(ids.shape[1], device=ids.device).expand(ids.shape)
        packing = Packing(position, self.inv_freq)
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x = layer(x, packing)
        return self.model.norm(x)

    def logits(self, hidden):
        return hidden @ self.model.embed_tokens.weight.T.to(hidden.dtype)


def hf_config(**more):
    """transformers' configuration of the same model."""
    from transformers import Qwen3_5TextConfig
    return Qwen3_5TextConfig(**{**CONFIG, **more})
