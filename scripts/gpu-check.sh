#!/usr/bin/env bash
# Checks the CUDA library on a machine with a GPU: builds it, tests every kernel and whole models on the device, compares bits, runs
# compute-sanitizer, measures against the card's own ceilings and PyTorch. The last thing printed is a short table; exit status 0
# only if every correctness and invariance check passed. Performance fails nothing.
#
#   scripts/gpu-check.sh --pack              on a build machine: puts the tests, the server, the .NET runtime and test data into
#                                            artifacts/carry/bundle.tar.xz (limit 60 MB), which travels with the checkout
#   scripts/gpu-check.sh                     on the GPU machine: needs nvcc, CMake, Ninja, g++, python3 (PyTorch for the comparisons);
#                                            no .NET, no network
#   scripts/gpu-check.sh --only correct      one of: build ceilings correct invariance sanitize gemm attention memory step (repeatable);
#                                            build comes first, each is below ten minutes
#   scripts/gpu-check.sh --device emulated   a rehearsal without a GPU: the same steps on the SIMT emulator, nothing is timed
#   --full                                   all benchmark shapes, not only the main ones
#
# Results go to $OUT (default artifacts/gpu): summary.json, kernels.json, tests.trx, models.trx, ptxas.txt, log.txt. Steps run one by
# one add to the same summary. An account of one run: docs/benchmarks/.
source "$(dirname "$0")/common.sh"

all_steps=(build ceilings correct invariance sanitize gemm attention memory step)
steps=() device=cuda pack=false size=(--quick)
while [ $# -gt 0 ]; do
    case $1 in
    --pack) pack=true ;;
    --only) [[ $# -gt 1 && " ${all_steps[*]} " == *" $2 "* ]] || die "--only needs one of: ${all_steps[*]}" && steps+=("$2") && shift ;;
    --device) [[ $# -gt 1 && $2 =~ ^(cuda|emulated)$ ]] || die "--device needs cuda or emulated" && device=$2 && shift ;;
    --full) size=() ;;
    -h | --help) usage ;;
    *) die "unknown option $1 (see --help)" ;;
    esac
    shift
done
[ ${#steps[@]} -gt 0 ] || steps=("${all_steps[@]}")
carry=$root/artifacts/carry
bundle=$carry/bundle.tar.xz
cd "$root"

# ---- on the build machine ----

pack_bundle() {
    local stage=$carry/stage bytes runtime data=${NATIVELM_TEST_DATA:-$root/../shared/data} goldens=${NATIVELM_TEST_GOLDENS:-$root/../shared/goldens}
    rm -rf "$carry" && mkdir -p "$stage"/{dotnet,lib,data/models,goldens}
    say "Packing"
    publish_server "$stage/server"
    local project
    for project in Kernel.Tests Golden.Tests; do
        dotnet publish "tests/$project" -c Release -o "$stage/tests/$project" -v quiet --nologo
    done
    dotnet publish benchmarks/KernelBench -c Release -o "$stage/bench" -v quiet --nologo
    runtime=$(dotnet --list-runtimes | sed -n 's/^Microsoft.NETCore.App \(10\.[0-9.]*\) \[\(.*\)\/shared.*/\1 \2/p' | tail -1)
    [ -n "$runtime" ] || die "no .NET 10 runtime was found to pack"
    (cd "${runtime#* }" && cp -r --parents dotnet host/fxr/"${runtime%% *}" shared/Microsoft.NETCore.App/"${runtime%% *}" "$stage/dotnet/")
    # The test runner hashes with OpenSSL; these are used only where the machine has none.
    ldconfig -p | awk '/lib(ssl|crypto)\.so\.3 .*x86-64/ { print $NF }' | xargs -I{} cp -L {} "$stage/lib/"
    # Third-party test inputs travel where the build machine has them; their tests skip elsewhere.
    [ ! -d "$data/models/stories260K" ] || cp -r "$data/models/stories260K" "$stage/data/models/"
    [ ! -d "$goldens" ] || cp -r "$goldens"/*.json "$goldens"/llama-* "$stage/goldens/"
    { git rev-parse HEAD && git status --porcelain | grep -q . && echo "with changes"; } >"$stage/commit" || true
    tar c -C "$stage" . | xz -6 -T0 >"$bundle"
    rm -rf "$stage"
    bytes=$(stat -c %s "$bundle")
    [ "$bytes" -le 60000000 ] || die "the bundle has $bytes bytes; the limit is 60,000,000"
    say "Packed artifacts/carry/bundle.tar.xz ($((bytes / 1000000)) MB)"
}
if $pack; then
    need_tools
    pack_bundle
    exit 0
fi

# ---- on the GPU machine ----

out=${OUT:-$root/artifacts/gpu}
work=$root/artifacts/gpu-work/$device # checks and records of the steps run so far
unpacked=$root/artifacts/gpu-work/bundle
python=${PYTHON:-python3}
[[ $device = cuda ]] && build=$root/artifacts/native-gpu category=Gpu || { build=$native_build category=Emulated; }
native_options=() # the emulator is slow: a rehearsal runs small shapes
[ "$device" = cuda ] || native_options=(--quick)
mkdir -p "$out" "$work"
architecture=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1 | tr -d . || true)
exec > >(tee -a "$out/log.txt") 2>&1
command -v "$python" >/dev/null || die "$python was not found; it is needed for the summary and the comparisons"

# Records one check: name, kind (build, correctness, invariance, sanitizer, benchmark), passed (true, false, null), seconds, a remark.
record() { printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$step" "$1" "$2" "$3" "$4" "${5:-}" >>"$work/$step.checks"; }

# check NAME KIND SECONDS COMMAND…: runs a program or function under a time limit and records what came out; never ends the script.
# Exit status 3 means that something the check needs is not there.
check() {
    local name=$1 kind=$2 limit=$3 begin=$SECONDS status=0 log=$work/$1.log passed=true remark
    shift 3
    say "$step: $name"
    timeout --kill-after=10 "$limit" bash -c 'set -euo pipefail; "$@"' _ "$@" >"$log" 2>&1 || status=$?
    sed -i 's/\x1b\[[0-9;]*m//g' "$log"
    tail -25 "$log"
    remark=$(grep -E '^[0-9]+ passed, |^ *(total|failed|succeeded|skipped): [0-9]+|ERROR SUMMARY|^========= .* hazard' "$log" | tail -4 | tr -s ' \n\t' ' ' || true)
    if [ "$status" = 124 ] || [ "$status" = 137 ]; then
        passed=null remark="did not finish in $limit s. $remark"
        [ "$kind" = sanitizer ] || passed=false
    elif [ "$status" = 3 ]; then
        passed=null remark=$(tail -1 "$log")
    elif [ "$status" != 0 ]; then
        passed=false remark="exit status $status. $remark"
    fi
    record "$name" "$kind" "$passed" $((SECONDS - begin)) "$remark"
}

managed_bench() { "$unpacked/dotnet/dotnet" exec "$unpacked/bench/KernelBench.dll" "$@"; }
managed_tests() { "$unpacked/dotnet/dotnet" exec "$unpacked/tests/$1/$1.dll" --progress off "${@:2}"; }

# A trained model behind HTTP gives its published text, character by character.
serve_story() {
    [ -d "$unpacked/data/models/stories260K" ] || { echo "the bundle was packed without the model stories260K" && exit 3; }
    cp -f "$build"/libnativelm_{cpu,"$device"}.so "$unpacked/server/"
    "$python" - "$unpacked/server/nativelm" "$device" "$unpacked/data/models/stories260K" <<'PYTHON'
import json, pathlib, subprocess, sys, time, urllib.error, urllib.request

program, device, model = sys.argv[1:]
golden = json.loads((pathlib.Path(model) / "greedy_golden.json").read_text())
cases = golden if isinstance(golden, list) else next(v for v in golden.values() if isinstance(v, list))
server = subprocess.Popen([program, "serve", "--device", device, "--model", model, "--dtype", "float32", "--port", "8143"])
try:
    for _ in range(600):
        try:
            urllib.request.urlopen("http://127.0.0.1:8143/health", timeout=5)
            break
        except urllib.error.URLError:
            if server.poll() is not None:
                sys.exit("the server did not start")
            time.sleep(0.1)
    body = json.dumps({"prompt": [1], "temperature": 0, "max_tokens": 200}).encode()
    request = urllib.request.Request("http://127.0.0.1:8143/v1/completions", body, {"Content-Type": "application/json"})
    text = json.load(urllib.request.urlopen(request, timeout=100))["choices"][0]["text"]
    print(text)
    if text != cases[0]["text"]:
        sys.exit(f"expected the published text:\n{cases[0]['text']}")
    print("1 passed, 0 failed")
finally:
    server.terminate()
    server.wait(20)
PYTHON
}

export -f build_native managed_bench managed_tests serve_story say die
export root python device build unpacked

unpack_bundle() {
    [ -e "$bundle" ] || die "artifacts/carry/bundle.tar.xz is missing; make it on a build machine with scripts/gpu-check.sh --pack"
    [ "$unpacked/commit" -nt "$bundle" ] && return
    rm -rf "$unpacked" && mkdir -p "$unpacked"
    "$python" -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$bundle" "$unpacked"
    touch "$unpacked/commit"
}

# The environment of the carried tests and server.
use_bundle() {
    unpack_bundle
    export DOTNET_ROOT=$unpacked/dotnet DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 NATIVELM_LIBRARY_PATH=$build NATIVELM_TEST_DEVICES=$device
    export NATIVELM_TEST_DATA=$unpacked/data NATIVELM_TEST_GOLDENS=$unpacked/goldens
    ldconfig -p 2>/dev/null | grep -q 'libssl\.so\.3' || export LD_LIBRARY_PATH=$unpacked/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}

step_build() {
    rm -f "$work"/*.checks "$work"/*.json
    local nvcc
    if [ "$device" = emulated ]; then
        check build build 580 build_native "$build" "nativelm_cpu nativelm_emulated nativelm_tests_emulated nativelm_kernel_bench_emulated" -DNATIVELM_CUDA=OFF
        echo "rehearsal: nothing was compiled by ptxas" >"$out/ptxas.txt"
        return
    fi
    nvidia-smi || die "nvidia-smi found no usable GPU; --device emulated rehearses without one"
    nvcc=$(find_nvcc 12 || find_nvcc) || die "no nvcc was found on this machine"
    check build build 580 build_native "$build" "nativelm_cpu nativelm_cuda nativelm_tests_cuda nativelm_kernel_bench_cuda" -DNATIVELM_CUDA=ON \
        -DCMAKE_CUDA_COMPILER="$nvcc" -DCMAKE_CUDA_ARCHITECTURES="$architecture-real" -DNATIVELM_EMULATED=OFF
    grep -E 'ptxas|bytes stack frame|Used [0-9]+ registers' "$build.log" >"$out/ptxas.txt" || true
}

# Our own figures, then the same kernels in turn with PyTorch's.
bench() { # name, parts…
    check "bench-$1" benchmark 200 "$build/nativelm_kernel_bench_$device" "${@:2}" "${size[@]}" --json "$work/bench-$1.json"
}
compare() { # name, parts…
    check "compare-$1" benchmark 200 "$python" benchmarks/reference/compare.py "${@:2}" --library "$build/libnativelm_$device.so" "${size[@]}" --json "$work/compare-$1.json"
}

step_ceilings() { bench ceilings ceilings && compare ceilings ceilings; }
step_attention() { bench attention attention-decode attention-prefill && compare attention attention-decode attention-prefill; }
step_memory() { bench memory memory sampling && compare memory memory sampling; }

# The sm_90a kernels are checks of their own: should one fault, it takes no other figure with it.
step_gemm() {
    bench gemm gemm && compare gemm gemm
    [ "$device" = emulated ] || [ "$architecture" = 90 ] || return 0
    check bench-gemm-sm90a benchmark 80 "$build/nativelm_kernel_bench_$device" gemm --sm90a --quick --json "$work/bench-gemm-sm90a.json"
    export NATIVELM_SM90A=1
    check compare-gemm-sm90a benchmark 80 "$python" benchmarks/reference/compare.py gemm --library "$build/libnativelm_$device.so" --quick --json "$work/compare-gemm-sm90a.json"
    unset NATIVELM_SM90A
}

# Whole decode steps, the C# side's cost of a call, and Hugging Face transformers with the same model shape.
step_step() {
    local rehearse=() dry=()
    [ "$device" = cuda ] || rehearse=(--rehearse) dry=(--dry)
    use_bundle
    bench step step
    check bench-managed benchmark 120 managed_bench --json "$work/managed.json" "${dry[@]}"
    check transformers benchmark 240 "$python" benchmarks/reference/hf_baseline.py --json "$work/transformers.json" "${size[@]}" "${rehearse[@]}"
}

step_correct() {
    use_bundle
    check native-tests correctness 250 "$build/nativelm_tests_$device" "${native_options[@]}"
    check kernel-tests correctness 300 managed_tests Kernel.Tests --filter-trait "Category=$category" --fail-skips on \
        --report-xunit-trx --report-xunit-trx-filename tests.trx --results-directory "$out"
    check model-tests correctness 300 managed_tests Golden.Tests --filter-class '*GraphTests' '*PlannedAheadTests' '*PrecisionTests' '*TransformersGoldenTests' \
        --report-xunit-trx --report-xunit-trx-filename models.trx --results-directory "$out"
    check server correctness 120 serve_story
}

step_invariance() {
    use_bundle
    check native-bits invariance 200 "$build/nativelm_tests_$device" --filter bits "${native_options[@]}"
    check model-bits invariance 360 managed_tests Golden.Tests --filter-class '*InvarianceTests'
}

step_sanitize() {
    local tool options
    if [ "$device" = emulated ]; then
        record compute-sanitizer sanitizer null 0 "rehearsal: it watches real GPUs only"
        return
    fi
    if ! command -v compute-sanitizer >/dev/null; then
        say "COMPUTE-SANITIZER IS MISSING: memory, race and barrier checks on the device were not made"
        record compute-sanitizer sanitizer null 0 "MISSING on this machine"
        return
    fi
    for tool in memcheck racecheck synccheck initcheck; do
        options=(--tool "$tool" --error-exitcode 99 --print-limit 20)
        [ "$tool" != memcheck ] || options+=(--leak-check full)
        check "$tool" sanitizer 140 compute-sanitizer "${options[@]}" "$build/nativelm_tests_cuda"
        if grep -qiE 'not supported|unable to|device .* is not' "$work/$tool.log" && ! grep -q 'passed,' "$work/$tool.log"; then
            say "COMPUTE-SANITIZER REFUSED THIS DEVICE ($tool): see above"
        fi
    done
}

for step in "${steps[@]}"; do
    [ "$step" = build ] || [ -e "$build/libnativelm_$device.so" ] || die "nothing is built yet: run --only build first"
    rm -f "$work/$step.checks"
    "step_$step"
done
"$python" scripts/gpu-summary.py "$work" "$out" --device "$device"
