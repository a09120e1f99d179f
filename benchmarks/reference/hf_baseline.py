#!/usr/bin/env python3
"""Throughput of Hugging Face transformers' generate at 64 concurrent requests: the baseline that serving is measured against.

usage: hf_baseline.py [--json FILE] [--trace FILE] [--requests N] [--batch N] [--quick] [--rehearse]

A model of Llama-3.1-8B's shape with random weights is made on the GPU. Requests have ShareGPT-like lengths (log-normal, means of
161 tokens in and 338 out, as in the PagedAttention paper) and run in static batches: all of a batch wait for its longest answer, as
generate offers nothing else. Only tokens that a request asked for count. --trace writes the same requests, all arriving at once, for
`nativelm bench serve --trace`. Exit status 3: PyTorch or transformers is missing.
"""

import argparse
import csv
import json
import math
import random
import sys
import time

try:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
except ImportError as error:
    print(f"hf_baseline.py needs a Python with PyTorch and transformers: {error}", file=sys.stderr)
    sys.exit(3)

VOCABULARY = 128256
INPUT_MEAN, OUTPUT_MEAN = 161, 338


def lengths(count, limit):
    """(input, output) tokens of each request, seeded."""
    source = random.Random(7)

    def draw(mean, spread):
        return max(1, min(limit, int(source.lognormvariate(math.log(mean) - spread * spread / 2, spread))))

    return [(draw(INPUT_MEAN, 1.0), draw(OUTPUT_MEAN, 0.8)) for _ in range(count)]


def build_model(is_rehearsal):
    if is_rehearsal:
        shape = dict(vocab_size=512, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
    else:
        shape = dict(vocab_size=VOCABULARY, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
                     num_key_value_heads=8)
    config = LlamaConfig(max_position_embeddings=8192, pad_token_id=0, eos_token_id=None, bos_token_id=None, **shape)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32 if is_rehearsal else torch.bfloat16)
    try:
        if is_rehearsal:
            return LlamaForCausalLM(config).eval()
        with torch.device("cuda"):
            return LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(before)


def generate(model, batch):
    """Runs one static batch, padded on the left, to its longest answer. Returns (seconds, steps)."""
    device = next(model.parameters()).device
    longest_input, steps = max(i for i, _ in batch), max(o for _, o in batch)
    ids = torch.randint(3, model.config.vocab_size, (len(batch), longest_input), device=device)
    mask = torch.ones_like(ids)
    for row, (input_length, _) in enumerate(batch):
        mask[row, :longest_input - input_length] = 0
    ids = ids * mask  # token 0 pads
    synchronize(device)
    start = time.perf_counter()
    with torch.inference_mode():
        out = model.generate(input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=steps, min_new_tokens=steps)
    synchronize(device)
    seconds = time.perf_counter() - start
    if out.shape[1] != longest_input + steps:
        raise RuntimeError(f"generate stopped early: expected {steps} new tokens, found {out.shape[1] - longest_input}")
    return seconds, steps


def synchronize(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def write_trace(path, requests):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["arrival", "input_length", "output_length"])
        writer.writerows((0, i, o) for i, o in requests)


def run(options):
    limit = 12 if options.rehearse else 1024
    requests = lengths(options.requests, limit)
    if options.trace:
        write_trace(options.trace, requests)
    model = build_model(options.rehearse)
    generate(model, [(4, 4)] * options.batch)  # warms up
    batches = [requests[i:i + options.batch] for i in range(0, len(requests), options.batch)]
    times = [generate(model, batch) for batch in batches]
    seconds, steps = sum(s for s, _ in times), sum(n for _, n in times)
    output_tokens = sum(o for _, o in requests)
    name = f"hf generate llama-3.1-8b, {len(requests)} requests in static batches of {options.batch}"

    def record(what, value, unit):
        return {"name": f"{name}: {what}", "kind": "context", "value": None if options.rehearse else value, "unit": unit, "partner": None,
                "ratio": None, "floor_percent": None, "target": None, "met": None}

    return [record("output", output_tokens / seconds, "tok/s"), record("all tokens", sum(i + o for i, o in requests) / seconds, "tok/s"),
            record("step", seconds / steps * 1e3, "ms")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json")
    parser.add_argument("--trace")
    parser.add_argument("--requests", type=int)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--quick", action="store_true", help="one batch")
    parser.add_argument("--rehearse", action="store_true", help="a tiny model on the CPU; no figure comes out")
    options = parser.parse_args()
    if options.rehearse:
        options.batch = min(options.batch, 3)
    options.requests = options.requests or (2 if options.rehearse else 1 if options.quick else 4) * options.batch
    if not options.rehearse and not torch.cuda.is_available():
        print("hf_baseline.py: PyTorch sees no GPU; --rehearse runs a tiny model on the CPU", file=sys.stderr)
        return 2
    records = run(options)
    if options.json:
        name = "CPU" if options.rehearse else torch.cuda.get_device_name()
        with open(options.json, "w") as file:
            json.dump({"device": {"name": name, "torch": torch.__version__}, "rehearsal": options.rehearse, "records": records}, file, indent=1)
            file.write("\n")
    for r in records:
        print(f"{r['name']:<90} {'-' if r['value'] is None else format(r['value'], '.4g'):>10} {r['unit']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
