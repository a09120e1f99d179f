#!/usr/bin/env python3
"""Merges what the steps of gpu-check.sh left behind into summary.json and kernels.json and prints a table of at most 40 lines.

usage: gpu-summary.py WORK OUT --device cuda|emulated

Exit status 0 only if every check passed or was not made: a missing tool is reported and fails nothing, a wrong result does.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys

TABLE_LINES = 40
STEPS = ["build", "ceilings", "correct", "invariance", "sanitize", "gemm", "attention", "memory", "step"]


def output(*command):
    """First line of a command's output, or "" where there is none."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else ""


def describe(device):
    info = {"commit": output("git", "rev-parse", "HEAD"), "device": "SIMT emulator", "driver": "", "clocks": ""}
    if device == "cuda":
        name, driver, clocks = (output("nvidia-smi", f"--query-gpu={q}", "--format=csv,noheader")
                                for q in ("name", "driver_version", "clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,power.limit"))
        info |= {"device": name, "driver": driver, "clocks": clocks}
    return info | {"compiler": output("nvcc", "--version") and subprocess.run(["nvcc", "--version"], capture_output=True, text=True,
                                                                              check=False).stdout.strip().splitlines()[-1]}


def read_checks(work):
    """One record per check, in the order of the steps."""
    for step in STEPS:
        file = work / f"{step}.checks"
        for line in file.read_text().splitlines() if file.exists() else []:
            _, name, kind, passed, seconds, remark = line.split("\t")
            yield {"name": name, "kind": kind, "value": int(seconds), "unit": "s", "partner": None, "ratio": None, "floor_percent": None,
                   "passed": json.loads(passed), "remark": remark.strip()}


def read_figures(work):
    for file in sorted(work.glob("*.json")):
        yield from json.loads(file.read_text())["records"]


def figure_line(record):
    def text(value, format_spec, suffix=""):
        return "-" if value is None else format(value, format_spec) + suffix

    verdict = {True: "met", False: "missed", None: ""}[record.get("met", record.get("passed"))]
    return (f"{record['name'][:52]:<52} {text(record['value'], '.4g'):>9} {record['unit']:<7} {text(record.get('floor_percent'), '.0f', '%'):>5} "
            f"{text(record.get('ratio'), '.2f'):>6} {verdict}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--device", choices=["cuda", "emulated"], required=True)
    options = parser.parse_args()
    checks, figures = list(read_checks(options.work)), list(read_figures(options.work))
    carried = pathlib.Path("artifacts/gpu-work/bundle/commit")
    summary = describe(options.device) | {"rehearsal": options.device == "emulated",
                                          "bundle": carried.read_text().split("\n")[0] if carried.exists() else ""}
    (options.out / "kernels.json").write_text(json.dumps({"records": figures}, indent=1) + "\n")
    passed = [{**f, "passed": f.get("met", f.get("passed"))} for f in figures]
    (options.out / "summary.json").write_text(json.dumps(summary | {"checks": checks + passed}, indent=1) + "\n")

    lines = [f"{summary['device']}  driver {summary['driver'] or '-'}  {summary['clocks']}"
             + ("  REHEARSAL: NO GPU, NOTHING WAS TIMED" if summary["rehearsal"] else "")]
    for check in checks:
        verdict = {True: "passed", False: "FAILED", None: "NOT MADE"}[check["passed"]]
        lines.append(f"{check['kind']:<12} {check['name']:<20} {verdict:<9} {check['value']:>4} s  {check['remark'][:90]}")
    room = TABLE_LINES - len(lines) - 2
    with_target = [f for f in figures if f.get("target") or f["kind"] == "ceiling"]
    shown = [] if summary["rehearsal"] else with_target[:room] or figures[:room]
    lines += [figure_line(f) for f in shown]
    if len(shown) < len(figures):
        lines.append(f"{len(figures) - len(shown)} more figures in kernels.json")
    failed = sum(c["passed"] is False for c in checks)
    lines.append(f"{sum(c['passed'] is True for c in checks)} passed, {failed} failed, {sum(c['passed'] is None for c in checks)} skipped")
    print("\n" + "\n".join(lines))
    return 1 if failed > 0 or not checks else 0


if __name__ == "__main__":
    sys.exit(main())
