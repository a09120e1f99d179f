#!/usr/bin/env python3
"""NativeLM's kernels beside PyTorch's (cuBLAS, flash attention, cuDNN) on the same tensors in one process.

usage: compare.py [PART...] --library libnativelm_cuda.so [--json FILE] [--quick] [--rounds N]

Parts (default all): gemm attention-decode attention-prefill memory sampling. The ceilings are always measured first.
Every op is first compared with a reference in higher precision; a wrong result is reported and makes the exit status 1.
NATIVELM_SM90A=1 in the environment measures the kernels for sm_90a in place of the others.
Times are medians of graph replays taken by the device, both sides in turn. With libnativelm_emulated.so everything runs once at
tiny sizes on the CPU and nothing is timed. Exit status 3: PyTorch is missing.
"""

import argparse
import ctypes
import math
import statistics
import sys

try:
    import torch
    import torch.nn.functional as F
except ImportError as error:
    print(f"compare.py needs a Python with PyTorch: {error}", file=sys.stderr)
    sys.exit(3)

import abi
from library import Library
from racing import Bench

BLOCK_SIZE = 16
BF16_LIMIT = 1e-2  # of relative error: bf16 results lie between 1e-3 and this

LAYERS = {  # (n, k)
    "llama-3.1-8b qkv": (6144, 4096), "llama-3.1-8b o": (4096, 4096), "llama-3.1-8b gate_up": (28672, 4096),
    "llama-3.1-8b down": (4096, 14336), "llama-3.1-8b lm_head": (128256, 4096),
    "llama-2-13b qkv": (15360, 5120), "llama-2-13b o": (5120, 5120), "llama-2-13b gate_up": (27648, 5120),
    "llama-2-13b down": (5120, 13824),
    "qwen3-0.6b qkv": (4096, 1024), "qwen3-0.6b o": (1024, 2048), "qwen3-0.6b gate_up": (6144, 1024), "qwen3-0.6b down": (1024, 3072),
    "qwen3-8b gate_up": (24576, 4096), "qwen3-8b down": (4096, 12288),
    "opt-13b fc1": (20480, 5120), "opt-13b fc2": (5120, 20480),
}


# ---- ceilings ----

def ceilings(bench):
    """Read bandwidth by our kernel, copy bandwidth and the matrix rate by PyTorch (cuBLAS)."""
    size, side = (1 << 16, 128) if bench.is_rehearsal else (1 << 30, 8192)
    source, target, sink = bench.random(size // 2), bench.empty(size // 2), bench.empty(16)
    a, b = bench.random(side, side), bench.random(side, side)
    product = bench.empty(side, side)
    times = bench.race(lambda _: bench.library.read(source.data_ptr(), size, sink.data_ptr()),
                       {"copy": lambda _: target.copy_(source), "multiply": lambda _: torch.matmul(a, b, out=product)}, size)
    bench.read_rate, bench.multiply_rate = size / median_seconds(times["ours"]), 2 * side**3 / median_seconds(times["multiply"])
    bench.ceiling("read", bench.read_rate / 1e9, "GB/s")
    bench.ceiling("torch copy, read and written", 2 * size / median_seconds(times["copy"]) / 1e9, "GB/s")
    bench.ceiling(f"cuBLAS bf16 {side}^3", bench.multiply_rate / 1e12, "TFLOP/s")


def median_seconds(milliseconds):
    return statistics.median(milliseconds) * 1e-3 if milliseconds else math.nan


def run_once(bench, ours, out):
    """The op's result on its 0-th inputs, with every element that it does not write left as a poison value."""
    out.fill_(math.nan if out.is_floating_point() else -2)
    bench.settle()
    ours(0)
    bench.settle()


# ---- linear layers ----

def pack(bench, weight):
    """Packed copies of a weight [n, k] as rows of bytes, more than the cache holds and at least three."""
    n, k = weight.shape
    byte_count = bench.library.number("nlm_packed_weight_bytes", abi.DType.BF16, n, k)
    stride = -(-byte_count // 256) * 256
    copies = 3 if bench.is_rehearsal else max(3, -(-(512 << 20) // stride))
    packed = bench.empty(copies, stride, dtype=torch.uint8)
    packed.zero_()
    bench.settle()
    host = weight.cpu().contiguous()
    bench.library.op("nlm_pack_weight", abi.PackWeightArgs(
        type=abi.DType.BF16, packed=packed.data_ptr(), source=host.data_ptr(), type_source=abi.DType.BF16, role=abi.WeightRole.Plain,
        n=n, k=k, row_offset=0, source_rows=n))
    bench.settle()
    packed[1:] = packed[0]
    return packed


def gemm(bench):
    layers = {"tiny": (192, 128)} if bench.is_rehearsal else LAYERS
    if bench.quick:
        layers = {name: shape for name, shape in layers.items() if name.startswith(("llama-3.1", "qwen3-0.6b", "tiny"))}
    row_counts = [1, 17] if bench.is_rehearsal else [1, 16, 64, 256, 2048] if bench.quick else [1, 4, 16, 64, 256, 1024, 2048, 8192]
    for name, (n, k) in layers.items():
        weight = bench.random(n, k, scale=k**-0.5)
        packed = pack(bench, weight)
        # The same copies for PyTorch, row-major.
        weights = [weight] + [weight.clone() for _ in range(packed.shape[0] - 1)]
        for rows in row_counts:
            if "lm_head" in name and rows > 1024:
                continue  # logits of a whole prefill are never computed
            one_gemm(bench, f"gemm{bench.variant} {name} M={rows}", weights, packed, rows)


def one_gemm(bench, name, weights, packed, rows):
    n, k = weights[0].shape
    x, out, theirs = bench.random(rows, k), bench.empty(rows, n), bench.empty(rows, n)
    args = abi.GemmArgs(epilogue=abi.Epilogue.NONE, out=out.data_ptr(), x=x.data_ptr(), x_stride=k, out_stride=n, rows_max=rows, n=n, k=k,
                        type_x=abi.DType.BF16, type_weight=abi.DType.BF16, type_out=abi.DType.BF16)
    workspace = bench.empty(max(64, bench.library.bytes("nlm_gemm_workspace_bytes", args)), dtype=torch.uint8)
    args.workspace, args.workspace_bytes = workspace.data_ptr(), workspace.numel()

    def ours(index):
        args.weight = packed[index % packed.shape[0]].data_ptr()
        bench.library.op("nlm_gemm", args)

    run_once(bench, ours, out)
    checked = min(rows, 64)
    bench.check(name, out[:checked], x[:checked].double() @ weights[0].double().t(), BF16_LIMIT)
    target = ("ratio", 0.95) if bench.uses_sm90a and rows >= 2048 else ("floor_percent", 88) if rows <= 16 and n * k >= 50e6 else ("floor_percent", 75) if rows <= 16 and n * k >= 15e6 else None
    bench.compare(name, ours, matmul_partners(x, weights, theirs), 2 * (n * k + rows * (n + k)), 2 * rows * n * k, target)


def matmul_partners(x, weights, out):
    """torch.matmul by each BLAS library that PyTorch can be told to use."""
    choose = getattr(torch.backends.cuda, "preferred_blas_library", None)

    def partner(library):
        def call(index):
            if library:
                choose(library)
            torch.matmul(x, weights[index % len(weights)].t(), out=out)
        return call

    if choose is None or not torch.cuda.is_available():
        return {"torch.matmul": partner(None)}
    return {"cuBLAS": partner("cublas"), "cuBLASLt": partner("cublaslt")}


# ---- attention ----

class PagedKv:
    """Random K and V of a batch, gathered [layers, batch, kv_heads, keys, dim] for PyTorch and in a shuffled paged cache for us."""

    def __init__(self, bench, batch, keys, q_heads, kv_heads, dim, layers):
        self.bench, self.shape, self.layers = bench, (batch, keys, q_heads, kv_heads, dim), layers
        self.k, self.v = (bench.random(layers, batch, kv_heads, keys, dim) for _ in range(2))
        self.blocks_per_sequence = -(-keys // BLOCK_SIZE)
        block_count = batch * self.blocks_per_sequence
        self.cache = abi.KvCache(size=ctypes.sizeof(abi.KvCache), type=abi.DType.BF16, block_count=block_count, block_size=BLOCK_SIZE,
                                 layer_count=layers, kv_head_count=kv_heads, head_dim=dim)
        block_bytes = bench.library.number("nlm_kv_block_bytes", ctypes.byref(self.cache))
        self.pool = bench.empty(block_count * block_bytes, dtype=torch.uint8)
        self.cache.data = self.pool.data_ptr()
        tables = torch.randperm(block_count, generator=torch.Generator().manual_seed(5)).view(batch, -1)
        self.tables = bench.tensor(tables)
        positions = torch.arange(keys)
        self.slots = bench.tensor(tables[:, positions // BLOCK_SIZE] * BLOCK_SIZE + positions % BLOCK_SIZE)
        self._write()

    def _write(self):
        """Through nlm_write_kv, sequence by sequence: only the backend knows how a block is laid out inside."""
        batch, keys, q_heads, kv_heads, dim = self.shape
        qkv, q_out = self.bench.empty(keys, (q_heads + 2 * kv_heads) * dim), self.bench.empty(keys, q_heads * dim)
        qkv.zero_()
        positions = self.bench.tensor(torch.arange(keys))
        for layer in range(self.layers):
            for sequence in range(batch):
                heads = torch.cat([self.k[layer, sequence], self.v[layer, sequence]]).transpose(0, 1)  # [keys, 2 kv_heads, dim]
                qkv[:, q_heads * dim:] = heads.reshape(keys, -1)
                self.bench.settle()
                self.bench.library.op("nlm_write_kv", abi.WriteKvArgs(
                    type=abi.DType.BF16, q_out=q_out.data_ptr(), cache=ctypes.addressof(self.cache), qkv=qkv.data_ptr(),
                    positions=positions.data_ptr(), slots=self.slots[sequence].data_ptr(), rows_max=keys, q_head_count=q_heads, layer=layer,
                    positions_max=keys, rope_style=abi.RopeStyle.NONE))
                self.bench.settle()

    def attention(self, q, out, query_rows):
        """A function that queues paged attention of the last query_rows positions of each sequence, on the index-th layer."""
        batch, keys, q_heads, _, dim = self.shape
        starts = self.bench.tensor(torch.arange(batch + 1) * query_rows)
        lengths = self.bench.tensor([keys] * batch)
        args = abi.PagedAttentionArgs(
            type=abi.DType.BF16, out=out.data_ptr(), q=q.data_ptr(), cache=ctypes.addressof(self.cache), query_starts=starts.data_ptr(),
            lengths=lengths.data_ptr(), block_tables=self.tables.data_ptr(), rows_max=batch * query_rows, sequences_max=batch,
            q_head_count=q_heads, table_count=batch, table_stride=self.blocks_per_sequence, length_max=keys, query_rows_max=query_rows,
            scale=dim**-0.5)
        workspace = self.bench.empty(max(64, self.bench.library.bytes("nlm_paged_attention_workspace_bytes", args)), dtype=torch.uint8)
        args.workspace, args.workspace_bytes = workspace.data_ptr(), workspace.numel()

        def call(index):
            args.layer = index % self.layers
            self.bench.library.op("nlm_paged_attention", args)

        call.keeps = (starts, lengths, workspace)  # alive as long as the call is
        return call


def exact_attention(q, k, v, first_position):
    """q [batch, q_heads, rows, dim] at first_position onwards over k, v [batch, kv_heads, keys, dim], causal, in float64."""
    group = q.shape[1] // k.shape[1]
    q, k, v = q.double(), k.double().repeat_interleave(group, 1), v.double().repeat_interleave(group, 1)
    scores = q @ k.transpose(-1, -2) * q.shape[-1]**-0.5
    positions = torch.arange(first_position, first_position + q.shape[2], device=q.device)
    hidden = torch.arange(k.shape[2], device=q.device)[None, :] > positions[:, None]
    return scores.masked_fill(hidden, -math.inf).softmax(-1) @ v


def sdpa_partners(bench, q, kv, is_causal):
    """PyTorch's attention over gathered keys and values, one partner per implementation that takes these shapes."""
    if bench.is_rehearsal or not hasattr(F, "scaled_dot_product_attention"):
        return {"float64 attention": lambda i: exact_attention(q, kv.k[i % kv.layers], kv.v[i % kv.layers], kv.shape[1] - q.shape[2])}
    from torch.nn.attention import SDPBackend, sdpa_kernel

    def partner(backend):
        def call(index):
            with sdpa_kernel(backend):
                F.scaled_dot_product_attention(q, kv.k[index % kv.layers], kv.v[index % kv.layers], is_causal=is_causal, enable_gqa=True)
        return call

    found = {}
    for name in ("FLASH_ATTENTION", "CUDNN_ATTENTION", "EFFICIENT_ATTENTION"):
        call = partner(getattr(SDPBackend, name))
        try:
            call(0)
            found[f"SDPA {name.split('_')[0].lower()}"] = call
        except RuntimeError as error:  # this implementation does not take these shapes
            print(f"SDPA {name}: left out: {str(error).splitlines()[0]}", file=sys.stderr)
    return found


def decode(bench):
    heads = {"tiny": (4, 2, 64)} if bench.is_rehearsal else {"32/8/128": (32, 8, 128), "40/40/128": (40, 40, 128), "16/8/128": (16, 8, 128)}
    sizes = [(2, 40)] if bench.is_rehearsal else [(1, 4096), (8, 2048), (32, 4096), (64, 2048)]
    if not bench.is_rehearsal and not bench.quick:
        sizes += [(1, 16384), (64, 1024), (256, 1024)]
    for name, (q_heads, kv_heads, dim) in heads.items():
        for batch, keys in sizes:
            kv_bytes = 4 * batch * keys * kv_heads * dim
            layers = 2 if bench.is_rehearsal else max(2, min(16, -(-(512 << 20) // kv_bytes)))
            kv = PagedKv(bench, batch, keys, q_heads, kv_heads, dim, layers)
            q, out = bench.random(batch, q_heads, dim), bench.empty(batch, q_heads, dim)
            ours = kv.attention(q, out, 1)
            run_once(bench, ours, out)
            title = f"decode {name} B={batch} ctx={keys}"
            torch_q = q.view(batch, q_heads, 1, dim)
            checked = slice(0, 4)  # sequences; all of a large batch would not fit in float64
            bench.check(title, out.view_as(torch_q)[checked], exact_attention(torch_q[checked], kv.k[0, checked], kv.v[0, checked], keys - 1), BF16_LIMIT)
            target = ("floor_percent", 85) if batch * keys * kv_heads >= 512 << 10 else None
            bench.compare(title, ours, sdpa_partners(bench, torch_q, kv, False), kv_bytes, 4 * batch * keys * q_heads * dim, target)


def prefill(bench):
    heads = {"tiny": (4, 2, 64)} if bench.is_rehearsal else {"32/8/128": (32, 8, 128), "40/40/128": (40, 40, 128)}
    sizes = [(1, 70)] if bench.is_rehearsal else [(1, 8192), (4, 2048), (16, 512)]
    for name, (q_heads, kv_heads, dim) in heads.items():
        for batch, keys in sizes:
            kv = PagedKv(bench, batch, keys, q_heads, kv_heads, dim, 2)
            q = bench.random(batch, keys, q_heads, dim)
            out = bench.empty(batch, keys, q_heads, dim)
            ours = kv.attention(q, out, keys)
            run_once(bench, ours, out)
            title = f"prefill {name} {batch}x{keys}"
            torch_q = q.transpose(1, 2).contiguous()
            last = max(0, keys - 64)  # the last rows of the first sequence see everything; more would be slow in float64
            bench.check(title, out[:1, last:].transpose(1, 2), exact_attention(torch_q[:1, :, last:], kv.k[0, :1], kv.v[0, :1], last), BF16_LIMIT)
            visible = batch * keys * (keys + 1) // 2
            bench.compare(title, ours, sdpa_partners(bench, torch_q, kv, True), 2 * batch * keys * dim * 2 * (q_heads + kv_heads),
                          4 * visible * q_heads * dim)


# ---- memory ----

def rms_norm(x, weight, epsilon):
    if hasattr(F, "rms_norm"):
        return F.rms_norm(x, (x.shape[-1],), weight, epsilon)
    return (x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + epsilon)).to(x.dtype) * weight


def memory(bench):
    columns = 128 if bench.is_rehearsal else 4096
    for rows in [1, 5] if bench.is_rehearsal else [1, 64, 256, 8192]:
        copies = 2 if bench.is_rehearsal else max(2, min(256, (512 << 20) // (8 * rows * columns)))
        x, residual = bench.random(copies, rows, columns), bench.random(copies, rows, columns)
        out, sums, weight = bench.empty(copies, rows, columns), bench.empty(copies, rows, columns), bench.random(columns)
        args = abi.NormArgs(kind=abi.NormKind.Rms, weight=weight.data_ptr(), x_stride=columns, out_stride=columns, rows_max=rows,
                            columns=columns, type=abi.DType.BF16, epsilon=1e-5)

        def ours(index):
            at = index % copies
            args.x, args.residual_in = x[at].data_ptr(), residual[at].data_ptr()
            args.out, args.residual_out = out[at].data_ptr(), sums[at].data_ptr()
            bench.library.op("nlm_norm", args)

        run_once(bench, ours, out)
        exact = x[0].double() + residual[0].double()
        exact = exact * torch.rsqrt(exact.pow(2).mean(-1, keepdim=True) + 1e-5) * weight.double()
        title = f"add + norm {rows}x{columns}"
        bench.check(title, out[0], exact, BF16_LIMIT)
        bench.compare(title, ours, {"torch add + rms_norm": lambda i: rms_norm(x[i % copies] + residual[i % copies], weight, 1e-5)},
                      8 * rows * columns, 0)


# ---- sampling ----

MODES = {  # temperature, top_k, top_p
    "greedy": (0.0, 0, 1.0), "temperature": (0.8, 0, 1.0), "top-k 50": (0.8, 50, 1.0), "top-p 0.9": (0.8, 0, 0.9),
}


def kept(logits, temperature, top_k, top_p):
    """Logits over the temperature with what top-k and top-p remove at -inf, by sorting."""
    scaled = logits / temperature
    if top_k > 0:
        scaled = scaled.masked_fill(scaled < scaled.topk(top_k, -1).values[..., -1:], -math.inf)
    if top_p < 1:
        values, order = scaled.sort(-1, descending=True)
        shares = values.softmax(-1)
        beyond = shares.cumsum(-1) - shares >= top_p
        scaled = scaled.masked_fill(beyond.scatter(-1, order, beyond), -math.inf)
    return scaled


def torch_sample(logits, temperature, top_k, top_p):
    if temperature == 0:
        return logits.argmax(-1)
    probabilities = kept(logits, temperature, top_k, top_p).softmax(-1)
    return (probabilities / torch.empty_like(probabilities).exponential_()).argmax(-1)


def sampling(bench):
    vocabularies = [1024] if bench.is_rehearsal else [131072] if bench.quick else [32768, 131072, 151936]
    for vocabulary in vocabularies:
        for rows in [3] if bench.is_rehearsal else [1, 32, 256]:
            copies = 2 if bench.is_rehearsal else max(2, min(256, (512 << 20) // (4 * rows * vocabulary)))
            logits = bench.random(copies, rows, vocabulary, dtype=torch.float32, scale=2.0)
            for name, mode in MODES.items():
                one_sampling(bench, f"sample {rows}x{vocabulary} {name}", logits, mode)


def one_sampling(bench, title, logits, mode):
    copies, rows, vocabulary = logits.shape
    temperature, top_k, top_p = mode
    parameters = (abi.SampleRow * rows)(*[abi.SampleRow(
        seed=row, position=3, forced_token=-1, temperature=temperature, top_p=top_p, top_k=top_k, repetition_penalty=1.0, count_row=-1,
        mask_row=-1, top_logprobs=-1) for row in range(rows)])
    device_parameters = bench.tensor(list(bytes(parameters)), dtype=torch.uint8)
    results = bench.empty(rows, ctypes.sizeof(abi.SampleResult) // 4, dtype=torch.int32)
    args = abi.SampleArgs(rows_max=rows, results=results.data_ptr(), parameters=device_parameters.data_ptr(), logits_stride=vocabulary,
                          vocabulary=vocabulary)
    workspace = bench.empty(max(64, bench.library.bytes("nlm_sample_workspace_bytes", args)), dtype=torch.uint8)
    args.workspace, args.workspace_bytes = workspace.data_ptr(), workspace.numel()

    def ours(index):
        args.logits = logits[index % copies].data_ptr()
        bench.library.op("nlm_sample", args)

    run_once(bench, ours, results)
    tokens = results[:, 0].long()
    if temperature == 0:
        wrong = (tokens != logits[0].argmax(-1)).sum().item()
    else:  # drawn from what is left after the filters, computed in float64
        allowed = kept(logits[0].double(), temperature, top_k, top_p).gather(-1, tokens.clamp(0, vocabulary - 1)[:, None])
        wrong = (allowed.isinf().squeeze(-1) | (tokens < 0) | (tokens >= vocabulary)).sum().item()
    bench.verdict(title, wrong, "rows with a wrong token <= 0", wrong == 0)
    bench.compare(title, ours, {"torch": lambda i: torch_sample(logits[i % copies], *mode)}, 4 * rows * vocabulary, 0)


PARTS = {"gemm": gemm, "attention-decode": decode, "attention-prefill": prefill, "memory": memory, "sampling": sampling}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--library", required=True)
    parser.add_argument("--json")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    unknown = set(options.parts) - {"ceilings", *PARTS}
    if unknown:
        parser.error(f"unknown part {', '.join(sorted(unknown))}; expected some of: ceilings, {', '.join(PARTS)}")
    torch.backends.cuda.matmul.allow_tf32 = False  # float32 here is a reference
    bench = Bench(Library(options.library), options.quick, options.rounds)
    ceilings(bench)
    for name, part in PARTS.items():
        if not options.parts or name in options.parts:
            print(f"{name} ...", flush=True)
            part(bench)
    if options.json:
        bench.write(options.json)
    bench.print()
    return 1 if bench.has_failed else 0


if __name__ == "__main__":
    sys.exit(main())
