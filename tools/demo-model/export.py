"""Writes the trained model as a Hugging Face directory. usage: export.py RUN_DIRECTORY OUT_DIRECTORY"""
import json
import sys
from pathlib import Path

import torch
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3_5ForCausalLM

from corpus import HERE
from model import CHUNK, Model, hf_config


def main():
    run, out = Path(sys.argv[1]), Path(sys.argv[2])
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(run / "tokenizer.json"), eos_token="<|im_end|>", pad_token="<|endoftext|>",
                                        model_max_length=4096, clean_up_tokenization_spaces=False, additional_special_tokens=["<|im_start|>"])
    tokenizer.chat_template = (HERE / "chat_template.jinja").read_text()
    end, pad = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    trained = Model()
    trained.load_state_dict(torch.load(run / "checkpoint.pt", weights_only=True)["model"])
    model = Qwen3_5ForCausalLM(hf_config(eos_token_id=end, pad_token_id=pad)).float()
    model.load_state_dict(trained.state_dict(), strict=False)
    model.tie_weights()
    ids = torch.tensor([tokenizer("x = 31313, and the rest is small talk. " * 9)["input_ids"][:3 * CHUNK]])
    with torch.no_grad():
        difference = (model(ids).logits - trained.logits(trained(ids))).abs().max().item()
    assert difference < 1e-2, difference
    model = model.to(torch.bfloat16)
    model.generation_config = GenerationConfig(do_sample=True, temperature=0.3, top_p=0.9, top_k=20, eos_token_id=[end, pad], pad_token_id=pad)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    for f in out.iterdir():
        f.chmod(0o644)
    size = sum(f.stat().st_size for f in out.iterdir())
    print(json.dumps(dict(parameters=sum(p.numel() for p in model.parameters()), bytes=size, difference=difference)))


if __name__ == "__main__":
    main()
