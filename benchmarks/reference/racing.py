"""Races between NativeLM and PyTorch on the same tensors in one process, and the records they leave."""

import ctypes
import json
import math
import statistics
import sys

import abi
import torch

CACHED_BYTES = 256 << 20  # more than any card's last cache holds
LONGEST_MS = 60


class Bench:
    """Library, tensors, ceilings and records. Where time does not pass (emulated) everything runs once and no figure comes out."""

    def __init__(self, library, quick=False, rounds=30):
        self.library, self.quick, self.rounds = library, quick, rounds
        self.is_rehearsal = library.backend != abi.Backend.Cuda
        self.uses_sm90a = b"sm_90a" in library.info.driver
        self.variant = " sm_90a" if self.uses_sm90a else ""  # in the names of figures that the switch changes
        self.device = "cpu" if self.is_rehearsal else "cuda"
        self.generator = torch.Generator(device=self.device).manual_seed(16)
        self.records = []
        self.read_rate = self.multiply_rate = math.nan  # bytes/s and FLOP/s: the ceilings of this run

    # ---- tensors ----

    def empty(self, *shape, dtype=torch.bfloat16):
        """Memory that both sides can read: torch's own on a GPU, the emulator's when emulated."""
        if not self.is_rehearsal:
            return torch.empty(*shape, dtype=dtype, device=self.device)
        count = math.prod(shape)
        size = torch.empty(0, dtype=dtype).element_size() * max(count, 1)
        buffer = (ctypes.c_char * size).from_address(self.library.allocate(size))
        return torch.frombuffer(buffer, dtype=dtype)[:count].view(*shape)

    def random(self, *shape, dtype=torch.bfloat16, scale=1.0):
        tensor = self.empty(*shape, dtype=dtype)
        # In pieces, so that a large tensor needs no copy of itself in float32.
        for piece in tensor.view(-1).split(1 << 26):
            piece.copy_(torch.randn(piece.shape, device=self.device, generator=self.generator) * scale)
        return tensor

    def tensor(self, values, dtype=torch.int32):
        source = torch.as_tensor(values, dtype=dtype)
        tensor = self.empty(*source.shape, dtype=dtype)
        tensor.copy_(source)
        return tensor

    def settle(self):
        """Both sides have finished what they were given; their streams do not wait for each other."""
        if not self.is_rehearsal:
            torch.cuda.synchronize()
        self.library.synchronize()

    # ---- time ----

    def race(self, ours, partners, call_bytes):
        """Milliseconds per call of every round: {"ours": [...], partner: [...]}, empty lists where nothing is timed.

        A contestant is a function of a call's index. Rounds alternate between all of them. A partner that cannot be recorded
        into a graph is left out, and the reason is printed.
        """
        self.settle()
        if self.is_rehearsal:
            for call in [ours, *partners.values()]:
                call(0)
            self.library.destroy(self.library.record(ours, 2))
            return {name: [] for name in ["ours", *partners]}
        contestants = {"ours": _NativeCalls(self, ours, call_bytes)}
        for name, call in partners.items():
            try:
                contestants[name] = _TorchCalls(self, call, call_bytes)
            except RuntimeError as error:
                print(f"{name}: left out: {str(error).splitlines()[0]}", file=sys.stderr)
        rounds = [{name: contestant.milliseconds() for name, contestant in contestants.items()} for _ in range(self.rounds)]
        contestants["ours"].destroy()
        return {name: [one[name] for one in rounds] for name in contestants}

    def calls_for(self, milliseconds, call_bytes):
        """Calls chained in one graph: enough to be timed well and not to run from the cache."""
        milliseconds = max(milliseconds, 1e-4)
        wanted = max((1.0 if self.quick else 2.0) / milliseconds, CACHED_BYTES / max(call_bytes, 1))
        return max(1, min(math.ceil(wanted), 512, int(LONGEST_MS / milliseconds)))

    # ---- records ----

    def compare(self, name, ours, partners, byte_count, operations, target=None):
        """Races ours against {partner: call} and records ours once per partner. target: (quantity, bound)."""
        times = self.race(ours, partners, byte_count)
        mine = times.pop("ours")
        for partner in times or [None]:
            self.add(name, "performance", mine, byte_count, operations, partner, times.get(partner), target)

    def add(self, name, kind, times, byte_count=0, operations=0, partner=None, partner_times=None, target=None):
        seconds = statistics.median(times) * 1e-3 if times else math.nan
        ratio = statistics.median(p / t for p, t in zip(partner_times, times)) if times and partner_times else math.nan
        floor = max(byte_count / self.read_rate, operations / self.multiply_rate) if times else math.nan
        record = {
            "name": name, "kind": kind, "value": seconds * 1e6, "unit": "us", "partner": partner, "ratio": ratio,
            "floor_percent": 100 * floor / seconds, "bytes": byte_count, "operations": operations,
            "partner_us": statistics.median(partner_times) * 1e3 if partner_times else math.nan,
            "target": f"{target[0]} >= {target[1]}" if target else None,
        }
        reached = record.get(target[0], math.nan) if target else math.nan
        record["met"] = None if math.isnan(reached) else reached >= target[1]
        self.records.append(record)

    def ceiling(self, name, value, unit):
        self.records.append({"name": f"ceiling {name}", "kind": "ceiling", "value": value, "unit": unit, "partner": None,
                             "ratio": math.nan, "floor_percent": math.nan, "target": None, "met": None})

    def check(self, name, found, expected, limit):
        """Relative error ‖found − expected‖ / ‖expected‖ against a reference in higher precision; NaN never passes."""
        found, expected = found.double(), expected.double()
        error = ((found - expected).norm() / expected.norm()).item()
        self.verdict(name, error, f"relative error <= {limit}", error <= limit)

    def verdict(self, name, value, target, met):
        self.records.append({"name": name, "kind": "correctness", "value": value, "unit": "", "partner": None, "ratio": math.nan,
                             "floor_percent": math.nan, "target": target, "met": bool(met)})

    @property
    def has_failed(self):
        return any(r["kind"] == "correctness" and not r["met"] for r in self.records)

    def write(self, path):
        # Library strings are fixed char arrays; ctypes cuts them at the first zero.
        info = self.library.info
        device = {"name": info.name.decode(), "driver": info.driver.decode(), "torch": torch.__version__}
        records = [{k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in r.items()} for r in self.records]
        with open(path, "w") as file:
            json.dump({"device": device, "rehearsal": self.is_rehearsal, "records": records}, file, indent=1)
            file.write("\n")

    def print(self):
        print(f"\n{self.library.info.name.decode()}, torch {torch.__version__}" + (": a rehearsal, nothing was timed" if self.is_rehearsal else ""))
        print(f"{'figure':<58} {'value':>10} {'unit':<7} {'partner':>10} {'ratio':>6} {'floor':>6}  partner, target")
        for r in self.records:
            verdict = "" if r["met"] is None else " (met)" if r["met"] else " (missed)" if r["kind"] != "correctness" else " FAILED"
            notes = ", ".join(text for text in (r["partner"], r["target"]) if text) + verdict
            print(f"{r['name']:<58} {_number(r['value'], '.4g'):>10} {r['unit']:<7} {_number(r.get('partner_us', math.nan), '.4g'):>10} "
                  f"{_number(r['ratio'], '.2f'):>6} {_number(r['floor_percent'], '.1f'):>6}  {notes}")


def _number(value, form):
    return format(value, form) if math.isfinite(value) else "-"


class _NativeCalls:
    def __init__(self, bench, call, call_bytes):
        self._library = bench.library
        call(0)  # loads the kernels: a recording must not be the first to
        bench.settle()
        single = self._library.record(call, 1)
        self._count = bench.calls_for(self._library.milliseconds(single), call_bytes)
        self._library.destroy(single)
        self._graph = self._library.record(call, self._count)

    def milliseconds(self):
        return self._library.milliseconds(self._graph) / self._count

    def destroy(self):
        self._library.destroy(self._graph)


class _TorchCalls:
    def __init__(self, bench, call, call_bytes):
        self._start, self._end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        self._graph = self._record(call, 1)
        self._count = 1
        self._count = bench.calls_for(self.milliseconds(), call_bytes)
        self._graph = self._record(call, self._count)

    @staticmethod
    def _record(call, count):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for index in range(3):  # handles, workspaces and heuristics come into being here
                call(index)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for index in range(count):
                call(index)
        return graph

    def milliseconds(self):
        self._graph.replay()
        self._start.record()
        self._graph.replay()
        self._end.record()
        self._end.synchronize()
        return self._start.elapsed_time(self._end) / self._count
