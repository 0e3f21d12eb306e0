#!/usr/bin/env python3
"""Write tests/golden/configs/*.json: what transformers makes of a config.json.

Needs torch and transformers; the tests that read the fixtures need neither. For each case: the
config as it is published, the same as transformers saves it, the facts of the parsed config, and
name and shape of every tensor, as in the model's state dict and as in the files it saves.
"""
import json
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors import safe_open

OUT = Path(__file__).resolve().parent / "configs"

DENSE = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=3,
             num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
             rms_norm_eps=1e-6, hidden_act="silu", initializer_range=0.02, use_cache=True,
             attention_dropout=0.0, bos_token_id=1, eos_token_id=2, torch_dtype="bfloat16",
             transformers_version="4.57.0")
LINEAR = dict(linear_conv_kernel_dim=4, linear_key_head_dim=8, linear_value_head_dim=12,
              linear_num_key_heads=2, linear_num_value_heads=4)
MOE = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24, norm_topk_prob=True,
           decoder_sparse_step=1, mlp_only_layers=[], output_router_logits=False,
           router_aux_loss_coef=0.001)
HYBRID = {**DENSE, **LINEAR, "num_hidden_layers": 4, "head_dim": 16, "attention_bias": False,
          "attn_output_gate": True, "mamba_ssm_dtype": "float32", "mtp_num_hidden_layers": 1,
          "mtp_use_dedicated_embeddings": False}
ROPE35 = {"mrope_interleaved": True, "mrope_section": [1, 1, 0], "rope_type": "default",
          "rope_theta": 10000000, "partial_rotary_factor": 0.25}
VISION = dict(depth=1, hidden_size=16, intermediate_size=16, num_heads=2, in_channels=3,
              patch_size=4, spatial_merge_size=2, temporal_patch_size=2, out_hidden_size=32,
              num_position_embeddings=16, deepstack_visual_indexes=[],
              model_type="qwen3_5_vision", initializer_range=0.02)
OUTER = dict(image_token_id=60, video_token_id=61, vision_start_token_id=62,
             vision_end_token_id=63, tie_word_embeddings=False, transformers_version="4.57.0")


def drop(config, *keys):
    return {k: v for k, v in config.items() if k not in keys}


def moe35():
    text = {**drop(HYBRID, "intermediate_size"), **drop(MOE, "norm_topk_prob", "decoder_sparse_step",
            "mlp_only_layers"), "shared_expert_intermediate_size": 20, "full_attention_interval": 4,
            "model_type": "qwen3_5_moe_text", "rope_parameters": ROPE35}
    return {**OUTER, "model_type": "qwen3_5_moe", "text_config": text,
            "vision_config": {**VISION, "model_type": "qwen3_5_moe_vision"}}


TYPES = ["linear_attention", "linear_attention", "full_attention", "linear_attention"]
NEXT = {**HYBRID, **MOE, "model_type": "qwen3_next", "shared_expert_intermediate_size": 20,
        "full_attention_interval": 2, "partial_rotary_factor": 0.5, "rope_theta": 10000000,
        "rope_scaling": None}
for key in ("attn_output_gate", "mamba_ssm_dtype", "mtp_num_hidden_layers",
            "mtp_use_dedicated_embeddings"):
    NEXT.pop(key)

CASES = {
    "qwen3_5": {**OUTER, "model_type": "qwen3_5", "vision_config": VISION, "text_config": {
        **HYBRID, "model_type": "qwen3_5_text", "layer_types": TYPES, "rope_parameters": ROPE35}},
    "qwen3_5_tied": {**OUTER, "tie_word_embeddings": True, "model_type": "qwen3_5",
                     "vision_config": VISION, "text_config": {
        **HYBRID, "model_type": "qwen3_5_text", "tie_word_embeddings": True,
        "full_attention_interval": 4, "rope_parameters": ROPE35}},
    "qwen3_5_text": {**HYBRID, "model_type": "qwen3_5_text", "tie_word_embeddings": True,
                     "full_attention_interval": 2, "rope_parameters": ROPE35},
    "qwen3_5_moe": moe35(),
    "qwen3_5_moe_text": moe35()["text_config"],
    "qwen3_next": NEXT,
    "qwen3_next_mixed": {**NEXT, "mlp_only_layers": [1], "decoder_sparse_step": 2,
                         "linear_num_value_heads": 6, "norm_topk_prob": False},
    "qwen3": {**DENSE, "model_type": "qwen3", "head_dim": 16, "attention_bias": False,
              "rope_theta": 1000000, "rope_scaling": None, "sliding_window": None,
              "use_sliding_window": False, "max_window_layers": 3, "tie_word_embeddings": True},
    "qwen3_yarn": {**DENSE, "model_type": "qwen3", "head_dim": 16, "attention_bias": False,
                   "rope_theta": 1000000, "tie_word_embeddings": False, "rope_scaling": {
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}},
    "qwen3_moe": {**DENSE, **MOE, "model_type": "qwen3_moe", "head_dim": 16,
                  "attention_bias": False, "rope_theta": 1000000, "rope_scaling": None,
                  "sliding_window": None, "use_sliding_window": False, "max_window_layers": 3,
                  "mlp_only_layers": [0], "tie_word_embeddings": False},
    "qwen2": {**DENSE, "model_type": "qwen2", "rope_theta": 1000000.0, "sliding_window": 64,
              "use_sliding_window": False, "max_window_layers": 3, "tie_word_embeddings": False},
    "qwen2_yarn": {**DENSE, "model_type": "qwen2", "rope_theta": 1000000.0,
                   "tie_word_embeddings": True, "rope_scaling": {
        "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128,
        "beta_fast": 24.0, "beta_slow": 2.0, "attention_factor": 1.25}},
    "qwen2_window": {**DENSE, "model_type": "qwen2", "rope_theta": 1000000.0, "sliding_window": 64,
                     "use_sliding_window": True, "max_window_layers": 2,
                     "tie_word_embeddings": False},
    "llama": drop({**DENSE, "model_type": "llama", "pretraining_tp": 1, "rope_scaling": None,
                   "tie_word_embeddings": False, "rms_norm_eps": 1e-5}, "num_key_value_heads"),
    "llama3": {**DENSE, "model_type": "llama", "attention_bias": False, "mlp_bias": False,
               "head_dim": 8, "pretraining_tp": 1, "tie_word_embeddings": True,
               "rope_theta": 500000.0, "eos_token_id": [2, 3, 4], "rope_scaling": {
        "factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
        "original_max_position_embeddings": 128, "rope_type": "llama3"}},
    "llama_linear": {**DENSE, "model_type": "llama", "tie_word_embeddings": False,
                     "rope_scaling": {"type": "linear", "factor": 2.0}},
    "mistral": {**DENSE, "model_type": "mistral", "rope_theta": 10000.0, "sliding_window": 128,
                "tie_word_embeddings": False},
    "mistral_nemo": {**DENSE, "model_type": "mistral", "rope_theta": 1000000.0, "head_dim": 16,
                     "sliding_window": None, "tie_word_embeddings": False},
}


def facts(config):
    text = config.get_text_config()
    rope = text.rope_parameters
    names = ["hidden_size", "vocab_size", "num_hidden_layers", "num_attention_heads",
             "num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "intermediate_size",
             "linear_conv_kernel_dim", "linear_key_head_dim", "linear_value_head_dim",
             "linear_num_key_heads", "linear_num_value_heads", "num_experts",
             "num_experts_per_tok", "moe_intermediate_size", "shared_expert_intermediate_size",
             "norm_topk_prob"]
    found = {n: getattr(text, n) for n in names if getattr(text, n, None) is not None}
    found["head_dim"] = getattr(text, "head_dim", None) or (
        text.hidden_size // text.num_attention_heads)
    found["tie_word_embeddings"] = config.tie_word_embeddings
    found["sliding_window"] = getattr(text, "sliding_window", None)
    kinds = getattr(text, "layer_types", None) or ["full_attention"] * text.num_hidden_layers
    found["layer_types"] = list(kinds)
    found["rope"] = {k: rope[k] for k in sorted(rope) if not k.startswith("mrope")}
    return found


def build(config):
    nested = hasattr(config, "text_config")
    auto = transformers.AutoModelForImageTextToText if nested else transformers.AutoModelForCausalLM
    torch.manual_seed(1)
    return auto.from_config(config, dtype=torch.bfloat16)


def saved(model):
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        config = json.loads((Path(folder) / "config.json").read_text())
        with safe_open(Path(folder) / "model.safetensors", "pt") as f:
            tensors = [[n, list(f.get_slice(n).get_shape())] for n in sorted(f.keys())]
    return config, tensors


def main():
    OUT.mkdir(exist_ok=True)
    for name in sys.argv[1:] or CASES:
        raw = json.loads(json.dumps(CASES[name]))
        config = transformers.AutoConfig.for_model(**raw)
        model = build(config)
        state = [[n, list(t.shape)] for n, t in sorted(model.state_dict().items())]
        as_saved, tensors = saved(model)
        fixture = {"made_with": f"transformers {transformers.__version__}",
                   "facts": facts(model.config), "published": CASES[name], "resaved": as_saved,
                   "state": state, "saved": tensors}
        text = json.dumps(fixture, separators=(",", ":")) + "\n"
        (OUT / f"{name}.json").write_text(text)
        print(f"{name}: {len(state)} and {len(tensors)} tensors, {len(text)} bytes")


if __name__ == "__main__":
    main()
