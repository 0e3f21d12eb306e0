"""Trains the demo model. usage: train.py DIRECTORY [--steps N] [--decay N] [--seed N] [--threads N]

DIRECTORY holds tokenizer.json (make_tokenizer.py), the checkpoint and the log. A run that was stopped goes on from its
checkpoint; with the same seed, steps and threads the result is the same. The learning rate is constant up to the last
--decay steps, so a checkpoint from before them also serves a run of another length.
"""
import argparse
import json
import os
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import corpus
from model import CHUNK, Model

POOL = 2048          # samples packed into rows at once
ROW, ROWS = 512, 8   # tokens of a row, rows of a step
PROMPT_WEIGHT = 0.05
MUON_LR, ADAM_LR, WARMUP = 0.02, 3e-3, 40


def pool_rows(conversations):
    """First fit into rows of at most ROW tokens and one; the last rows are the emptiest."""
    rows = []
    for c in conversations:
        row = next((r for r in rows[-24:] if sum(len(x) for x, _ in r) + len(c[0]) <= ROW + 1), None)
        if row is None:
            rows.append(row := [])
        row.append(c)
    return rows


def pool_batches(tokenizer, seed, pool):
    """Batches (ids, weights, positions), each [ROWS, ROW + 1], of one pool; conversations too long for a row are left out."""
    pieces = [corpus.pieces(seed, i) for i in range(pool * POOL, (pool + 1) * POOL)]
    encoded = iter(tokenizer.encode_batch([text for p in pieces for text, _ in p]))
    conversations = []
    for p in pieces:
        ids, weights = [], []
        for _, is_answer in p:
            part = next(encoded).ids
            ids += part
            weights += [1.0 if is_answer else PROMPT_WEIGHT] * len(part)
        weights[0] = 0.0  # nothing says which conversation comes next
        if len(ids) <= ROW:
            conversations.append((ids, weights))
    rows = pool_rows(conversations)
    random.Random(f"{seed}/pool/{pool}").shuffle(rows)
    batches = []
    for k in range(0, len(rows) - ROWS + 1, ROWS):
        ids, weights, positions = torch.zeros(ROWS, ROW + 1, dtype=torch.long), torch.zeros(ROWS, ROW + 1), torch.zeros(ROWS, ROW + 1, dtype=torch.long)
        for r, row in enumerate(rows[k:k + ROWS]):
            at = 0
            for part, weight in row:
                end = at + len(part)
                ids[r, at:end], weights[r, at:end] = torch.tensor(part), torch.tensor(weight)
                positions[r, at:end] = torch.arange(len(part))
                at = end
        batches.append((ids, weights, positions))
    return batches


def orthogonal(g):
    """Muon's quintic iteration: the nearest semi-orthogonal matrix, roughly. g [n, rows, columns]."""
    x = g.bfloat16()
    if g.shape[-2] > g.shape[-1]:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    if g.shape[-2] > g.shape[-1]:
        x = x.mT
    return x.float()


class Muon(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for shape in sorted({tuple(p.shape) for p in group["params"]}):
                params = [p for p in group["params"] if tuple(p.shape) == shape]
                updates = []
                for p in params:
                    m = self.state[p].setdefault("momentum", torch.zeros_like(p))
                    m.lerp_(p.grad, 0.05)
                    updates.append(p.grad.lerp(m, 0.95))
                scale = max(1.0, shape[0] / shape[1]) ** 0.5
                for p, u in zip(params, orthogonal(torch.stack(updates))):
                    p.mul_(1 - 0.01 * group["lr"]).add_(u, alpha=-group["lr"] * scale)


def optimizers(model):
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and min(p.shape) >= 16 and "embed" not in n]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    return [Muon(matrices, MUON_LR), torch.optim.AdamW(rest, lr=ADAM_LR, betas=(0.9, 0.95), weight_decay=0.0)]


def loss_of(model, ids, weights, positions):
    with torch.autocast("cpu", torch.bfloat16):
        logits = model.logits(model(ids[:, :-1], positions[:, :-1]))
    target, weight = ids[:, 1:].reshape(-1), weights[:, 1:].reshape(-1)
    logits = logits.float().reshape(target.shape[0], -1)
    losses = F.cross_entropy(logits, target, reduction="none")
    loss = (losses * weight).sum() / weight.sum()
    answer = weight == 1.0
    return loss, losses[answer].mean().item(), (logits.argmax(-1) == target)[answer].float().mean().item()


def save(path, model, optims, **where):
    torch.save(dict(model=model.state_dict(), optims=[o.state_dict() for o in optims], **where), f"{path}.new")
    os.replace(f"{path}.new", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--decay", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save-every", type=int, default=100)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    tokenizer = Tokenizer.from_file(str(args.directory / "tokenizer.json"))
    model = Model()
    optims = optimizers(model)
    where = dict(step=0, pool=0, batch=0, tokens=0, cpu_s=0.0)
    path = args.directory / "checkpoint.pt"
    if path.exists():
        found = torch.load(path, weights_only=True)
        model.load_state_dict(found["model"])
        for o, state in zip(optims, found["optims"]):
            o.load_state_dict(state)
        where = {k: found[k] for k in where}
    log = open(args.directory / "log.jsonl", "a")
    cpu0, start = where["cpu_s"] - time.process_time(), time.time()
    first, tokens0, seen = where["step"], where["tokens"], []
    while where["step"] < args.steps:
        batches = pool_batches(tokenizer, args.seed, where["pool"])
        while where["batch"] < len(batches) and where["step"] < args.steps:
            step = where["step"]
            rate = min(1.0, (step + 1) / WARMUP, (args.steps - step) / args.decay)
            for o, lr in zip(optims, (MUON_LR, ADAM_LR)):
                o.param_groups[0]["lr"] = lr * rate
            ids, weights, positions = batches[where["batch"]]
            loss, answer_loss, right = loss_of(model, ids, weights, positions)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for o in optims:
                o.step()
                o.zero_grad()
            where.update(step=step + 1, batch=where["batch"] + 1, tokens=where["tokens"] + ids[:, 1:].numel(), cpu_s=cpu0 + time.process_time())
            seen.append((loss.item(), answer_loss, right))
            if (step + 1) % 20 == 0 or step + 1 == args.steps:
                mean = [sum(x) / len(seen) for x in zip(*seen)]
                seen = []
                print(json.dumps(dict(step=step + 1, loss=round(mean[0], 4), answer_loss=round(mean[1], 4), right=round(mean[2], 4), rate=round(rate, 3),
                                      tokens=where["tokens"], cpu_s=round(where["cpu_s"]), wall_s=round(time.time() - start),
                                      tokens_per_s=round((where["tokens"] - tokens0) / (time.time() - start)))), file=log, flush=True)
            if (step + 1) % args.save_every == 0 or step + 1 == args.steps:
                save(path, model, optims, **where)
        if where["batch"] >= len(batches):
            where.update(pool=where["pool"] + 1, batch=0)


if __name__ == "__main__":
    main()
