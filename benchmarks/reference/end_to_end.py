#!/usr/bin/env python3
"""Serving throughput at 64 concurrent requests beside Hugging Face transformers' generate, on the same requests.

usage: end_to_end.py --nativelm PROGRAM --model FOLDER [--device cuda] [--json FILE] [--quick] [--rehearse]

FOLDER holds a model of Llama-3.1-8B's shape with random weights: benchmarks/RandomModel FOLDER --llama-8b. First hf_baseline.py runs
in a process of its own and writes its requests as a trace; then `nativelm serve` gets the same requests from 64 clients in a closed
loop. --rehearse: tiny requests, no figure comes out, and a missing PyTorch or transformers leaves the partner out.
"""

import argparse
import csv
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

CLIENTS = 64
PORT = 8151
GOAL = 25
STARTS_WITHIN = 300  # seconds


def run_baseline(folder, options):
    """transformers' output tokens per second, or None; leaves the requests in trace.csv."""
    trace, result = folder / "trace.csv", folder / "hf.json"
    command = [sys.executable, str(pathlib.Path(__file__).with_name("hf_baseline.py")), "--trace", str(trace), "--json", str(result)]
    command += ["--quick"] if options.quick else []
    command += ["--rehearse"] if options.rehearse else []
    status = subprocess.run(command, check=False).returncode
    if status == 0:
        return json.loads(result.read_text())["records"][0]["value"]
    if status != 3 or not options.rehearse:
        raise SystemExit(f"hf_baseline.py failed with exit status {status}")
    trace.write_text("arrival,input_length,output_length\n" + "0,8,4\n0,5,6\n0,12,3\n")
    return None


class Server:
    """nativelm serve on one device, ready when entered and stopped when left."""

    def __init__(self, options):
        self._command = [options.nativelm, "serve", "--model", options.model, "--device", options.device, "--port", str(PORT),
                         "--max-num-seqs", str(CLIENTS), "--max-model-len", "256" if options.rehearse else "4096"]

    def __enter__(self):
        self._process = subprocess.Popen(self._command)
        end = time.monotonic() + STARTS_WITHIN
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=5).close()
                return self
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if self._process.poll() is not None:
                    raise SystemExit(f"the server ended with exit status {self._process.returncode} before it was ready")
                if time.monotonic() > end:
                    self.__exit__()
                    raise SystemExit(f"the server was not ready within {STARTS_WITHIN} s")
                time.sleep(0.1)

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(60)


def run_ours(folder, options):
    """Figures of `nativelm bench serve` over the trace."""
    trace, result = folder / "trace.csv", folder / "ours.json"
    with open(trace, newline="") as file:
        count = sum(1 for _ in csv.DictReader(file))
    vocabulary = json.loads((pathlib.Path(options.model) / "config.json").read_text())["vocab_size"]
    with Server(options):
        subprocess.run([options.nativelm, "bench", "serve", "--base-url", f"http://127.0.0.1:{PORT}", "--trace", str(trace), "--num-prompts", str(count),
                        "--concurrency", str(CLIENTS), "--vocab-size", str(vocabulary), "--num-warmups", "4", "--json", str(result)], check=True)
    figures = json.loads(result.read_text())["runs"][0]
    if figures["completed"] != count:
        raise SystemExit(f"{count} requests sent, {figures['completed']} completed: {figures['errors']}")
    return figures


def records(ours, theirs, rehearsal):
    def record(name, value, unit, **more):
        return {"name": name, "kind": "context", "value": None if rehearsal else value, "unit": unit, "partner": None, "ratio": None,
                "floor_percent": None, "target": None, "met": None} | more

    ratio = None if rehearsal or theirs is None else ours["output_tokens_per_second"] / theirs
    name = f"end to end llama-3.1-8b, {CLIENTS} concurrent"
    return [record(f"{name}: output", ours["output_tokens_per_second"], "tok/s", kind="performance", partner="transformers generate", ratio=ratio,
                   target=f"ratio >= {GOAL}", met=None if ratio is None else ratio >= GOAL),
            record(f"{name}: time to first token p50", ours["ttft_ms"]["p50"], "ms"),
            record(f"{name}: time per token p50", ours["tpot_ms"]["p50"], "ms"),
            record("transformers generate, static batches: output", theirs, "tok/s")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nativelm", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--json")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rehearse", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        theirs = run_baseline(folder, options)
        found = records(run_ours(folder, options), theirs, options.rehearse)
    if options.json:
        text = json.dumps({"device": {"name": options.device}, "rehearsal": options.rehearse, "records": found}, indent=1)
        pathlib.Path(options.json).write_text(text + "\n")
    for r in found:
        print(f"{r['name']:<70} {'-' if r['value'] is None else format(r['value'], '.4g'):>10} {r['unit']:<6} "
              f"{'' if r['ratio'] is None else format(r['ratio'], '.1f') + ' x ' + r['partner']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
