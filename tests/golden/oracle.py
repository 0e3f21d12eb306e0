"""The models that Cortex knows, in float64 and from their definition, for make_fixtures.py.

Reads a checkpoint's files by itself and shares no code with transformers: what both say is taken to
be right. One sequence at a time, one token after the other where a layer has a state.
"""
import json
import math

import numpy as np

PLUS_ONE = ("qwen3_5", "qwen3_next")  # RMSNorm multiplies with 1 + w
BLOCK = 256  # queries of attention at a time


def read_tensors(folder):
    """name -> array in float64, from every shard."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        data = path.read_bytes()
        start = 8 + int.from_bytes(data[:8], "little")
        for name, t in json.loads(data[8:start]).items():
            if name == "__metadata__":
                continue
            first, last = t["data_offsets"]
            raw = data[start + first:start + last]
            if t["dtype"] == "BF16":
                values = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
            else:
                values = np.frombuffer(raw, {"F32": "<f4", "F16": "<f2"}[t["dtype"]])
            found[name] = values.astype(np.float64).reshape(t["shape"])
    return found


def sigmoid(x):
    return 0.5 * (1 + np.tanh(x / 2))


def silu(x):
    return x * sigmoid(x)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def base_frequencies(theta, dim):
    """In float32, as everywhere: a float32 power, then one divided by it."""
    exponent = np.arange(0, dim, 2).astype(np.float32) / np.float32(dim)
    return np.float32(1) / (theta ** exponent.astype(np.float64)).astype(np.float32)


def llama3_frequencies(freq, rope):
    wavelength = 2 * math.pi / freq.astype(np.float64)
    original = rope["original_max_position_embeddings"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    smooth = np.clip((original / wavelength - low) / (high - low), 0, 1)
    return ((1 - smooth) * freq / rope["factor"] + smooth * freq).astype(np.float32)


def yarn_frequencies(freq, rope, dim):
    def dimension(turns):
        return dim * math.log(rope["original_max_position_embeddings"] / (turns * 2 * math.pi)) / (
            2 * math.log(rope["rope_theta"]))

    low = max(math.floor(dimension(rope.get("beta_fast", 32))), 0)
    high = min(math.ceil(dimension(rope.get("beta_slow", 1))), dim - 1)
    ramp = np.clip((np.arange(dim // 2) - low) / (high - low if high > low else 0.001), 0, 1)
    return (freq / rope["factor"] * ramp + freq * (1 - ramp)).astype(np.float32)


def rope_of(text):
    """The rope's settings, wherever the config has them."""
    rope = dict(text.get("rope_parameters") or {})
    rope.update(text.get("rope_scaling") or {})
    rope.setdefault("rope_theta", text.get("rope_theta", 10000.0))
    rope.setdefault("rope_type", rope.get("type", "default"))
    if "partial_rotary_factor" in text:
        rope["partial_rotary_factor"] = text["partial_rotary_factor"]
    return rope


def rope_frequencies(rope, head_dim):
    """inv_freq in float32, and what cos and sin are multiplied with."""
    dim = int(head_dim * rope.get("partial_rotary_factor", 1.0))
    freq = base_frequencies(rope["rope_theta"], dim)
    if rope["rope_type"] == "linear":
        return (freq / np.float32(rope["factor"])), 1.0
    if rope["rope_type"] == "llama3":
        return llama3_frequencies(freq, rope), 1.0
    if rope["rope_type"] == "yarn":
        scaling = rope.get("attention_factor") or 0.1 * math.log(rope["factor"]) + 1
        return yarn_frequencies(freq, rope, dim), scaling
    assert rope["rope_type"] == "default", rope
    return freq, 1.0


class Oracle:
    def __init__(self, folder):
        config = json.loads((folder / "config.json").read_text())
        self.text = config.get("text_config", config)
        self.tensors = read_tensors(folder)
        self.prefix = next(p for p in ("model.language_model.", "model.", "")
                           if p + "embed_tokens.weight" in self.tensors)
        self.embed = self.tensors[self.prefix + "embed_tokens.weight"]
        self.head = self.embed if config.get("tie_word_embeddings") else self.tensors["lm_head.weight"]
        self.plus = 1.0 if config["model_type"].startswith(PLUS_ONE) else 0.0
        self.is_gated = config["model_type"].startswith(PLUS_ONE)
        self.eps = self.text["rms_norm_eps"]
        self.heads = self.text["num_attention_heads"]
        self.kv_heads = self.text.get("num_key_value_heads") or self.heads
        self.head_dim = self.text.get("head_dim") or self.text["hidden_size"] // self.heads
        self.inv_freq, self.scaling = rope_frequencies(rope_of(self.text), self.head_dim)
        self.margins = None
        self.noise = None  # a generator: results are rounded as float32 would at worst

    def sensitivity(self, ids, draws=4):
        """Per id: how far its logits move, at most, when every norm and projection is off by half a
        unit of float32 in the last place, up or down by chance."""
        exact, moved = self.logits(ids), np.zeros(len(ids))
        margins = self.margins
        for seed in range(draws):
            self.noise = np.random.default_rng(seed)
            moved = np.maximum(moved, np.abs(self.logits(ids) - exact).max(-1))
        self.noise, self.margins = None, margins
        return moved

    def rounded(self, x):
        if self.noise is None:
            return x
        return x * (1 + 2.0 ** -24 * self.noise.choice([-1.0, 1.0], x.shape))

    def logits(self, ids, positions=None):
        """[positions or all ids, vocabulary]. Leaves in margins, per id, the least distance between
        the logit of the last expert taken and the first one not taken."""
        return self.hidden(ids, positions) @ self.head.T

    def hidden(self, ids, positions=None):
        """The same before the head."""
        self.margins = np.full(len(ids), np.inf)
        x = self.embed[np.asarray(ids)]
        for layer in range(self.text["num_hidden_layers"]):
            self.at = f"{self.prefix}layers.{layer}."
            h = self.norm(x, self.weight("input_layernorm.weight"))
            x = x + (self.delta_net(h) if self.has("linear_attn.A_log") else self.attention(h))
            h = self.norm(x, self.weight("post_attention_layernorm.weight"))
            x = x + (self.experts(h) if self.has("mlp.gate.weight") else self.mlp(h, "mlp."))
        if positions is not None:
            x = x[np.asarray(positions)]
        return self.norm(x, self.tensors[self.prefix + "norm.weight"])

    def has(self, name):
        return self.at + name in self.tensors

    def weight(self, name):
        return self.tensors[self.at + name]

    def linear(self, x, name):
        y = x @ self.weight(name + ".weight").T
        return self.rounded(y + self.weight(name + ".bias") if self.has(name + ".bias") else y)

    def norm(self, x, w):
        return self.rounded(x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps) *
                            (self.plus + w))

    # --- attention ---

    def rotate(self, x):
        angle = np.arange(len(x))[:, None, None] * self.inv_freq.astype(np.float64)
        cos, sin = np.cos(angle) * self.scaling, np.sin(angle) * self.scaling
        half = len(self.inv_freq)
        a, b = x[..., :half], x[..., half:2 * half]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin, x[..., 2 * half:]], -1)

    def attention(self, x):
        n, dim, group = len(x), self.head_dim, self.heads // self.kv_heads
        q = self.linear(x, "self_attn.q_proj").reshape(n, self.heads, -1)
        k = self.linear(x, "self_attn.k_proj").reshape(n, self.kv_heads, dim)
        v = self.linear(x, "self_attn.v_proj").reshape(n, self.kv_heads, dim)
        q, gate = q[..., :dim], q[..., dim:]
        if self.has("self_attn.q_norm.weight"):
            q = self.norm(q, self.weight("self_attn.q_norm.weight"))
            k = self.norm(k, self.weight("self_attn.k_norm.weight"))
        q = self.rotate(q).reshape(n, self.kv_heads, group, dim)
        k = self.rotate(k)
        out = np.empty(q.shape)
        for first in range(0, n, BLOCK):
            last = min(first + BLOCK, n)
            scores = np.einsum("thgd,shd->thgs", q[first:last], k[:last]) / math.sqrt(dim)
            hidden = np.arange(last) > np.arange(first, last)[:, None]
            scores[np.broadcast_to(hidden[:, None, None], scores.shape)] = -np.inf
            out[first:last] = np.einsum("thgs,shd->thgd", softmax(scores), v[:last])
        out = out.reshape(n, -1)
        if self.is_gated:
            out = out * sigmoid(gate.reshape(n, -1))
        return self.linear(out, "self_attn.o_proj")

    # --- Gated DeltaNet ---

    def delta_inputs(self, x):
        """Before the convolution: q, k [n, Hk, dk], v, z [n, Hv, dv], b, a [n, Hv]."""
        hk, dk = self.text["linear_num_key_heads"], self.text["linear_key_head_dim"]
        hv, dv = self.text["linear_num_value_heads"], self.text["linear_value_head_dim"]
        n, r = len(x), hv // hk
        if not self.has("linear_attn.in_proj_qkvz.weight"):
            qkv = self.linear(x, "linear_attn.in_proj_qkv")
            q, k, v = np.split(qkv, [hk * dk, 2 * hk * dk], -1)
            z, b, a = (self.linear(x, "linear_attn.in_proj_" + c) for c in "zba")
        else:  # rows grouped by key head
            qkvz = self.linear(x, "linear_attn.in_proj_qkvz").reshape(n, hk, -1)
            q, k, v, z = np.split(qkvz, [dk, 2 * dk, 2 * dk + r * dv], -1)
            b, a = np.split(self.linear(x, "linear_attn.in_proj_ba").reshape(n, hk, -1), [r], -1)
        return (q.reshape(n, hk, dk), k.reshape(n, hk, dk), v.reshape(n, hv, dv),
                z.reshape(n, hv, dv), b.reshape(n, hv), a.reshape(n, hv))

    def convolve(self, x):
        w = self.weight("linear_attn.conv1d.weight")[:, 0]  # [channels, width], newest last
        n, width = len(x), w.shape[1]
        padded = np.concatenate([np.zeros((width - 1, x.shape[1])), x])
        return silu(sum(padded[i:i + n] * w[:, i] for i in range(width)))

    def delta_net(self, x):
        q, k, v, z, b, a = self.delta_inputs(x)
        (n, hk, dk), (hv, dv) = k.shape, v.shape[1:]
        flat = self.convolve(np.concatenate([t.reshape(n, -1) for t in (q, k, v)], -1))
        q, k, v = (t.reshape(n, -1, d) for t, d in zip(
            np.split(flat, [hk * dk, 2 * hk * dk], -1), (dk, dk, dv)))
        q, k = (np.repeat(t / np.sqrt((t * t).sum(-1, keepdims=True) + 1e-6), hv // hk, 1)
                for t in (q, k))
        q = q / math.sqrt(dk)
        beta = sigmoid(b)[:, :, None]
        g = -np.exp(self.weight("linear_attn.A_log")) * np.logaddexp(
            a + self.weight("linear_attn.dt_bias"), 0)
        decay = np.exp(g)[:, :, None, None]
        state, out = np.zeros((hv, dk, dv)), np.empty((n, hv, dv))
        for t in range(n):
            state = state * decay[t]
            u = beta[t] * (v[t] - np.matmul(k[t][:, None], state)[:, 0])
            state = state + k[t][:, :, None] * u[:, None]
            out[t] = np.matmul(q[t][:, None], state)[:, 0]
        out = out / np.sqrt((out * out).mean(-1, keepdims=True) + self.eps)
        out = out * self.weight("linear_attn.norm.weight") * silu(z)
        return self.linear(out.reshape(n, -1), "linear_attn.out_proj")

    # --- MLP, experts ---

    def mlp(self, x, at):
        return self.linear(silu(self.linear(x, at + "gate_proj")) * self.linear(x, at + "up_proj"),
                           at + "down_proj")

    def expert(self, x, e):
        if not self.has("mlp.experts.gate_up_proj"):
            return self.mlp(x, f"mlp.experts.{e}.")
        gate, up = np.split(x @ self.weight("mlp.experts.gate_up_proj")[e].T, 2, -1)
        return (silu(gate) * up) @ self.weight("mlp.experts.down_proj")[e].T

    def experts(self, x):
        logits, top = self.linear(x, "mlp.gate"), self.text["num_experts_per_tok"]
        order = np.argsort(-logits, -1, kind="stable")
        ranked = np.take_along_axis(logits, order, -1)
        self.margins = np.minimum(self.margins, ranked[:, top - 1] - ranked[:, top])
        shares = np.take_along_axis(softmax(logits), order[:, :top], -1)
        if self.text.get("norm_topk_prob", self.is_gated):
            shares = shares / shares.sum(-1, keepdims=True)
        out = np.zeros(x.shape)
        for e in range(logits.shape[1]):
            rows, choice = np.nonzero(order[:, :top] == e)
            out[rows] += shares[rows, choice][:, None] * self.expert(x[rows], e)
        if self.has("mlp.shared_expert_gate.weight"):
            gate = sigmoid(self.linear(x, "mlp.shared_expert_gate"))
            out += gate * self.mlp(x, "mlp.shared_expert.")
        return out
