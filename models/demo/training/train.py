"""Trains the demo model for a given time on one CPU thread and keeps a checkpoint that can be exported at any moment.

usage: python3 train.py --minutes 70 [--threads 1] [--out folder]        (Debian's python3-torch; nothing else)

Weights are kept in float32 and computed with in bfloat16. The learning rate follows the clock, so the schedule ends on time on any machine.
Writes into the run folder: checkpoint.pt (every few minutes) and loss.csv (minutes, step, tokens, learning rate factor, training and held-out loss).
"""

import argparse
import math
import os
import time

import torch
from torch.nn import functional as F

from bpe import Tokenizer
from corpus import PAD, documents
from model import Config, Llama

TRAINING_SEED, HELD_OUT_SEED = 20, 21
SHORT_PHASE = 0.65              # this share of the time is spent on rows of half the length


class Batches:
    """Batches of rows of length + 1 ids. Every row begins with a document, as every request does, and the last one in it may be cut."""

    def __init__(self, tokenizer, seed):
        self.source = (tokenizer.encode(document) for document in documents(seed))
        self.pad = tokenizer.ids[PAD]

    def row(self, length):
        row = []
        while len(row) < length - 8:                # a shorter rest is padding
            row += next(self.source)
        return (row + [self.pad] * 9)[:length + 1]

    def next(self, count, length):
        return torch.tensor([self.row(length) for _ in range(count)])


def loss_of(model, ids, pad):
    logits = model(ids[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten(), ignore_index=pad)


class Optimizer:
    """Float32 masters of a bfloat16 model. The matrices inside the blocks follow Muon (momentum, then the nearest orthogonal matrix: Jordan
    et al., 2024), which needs far fewer steps here than Adam; the embedding and the norms follow AdamW.
    """

    def __init__(self, model, momentum=0.95, decay=0.02, clip=1.0):
        self.parameters = list(model.parameters())
        self.masters = [p.detach().float().clone().requires_grad_() for p in self.parameters]
        inner = [name.startswith("model.layers.") and p.dim() == 2 for name, p in model.named_parameters()]
        self.matrices = [m for m, is_inner in zip(self.masters, inner) if is_inner]
        self.momenta = [torch.zeros_like(m) for m in self.matrices]
        self.adam = torch.optim.AdamW([m for m, is_inner in zip(self.masters, inner) if not is_inner], betas=(0.9, 0.98), eps=1e-9, weight_decay=0)
        self.momentum, self.decay, self.clip = momentum, decay, clip
        self.shapes = {}                                # matrices of one shape are made orthogonal together
        for index, matrix in enumerate(self.matrices):
            self.shapes.setdefault(tuple(sorted(matrix.shape)), []).append(index)

    def step(self, adam_rate, muon_rate):
        for master, parameter in zip(self.masters, self.parameters):
            master.grad = parameter.grad.float()
            parameter.grad = None
        torch.nn.utils.clip_grad_norm_(self.masters, self.clip)
        self.adam.param_groups[0]["lr"] = adam_rate
        self.adam.step()
        with torch.no_grad():
            for indices in self.shapes.values():
                self.muon_step(indices, muon_rate)
            for master, parameter in zip(self.masters, self.parameters):
                parameter.copy_(master)

    def muon_step(self, indices, rate):
        updates = []
        for index in indices:
            gradient, momentum = self.matrices[index].grad, self.momenta[index]
            momentum.lerp_(gradient, 1 - self.momentum)
            update = gradient.lerp(momentum, self.momentum)             # Nesterov
            updates.append(update if update.shape[0] <= update.shape[1] else update.T)
        for index, update in zip(indices, orthogonal(torch.stack(updates))):
            matrix = self.matrices[index]
            rows, columns = matrix.shape
            matrix.mul_(1 - rate * self.decay)
            matrix.sub_(update if rows <= columns else update.T, alpha=rate * max(1, rows / columns) ** 0.5)


def orthogonal(matrices, steps=5):
    """Newton-Schulz iteration towards the orthogonal factor of each [rows <= columns] matrix; singular values end near 1."""
    x = matrices.bfloat16()
    x = x / (x.float().flatten(1).norm(dim=1)[:, None, None] + 1e-7).bfloat16()
    for _ in range(steps):
        a = x @ x.transpose(1, 2)
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return x.float()


def schedule(step, progress, warmup=60):
    """Factor of the learning rates: linear warm-up by steps, then a cosine by time, down to 0.02 at progress 1."""
    return min(1, (step + 1) / warmup) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1, progress))))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=70)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4, help="rows per step")
    parser.add_argument("--length", type=int, default=1024, help="tokens per row")
    parser.add_argument("--adam-rate", type=float, default=3e-3, help="peak learning rate of the embedding and the norms")
    parser.add_argument("--muon-rate", type=float, default=0.02, help="peak learning rate of the matrices")
    parser.add_argument("--tokenizer", default="../tokenizer.json")
    parser.add_argument("--out", default="../../../artifacts/demo")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(TRAINING_SEED)
    os.makedirs(options.out, exist_ok=True)
    tokenizer = Tokenizer.load(options.tokenizer)
    config, pad = Config(vocab_size=len(tokenizer.ids)), tokenizer.ids[PAD]
    model = Llama(config)
    optimizer = Optimizer(model)                   # takes its masters before the weights are rounded
    model.bfloat16()
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)

    short, held_out = options.length // 2, Batches(tokenizer, HELD_OUT_SEED)
    held_out = [held_out.next(2 * options.batch, short) for _ in range(4)]
    training = Batches(tokenizer, TRAINING_SEED)
    start, step, mean, saved = time.time(), 0, None, 0.0
    with open(os.path.join(options.out, "loss.csv"), "w", encoding="utf-8") as log:
        log.write("minutes,step,tokens,learning_rate_factor,training_loss,held_out_loss\n")
        while (progress := (time.time() - start) / 60 / options.minutes) < 1:
            factor = schedule(step, progress)
            # attention over long rows is slow, and most is learned from short ones
            batch = training.next(2 * options.batch, short) if progress < SHORT_PHASE else training.next(options.batch, options.length)
            loss = loss_of(model, batch, pad)
            loss.backward()
            optimizer.step(factor * options.adam_rate, factor * options.muon_rate)
            step += 1
            mean = loss.item() if mean is None else 0.95 * mean + 0.05 * loss.item()
            if step % 50 == 0:
                minutes = (time.time() - start) / 60
                due = minutes - saved > 4
                held = ""
                if due or step == 50:
                    saved = minutes
                    held = f"{evaluate(model, held_out, pad):.4f}"
                    save(model, optimizer, config, options.out)
                line = f"{minutes:.2f},{step},{step * options.batch * options.length},{factor:.4f},{mean:.4f},{held}"
                log.write(line + "\n")
                log.flush()
                print(line, flush=True)
        held = evaluate(model, held_out, pad)
        log.write(f"{(time.time() - start) / 60:.2f},{step},{step * options.batch * options.length},{factor:.4f},{mean:.4f},{held:.4f}\n")
    save(model, optimizer, config, options.out)


def evaluate(model, held_out, pad):
    with torch.no_grad():
        return sum(loss_of(model, batch, pad).item() for batch in held_out) / len(held_out)


def save(model, optimizer, config, folder):
    """Writes the float32 masters under their Llama names; the rename keeps the old checkpoint until the new one is complete."""
    state = {name: master.detach() for (name, _), master in zip(model.named_parameters(), optimizer.masters)}
    path = os.path.join(folder, "checkpoint.pt")
    torch.save({"config": config, "state": state}, path + ".new")
    os.replace(path + ".new", path)


if __name__ == "__main__":
    main()
