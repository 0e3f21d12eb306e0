#!/usr/bin/env python3
"""Writes tests/golden/checkpoints/*: small random models of every family, and what they answer.

    tools/test --fixtures, or
    .venv-fixtures/bin/python tests/golden/make_fixtures.py [NAME...]

Needs torch 2.13.0, transformers 5.23.0, tokenizers 0.23.3, safetensors 0.8.0 and numpy 2.4.6, on a
CPU. Each folder is a checkpoint as published ones are (config.json, generation_config.json,
safetensors in one or more shards, tokenizer.json, tokenizer_config.json, chat_template.jinja) with

expect.bin        little-endian: u32 magic, u32 n_prompts, u32 vocab; per prompt u32 n_tokens,
                  u32 ids[n_tokens], f32 logits[n_tokens][vocab]; then u32 n_greedy, per
                  continuation u32 n_prompt, u32 n_generated, u32 ids[n_prompt + n_generated],
                  which no token ends
expect_drift.bin  (one) u32 magic, u32 n_tokens, u32 ids[n_tokens], u32 n_positions, per position
                  u32 position, f32 logits[vocab]
expect.json       conversations as text and ids, strings and ids, whole greedy answers

The logits are transformers', run in float64 on the weights as the files have them: its modelling
code with every cast to float32 made one to float64. The frequencies of rotary embeddings stay
float32 numbers, as they are by definition. oracle.py computes all of it a second time, in another
way; both must agree. Printed beside it: how far transformers is from the reference in float32, and
in the files' type where that is shorter. Greedy tokens lead by MARGIN at every step, and experts by
ROUTER_MARGIN, so that float32 changes none of them. Activations in bfloat16 may: there only the
prompts have room, that no expert changes.
"""
import contextlib
import json
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import torch
import transformers

import fixture_text
from fixture_models import CASES, write_checkpoint
from oracle import Oracle

OUT = Path(__file__).resolve().parent / "checkpoints"
MAGIC = 0x78676F6C
MARGIN = 1e-3         # of a greedy token's logit before the second one's
ROUTER_MARGIN = 3e-4  # of the last expert taken before the next; in greedy text
ROUTER_MARGIN_PROMPT = {"float32": 1e-2, "bfloat16": 0.1}
SENSITIVE = 1e-5      # of a prompt's logits to rounding
AGREED = 1e-9         # transformers and the oracle, both in float64
GREEDY, GREEDY_TRIED, GREEDY_TOKENS, GREEDY_DISTINCT = 2, 24, 256, 20
ANSWER_TOKENS, ANSWER_DISTINCT = 64, 12
DRIFT_TOKENS = 10000
DRIFT_AT = (0, 1, 63, 64, 127, 255, 511, 1000, 1023, 1024, 2047, 2048, 3000, 4095, 4096, 5000, 6143,
            7000, 8191, 8192, 9000, 9999)


# --- transformers ---

class Wide:
    """torch, but whoever asks for float32 gets float64."""

    def __getattr__(self, name):
        return torch.float64 if name in ("float", "float32") else getattr(torch, name)


@contextlib.contextmanager
def in_float64(model):
    modules = {sys.modules[type(m).__module__] for m in model.modules()}
    modules = [m for m in modules if m.__name__.startswith("transformers.models.")]
    narrow = torch.Tensor.float
    try:
        torch.Tensor.float = torch.Tensor.double
        for module in modules:
            module.torch = Wide()
        yield
    finally:
        torch.Tensor.float = narrow
        for module in modules:
            module.torch = torch


class Model:
    """A checkpoint as transformers reads it."""

    def __init__(self, folder, oracle, dtype=torch.float32):
        config = transformers.AutoConfig.from_pretrained(folder)
        auto = transformers.AutoModelForImageTextToText if hasattr(config, "text_config") else (
            transformers.AutoModelForCausalLM)
        self.model, report = auto.from_pretrained(
            folder, dtype=dtype, attn_implementation="eager", experts_implementation="eager",
            output_loading_info=True)
        assert not any(report[k] for k in ("missing_keys", "mismatched_keys", "error_msgs")), report
        assert all(k.startswith("mtp.") for k in report["unexpected_keys"]), report
        self.model.eval()
        self.is_wide = False
        for module in self.model.modules():
            if hasattr(module, "inv_freq") and "Vision" not in type(module).__name__:
                take_frequencies(module, oracle)

    def widen(self):
        self.model.double()
        self.is_wide = True
        return self

    def around(self):
        return in_float64(self.model) if self.is_wide else contextlib.nullcontext()

    @torch.no_grad()
    def logits(self, ids):
        with self.around():
            return self.model(input_ids=torch.tensor([ids])).logits[0].double().numpy()

    @torch.no_grad()
    def continue_greedily(self, prompts, n):
        """[prompts of one length] -> ids with n more."""
        ids = torch.tensor(prompts)
        with self.around():
            out = self.model(input_ids=ids, use_cache=True)
            for _ in range(n):
                last = out.logits[:, -1].argmax(-1, keepdim=True)
                ids = torch.cat([ids, last], 1)
                out = self.model(input_ids=last, past_key_values=out.past_key_values, use_cache=True)
        return ids.tolist()

    @torch.no_grad()
    def generate(self, ids):
        with self.around():
            found = self.model.generate(
                torch.tensor([ids]), do_sample=False, temperature=None, top_p=None, top_k=None,
                repetition_penalty=1.0, max_new_tokens=ANSWER_TOKENS, max_length=None)
        return found[0, len(ids):].tolist()


def take_frequencies(module, oracle):
    """Two float32 powers may differ in the last bit; both sides shall have the same."""
    want = torch.tensor(oracle.inv_freq)
    assert torch.allclose(module.inv_freq, want, rtol=1e-6, atol=0), (module.inv_freq, want)
    assert abs(module.attention_scaling - oracle.scaling) < 1e-12
    module.inv_freq.copy_(want)


# --- prompts ---

def make_prompt(rng, n, vocab, oracle, margin):
    """Random ids. Long ones have a run of one token and a passage twice, for keys that are alike.
    Where experts are close, or where float32's rounding alone would move the logits further than an
    engine may be off, another token is taken."""
    ids = rng.integers(0, vocab, n)
    if n >= 65:
        ids[10:30] = ids[10]
        ids[40:52] = ids[20:32]
    if n >= 300:
        ids[200:260] = ids[100:160]
    while True:
        moved = oracle.sensitivity(ids)
        close = np.flatnonzero((oracle.margins < margin) | (moved > SENSITIVE))
        if len(close) == 0:
            return ids.tolist()
        ids[close[0]] = rng.integers(0, vocab)


def least_lead(logits):
    """How far the best id is before the second, at least."""
    top = np.sort(logits, -1)
    return float((top[:, -1] - top[:, -2]).min())


def judge(oracle, ids, n_prompt):
    """Whether greedy ids are what any float32 engine finds: logits' lead, experts' lead."""
    logits = oracle.logits(ids)[n_prompt - 1:-1]
    assert (logits.argmax(-1) == ids[n_prompt:]).all()
    return least_lead(logits), float(oracle.margins.min())


def make_greedy(rng, model, oracle, vocab):
    """The clearest of many continuations."""
    found = []
    for n_prompt in (4, 9):
        prompts = [rng.integers(0, vocab, n_prompt).tolist() for _ in range(GREEDY_TRIED)]
        clear = []
        for ids in model.continue_greedily(prompts, GREEDY_TOKENS):
            if len(set(ids[n_prompt:])) >= GREEDY_DISTINCT:
                lead, router = judge(oracle, ids, n_prompt)
                if lead > MARGIN and router > ROUTER_MARGIN:
                    clear.append((lead, router, n_prompt, ids))
        if not clear:
            return None
        found.append(max(clear))
    return found


# --- files ---

def u32(*values):
    return struct.pack(f"<{len(values)}I", *values)


def f32(array):
    return np.ascontiguousarray(array, "<f4").tobytes()


def write_expect(folder, vocab, prompts, greedy):
    data = [u32(MAGIC, len(prompts), vocab)]
    for ids, logits in prompts:
        data += [u32(len(ids), *ids), f32(logits)]
    data.append(u32(len(greedy)))
    for _, _, n_prompt, ids in greedy:
        data.append(u32(n_prompt, len(ids) - n_prompt, *ids))
    (folder / "expect.bin").write_bytes(b"".join(data))


def write_drift(folder, rng, vocab, oracle):
    ids = rng.integers(0, vocab, DRIFT_TOKENS).tolist()
    data = [u32(MAGIC, len(ids), *ids, len(DRIFT_AT))]
    for position, logits in zip(DRIFT_AT, oracle.logits(ids, DRIFT_AT)):
        data += [u32(position), f32(logits)]
    (folder / "expect_drift.bin").write_bytes(b"".join(data))


def render(tokenizer, chat):
    arguments = chat.get("arguments", {})
    text, ids = (tokenizer.apply_chat_template(
        chat["messages"], tools=chat.get("tools"), tokenize=tokenize, return_dict=False,
        add_generation_prompt=chat.get("add_generation_prompt", True), **arguments)
        for tokenize in (False, True))
    return {**chat, "arguments": arguments, "text": text, "ids": ids,
            "add_generation_prompt": chat.get("add_generation_prompt", True)}


def make_strings(tokenizer):
    rows = []
    for text in fixture_text.STRINGS:
        ids, bare = (tokenizer(text, add_special_tokens=a)["input_ids"] for a in (True, False))
        rows.append({"text": text, "ids": ids, "ids_without_special": bare,
                     "decoded": tokenizer.decode(ids),
                     "decoded_without_special": tokenizer.decode(ids, skip_special_tokens=True)})
    return rows


def make_answer(tokenizer, model, oracle, chat):
    prompt = render(tokenizer, chat)
    ids = model.generate(prompt["ids"])
    lead, router = judge(oracle, prompt["ids"] + ids, len(prompt["ids"]))
    eos = model.model.generation_config.eos_token_id
    is_end = ids[-1] in (eos if isinstance(eos, list) else [eos])
    is_dull = len(set(ids)) < (5 if is_end else ANSWER_DISTINCT)
    if lead < MARGIN or router < ROUTER_MARGIN or is_dull:
        return None
    return {**chat, "arguments": prompt["arguments"], "prompt_ids": prompt["ids"], "ids": ids,
            "text": tokenizer.decode(ids, skip_special_tokens=True),
            "finish": "stop" if is_end else "length", "lead": lead}


def make_answers(case, tokenizer, model, oracle):
    """Of each form one that stops by itself, if any does, and one that does not."""
    found = []
    for form in fixture_text.questions_of(case):
        ends = {}
        for question in fixture_text.QUESTIONS:
            answer = make_answer(tokenizer, model, oracle, form(question))
            if answer and answer["finish"] not in ends:
                ends[answer["finish"]] = answer
            if len(ends) == 2:
                break
        found += [ends[k] for k in sorted(ends)]
    return found


# --- a checkpoint ---

def measure(folder, oracle, prompts, dtype):
    """How far transformers in this type is from the reference, at most and on average."""
    model = Model(folder, oracle, dtype)
    apart = [np.abs(model.logits(ids) - logits) for ids, logits in prompts]
    return {"max": max(float(a.max()) for a in apart),
            "mean": float(np.concatenate([a.ravel() for a in apart]).mean())}


def rounded(value):
    """Two digits: what is left does not depend on the machine."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return float(f"{value:.1e}") if isinstance(value, float) else value


def make_prompts(case, rng, model, oracle, vocab):
    margin = ROUTER_MARGIN_PROMPT.get(case.dtype, 1e-2)
    prompts = []
    for n in case.lengths:
        ids = make_prompt(rng, n, vocab, oracle, margin)
        prompts.append((ids, model.logits(ids)))
    return prompts


def make(name):
    case, folder = CASES[name], OUT / name
    write_checkpoint(folder, case, case.seed)
    oracle = Oracle(folder)
    model = Model(folder, oracle).widen()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    vocab, rng = len(oracle.embed), np.random.default_rng(case.seed)
    greedy = make_greedy(rng, model, oracle, vocab)
    if greedy is None:
        sys.exit(f"{name}: seed {case.seed} has no clear greedy text, take another")
    prompts = make_prompts(case, rng, model, oracle, vocab)
    between = max(float(np.abs(oracle.logits(ids) - logits).max()) for ids, logits in prompts)
    assert between < AGREED, f"{name}: transformers and the oracle are {between} apart"
    write_expect(folder, vocab, prompts, greedy)
    if case.has_drift:
        write_drift(folder, rng, vocab, oracle)
    apart = {"float32": measure(folder, oracle, prompts, torch.float32)}
    if case.dtype != "float32":
        apart[case.dtype] = measure(folder, oracle, prompts, getattr(torch, case.dtype))
    expect = {
        "made_with": f"transformers {transformers.__version__}",
        "greedy": [{"lead": lead, "distinct": len(set(ids[n:]))} for lead, _, n, ids in greedy],
        "answers": make_answers(case, tokenizer, model, oracle),
        "chats": [render(tokenizer, chat) for chat in fixture_text.chats_of(case)],
        "strings": make_strings(tokenizer)}
    text = json.dumps(rounded(expect), ensure_ascii=False, separators=(",", ":"))
    (folder / "expect.json").write_text(text + "\n", encoding="utf-8")
    report(name, folder, apart, between, expect)


def report(name, folder, apart, between, expect):
    size = sum(p.stat().st_size for p in folder.iterdir())
    ends = [a["finish"] for a in expect["answers"]]
    kinds = ", ".join(f"{k} {v['max']:.1e} (mean {v['mean']:.0e})" for k, v in apart.items())
    leads = ", ".join(f"{g['lead']:.1e} ({g['distinct']} ids)" for g in expect["greedy"])
    print(f"{name}: {size // 1024} KiB; apart: {kinds}, oracle {between:.0e}; greedy {leads}; "
          f"{len(ends)} answers, {ends.count('stop')} stop", flush=True)


def main():
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    for folder in OUT.glob("*"):
        if folder.name not in CASES:
            shutil.rmtree(folder)
    for name in sys.argv[1:] or CASES:
        make(name)


if __name__ == "__main__":
    main()
