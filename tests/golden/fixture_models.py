"""The models of tests/golden/checkpoints, for make_fixtures.py: configs, weights, files."""
import json
import shutil

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

import fixture_text

COMMON = dict(hidden_act="silu", initializer_range=0.02, use_cache=True, attention_dropout=0.0,
              rms_norm_eps=1e-6, max_position_embeddings=2048, transformers_version="4.57.0")
DENSE = {**COMMON, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3,
         "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 24,
         "attention_bias": False, "tie_word_embeddings": False}
LINEAR = dict(linear_conv_kernel_dim=4, linear_key_head_dim=16, linear_value_head_dim=16,
              linear_num_key_heads=2, linear_num_value_heads=4)
ROPE35 = {"mrope_interleaved": True, "mrope_section": [2, 1, 1], "rope_type": "default",
          "rope_theta": 10000000, "partial_rotary_factor": 0.25}
HYBRID = {**COMMON, **LINEAR, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 4,
          "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
          "attention_bias": False, "attn_output_gate": True, "full_attention_interval": 4,
          "mamba_ssm_dtype": "float32", "mtp_num_hidden_layers": 1, "rope_parameters": ROPE35,
          "mtp_use_dedicated_embeddings": False, "model_type": "qwen3_5_text"}
EXPERTS = dict(num_experts=6, num_experts_per_tok=2, moe_intermediate_size=20,
               output_router_logits=False, router_aux_loss_coef=0.001)
VISION = dict(depth=1, hidden_size=8, intermediate_size=8, num_heads=2, in_channels=3,
              patch_size=2, spatial_merge_size=2, temporal_patch_size=2,
              num_position_embeddings=16, deepstack_visual_indexes=[], initializer_range=0.02)


def without(config, *keys):
    return {k: v for k, v in config.items() if k not in keys}


def nested(kind, text):
    """As published: the language model beside a vision tower."""
    return {"model_type": kind, "tie_word_embeddings": False, "transformers_version": "4.57.0",
            "image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>",
            "vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>",
            "text_config": {**text, "model_type": kind + "_text"},
            "vision_config": {**VISION, "model_type": kind + "_vision",
                              "out_hidden_size": text["hidden_size"]}}


NEXT = {**without(HYBRID, "attn_output_gate", "mamba_ssm_dtype", "mtp_num_hidden_layers",
                  "mtp_use_dedicated_embeddings", "rope_parameters"), **EXPERTS,
        "model_type": "qwen3_next", "hidden_size": 32, "shared_expert_intermediate_size": 28,
        "decoder_sparse_step": 1, "mlp_only_layers": [], "norm_topk_prob": True,
        "partial_rotary_factor": 0.25, "rope_theta": 10000000, "rope_scaling": None,
        "tie_word_embeddings": False}
QWEN3 = {**DENSE, "model_type": "qwen3", "rope_theta": 1000000, "rope_scaling": None,
         "sliding_window": None, "use_sliding_window": False, "max_window_layers": 3}
MOE = {**without(QWEN3, "model_type"), **EXPERTS, "model_type": "qwen3_moe", "hidden_size": 32,
       "decoder_sparse_step": 1, "mlp_only_layers": [], "norm_topk_prob": True}
QWEN2 = {**without(DENSE, "head_dim", "attention_bias"), "model_type": "qwen2",
         "rope_theta": 1000000.0, "sliding_window": 64, "use_sliding_window": False,
         "max_window_layers": 3}
LLAMA = {**DENSE, "model_type": "llama", "mlp_bias": False, "pretraining_tp": 1, "head_dim": 12,
         "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "rope_scaling": None}

SHORT = (1, 2, 3, 5, 17, 40)
FULL = (1, 2, 3, 5, 64, 65, 300)


class Case:
    """One checkpoint.

    shards, dtype, tokenizer, config; lengths of the prompts; seed: of everything random, found by
    trying (the script says when it no longer does); eos: ids of generation_config.json; sampling:
    its other keys; stacked: experts in one tensor; is_any_byte: greedy text may be any bytes, not
    only readable ones; has_drift: expect_drift.bin as well.
    """

    def __init__(self, config, tokenizer, dtype="float32", shards=1, lengths=SHORT, seed=1,
                 eos=("<|im_end|>", "<|endoftext|>"), sampling=None, stacked=False,
                 is_any_byte=False, has_drift=False, chat="chatml"):
        self.config, self.tokenizer, self.dtype, self.shards = config, tokenizer, dtype, shards
        self.lengths, self.seed, self.eos, self.stacked = lengths, seed, eos, stacked
        self.sampling, self.is_any_byte, self.has_drift = sampling or {}, is_any_byte, has_drift
        self.chat = chat


WARM = {"do_sample": True, "temperature": 0.7, "top_p": 0.8, "top_k": 20}
CASES = {
    "qwen3_5": Case(
        nested("qwen3_5", without(HYBRID, "model_type")), "qwen3_5", "bfloat16", lengths=FULL,
        sampling={"do_sample": True, "temperature": 1.0, "top_p": 0.95, "top_k": 20},
        chat="thinking"),
    "qwen3_5_tied": Case(
        {**HYBRID, "tie_word_embeddings": True, "linear_num_value_heads": 2,
         "max_position_embeddings": 16384},
        "qwen3_5", lengths=FULL, has_drift=True, chat="thinking"),
    "qwen3_5_odd": Case(
        {**HYBRID, "hidden_size": 42, "intermediate_size": 51, "num_hidden_layers": 5,
         "num_attention_heads": 6, "head_dim": 24, "linear_conv_kernel_dim": 3,
         "linear_key_head_dim": 12, "linear_value_head_dim": 20, "linear_num_value_heads": 6,
         "tie_word_embeddings": False, "rope_parameters": {**ROPE35, "mrope_section": [1, 1, 1]},
         "layer_types": ["full_attention", "linear_attention", "linear_attention",
                         "full_attention", "linear_attention"]},
        "qwen3_5", shards=3, lengths=FULL, is_any_byte=True, chat="thinking"),
    "qwen3_5_moe": Case(
        nested("qwen3_5_moe", {**without(HYBRID, "model_type", "intermediate_size"), **EXPERTS,
                               "hidden_size": 32, "shared_expert_intermediate_size": 28}),
        "qwen3_5", shards=2, lengths=FULL, stacked=True, chat="thinking"),
    "qwen3_next": Case(NEXT, "qwen", shards=2, lengths=FULL, sampling=WARM),
    "qwen3_next_mixed": Case(
        {**NEXT, "mlp_only_layers": [0], "linear_num_value_heads": 8, "norm_topk_prob": False,
         "num_hidden_layers": 3, "full_attention_interval": 2, "num_experts_per_tok": 3}, "qwen",
        lengths=(1, 2, 3, 5, 64, 65)),
    "qwen3": Case({**QWEN3, "tie_word_embeddings": True}, "qwen", "bfloat16", sampling=WARM,
                  chat="chatml_think"),
    "qwen3_yarn": Case(
        {**QWEN3, "num_hidden_layers": 2, "rope_scaling": {
            "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}}, "qwen",
        lengths=(1, 5, 150)),
    "qwen3_moe": Case({**MOE, "mlp_only_layers": [1], "moe_intermediate_size": 21}, "qwen",
                      "bfloat16"),
    "qwen3_moe_raw": Case(
        {**MOE, "num_hidden_layers": 4, "decoder_sparse_step": 2, "norm_topk_prob": False,
         "num_experts_per_tok": 3}, "qwen", shards=2),
    "qwen2": Case(QWEN2, "qwen", shards=2, eos=("<|im_end|>",),
                  sampling={"repetition_penalty": 1.05, **WARM}),
    "llama3": Case(
        {**LLAMA, "tie_word_embeddings": True, "rope_scaling": {
            "factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
            "original_max_position_embeddings": 64, "rope_type": "llama3"}}, "llama", "float16",
        lengths=FULL, eos=("<|end_of_text|>", "<|eot_id|>"), chat="llama"),
    "llama_linear": Case(
        {**without(LLAMA, "num_key_value_heads", "head_dim"), "num_hidden_layers": 2,
         "rope_scaling": {"type": "linear", "factor": 2.0}}, "llama", eos=("<|eot_id|>",),
        is_any_byte=True, chat="llama"),
    "mistral": Case(
        {**without(DENSE, "attention_bias"), "model_type": "mistral", "rope_theta": 10000.0,
         "sliding_window": None}, "mistral", eos=("</s>",), is_any_byte=True, chat="mistral"),
}


def full_config(case, tokens):
    """With vocabulary and ids: tokens are name -> id."""
    config = json.loads(json.dumps(case.config))
    for key, value in config.items():
        if key.endswith("_token_id"):
            config[key] = tokens[value]
    text = config.get("text_config", config)
    text["vocab_size"] = (max(tokens.values()) + 1 + 7) // 8 * 8  # padded, as is usual
    text["eos_token_id"] = tokens[case.eos[0]]
    text["bos_token_id"] = tokens.get(fixture_text.BOS.get(case.tokenizer))
    text["dtype" if "text_config" in config else "torch_dtype"] = case.dtype
    return config


# --- weights ---

def draw(rng, name, shape):
    """Lively, and for a Gated DeltaNet with memories of two tokens and of thousands."""
    if name.endswith("A_log"):
        return np.log(rng.uniform(0.05, 8.0, shape))
    if name.endswith("dt_bias"):
        return np.log(np.expm1(np.exp(rng.uniform(np.log(1e-3), np.log(0.2), shape))))
    if name.endswith("linear_attn.norm.weight"):
        return 1 + 0.3 * rng.standard_normal(shape)
    if name.endswith("q_norm.weight"):
        return 1 + 0.3 * rng.standard_normal(shape)  # attention looks at few tokens
    if name.endswith("norm.weight"):
        return 0.3 * rng.standard_normal(shape)  # the one is added where it belongs
    if name.endswith("bias"):
        return 0.5 * rng.standard_normal(shape)
    if name.endswith("embed_tokens.weight"):
        return rng.standard_normal(shape)
    if name.endswith("conv1d.weight"):
        return rng.standard_normal(shape) / np.sqrt(shape[-1])
    gain = 1.5 if name.endswith(("q_proj.weight", "gate.weight")) else 1.0
    gain = 4.0 if name == "lm_head.weight" else gain
    return gain * rng.standard_normal(shape) / np.sqrt(shape[-1])


def make_weights(case, config, seed, silent):
    """name -> tensor in float32 that is exact in the file's type; silent ids are never the best."""
    parsed = transformers.AutoConfig.for_model(**json.loads(json.dumps(config)))
    auto = transformers.AutoModelForImageTextToText if "text_config" in config else (
        transformers.AutoModelForCausalLM)
    with torch.device("meta"):
        shapes = {n: tuple(t.shape) for n, t in auto.from_config(parsed).state_dict().items()}
    rng = np.random.default_rng(seed)
    is_plus = config["model_type"].startswith(("qwen3_5", "qwen3_next"))
    tied = config["tie_word_embeddings"]
    weights = {}
    for name in sorted(shapes):
        if name == "lm_head.weight" and tied:
            continue
        w = draw(rng, name, shapes[name])
        if name.endswith("norm.weight") and "linear_attn" not in name and not is_plus:
            w = w + 1
        if name == "lm_head.weight" or (tied and name.endswith("embed_tokens.weight")):
            w[silent] *= 0.05
        if tied and name.endswith("embed_tokens.weight"):
            w *= 4 / np.sqrt(shapes[name][1])
        if tied and name.endswith(("o_proj.weight", "out_proj.weight", "down_proj.weight")):
            w *= 3  # or a token's own embedding is what comes out again
        weights[name] = torch.tensor(w, dtype=torch.float32)
    for name in [n for n in weights if n.endswith("linear_attn.conv1d.weight")]:
        correlate(weights, name.removesuffix("conv1d.weight"), config.get("text_config", config))
    if "text_config" in config:
        weights.update(make_mtp(rng, config["text_config"]["hidden_size"]))
    return weights


def correlate(weights, at, text):
    """Queries resemble their keys, as trained ones do. Otherwise the first tokens' outputs are a
    norm of almost nothing, and measure rounding instead of the engine."""
    hk, dk = text["linear_num_key_heads"], text["linear_key_head_dim"]
    fused = weights.get(at + "in_proj_qkvz.weight")
    if fused is not None:  # rows grouped by key head
        pairs = [fused.view(hk, -1, fused.shape[1])[:, :2 * dk].chunk(2, 1)]
    else:
        pairs = [weights[at + "in_proj_qkv.weight"][:2 * hk * dk].chunk(2)]
    pairs.append(weights[at + "conv1d.weight"][:2 * hk * dk].chunk(2))
    for q, k in pairs:
        q.mul_(0.6).add_(k, alpha=0.8)


def make_mtp(rng, hidden):
    """Some tensors of a head for multi-token prediction: to be seen and left aside."""
    shapes = {"mtp.fc.weight": (hidden, 2 * hidden), "mtp.norm.weight": (hidden,),
              "mtp.pre_fc_norm_embedding.weight": (hidden,),
              "mtp.pre_fc_norm_hidden.weight": (hidden,),
              "mtp.layers.0.input_layernorm.weight": (hidden,)}
    return {n: torch.tensor(0.1 * rng.standard_normal(s), dtype=torch.float32)
            for n, s in shapes.items()}


# --- files ---

def file_tensors(case, weights):
    """Names and types as published."""
    found = {}
    for name, w in weights.items():
        dtype = getattr(torch, case.dtype)
        if case.dtype == "bfloat16" and name.endswith(("A_log", "linear_attn.norm.weight")):
            dtype = torch.float32
        if name.endswith("mlp.experts.gate_up_proj") and not case.stacked:
            for e, (gate, up) in enumerate(t.chunk(2) for t in w):
                found[name.replace("gate_up_proj", f"{e}.gate_proj.weight")] = gate.to(dtype)
                found[name.replace("gate_up_proj", f"{e}.up_proj.weight")] = up.to(dtype)
        elif name.endswith("mlp.experts.down_proj") and not case.stacked:
            for e, down in enumerate(w):
                found[name.replace("down_proj", f"{e}.down_proj.weight")] = down.to(dtype)
        else:
            found[name] = w.to(dtype)
    return {n: t.contiguous().clone() for n, t in sorted(found.items())}


def write_tensors(folder, tensors, shards):
    meta = {"format": "pt"}
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", meta)
        return
    total, done, place = sum(t.nbytes for t in tensors.values()), 0, {}
    for name, t in tensors.items():  # cut by bytes, in the order of names
        place[name] = min(done * shards // total, shards - 1) + 1
        done += t.nbytes
    files = {n: f"model-{s:05}-of-{shards:05}.safetensors" for n, s in place.items()}
    for file in sorted(set(files.values())):
        save_file({n: t for n, t in tensors.items() if files[n] == file}, folder / file, meta)
    write_json(folder / "model.safetensors.index.json",
               {"metadata": {"total_size": total}, "weight_map": files})


def write_json(path, data):
    path.write_text(json.dumps(data, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def write_checkpoint(folder, case, seed):
    """Everything but what is expected of it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokens = fixture_text.write_tokenizer(folder, case)
    config = full_config(case, tokens)
    write_json(folder / "config.json", config)
    ids = [tokens[t] for t in case.eos]
    write_json(folder / "generation_config.json", {
        **({"bos_token_id": tokens[fixture_text.BOS[case.tokenizer]]}
           if case.tokenizer in fixture_text.BOS else {}),
        "eos_token_id": ids if len(ids) > 1 else ids[0], **case.sampling,
        "transformers_version": "4.57.0"})
    vocab = config.get("text_config", config)["vocab_size"]
    silent = fixture_text.silent_ids(tokens, vocab, case)
    tensors = file_tensors(case, make_weights(case, config, seed, silent))
    write_tensors(folder, tensors, case.shards)
