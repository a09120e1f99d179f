#!/usr/bin/env bash
# Everything that can be tested without a GPU: the CPU backend, and the CUDA kernels on the emulator and through nvcc where there
# is one. The last line is `N passed, N failed, N skipped`; exit status 0 only if none failed.
#
#   scripts/test.sh               all of it (about 30 minutes on two cores)
#   scripts/test.sh --fast        without sanitizers, planted bugs, nvcc and format checks
#   scripts/test.sh Engine Server only the parts whose name contains a word: the test projects, native, sanitizers, cuda, gpu-check, format
source "$(dirname "$0")/common.sh"

fast=false words=()
for option in "$@"; do
    case $option in
    --fast) fast=true ;;
    -h | --help) usage ;;
    -*) die "unknown option $option (see --help)" ;;
    *) words+=("$option") ;;
    esac
done
selected() {
    [ ${#words[@]} -eq 0 ] && return 0
    local word
    for word in "${words[@]}"; do [[ ${1,,} == *"${word,,}"* ]] && return 0; done
    return 1
}

passed=0 failed=0 skipped=0 failures=()
logs=$root/artifacts/test-logs
rm -rf "$logs" && mkdir -p "$logs"

# Adds a run's counts from the closing lines of its log; a run that ended badly without counting counts as one failure.
count() { # name, exit status, log
    local p f s
    sed -i 's/\x1b\[[0-9;]*m//g' "$3" # some runners colour their lines when CI is set
    if grep -qE '^[0-9]+ passed, [0-9]+ failed' "$3"; then
        read -r p f s < <(grep -E '^[0-9]+ passed, [0-9]+ failed' "$3" | tail -1 | sed -E 's/^([0-9]+) passed, ([0-9]+) failed(, ([0-9]+) skipped)?.*/\1 \2 \4/')
    else
        p=$(sed -nE 's/^ *succeeded: ([0-9]+).*/\1/p' "$3" | tail -1)
        f=$(sed -nE 's/^ *failed: ([0-9]+).*/\1/p' "$3" | tail -1)
        s=$(sed -nE 's/^ *skipped: ([0-9]+).*/\1/p' "$3" | tail -1)
    fi
    p=${p:-0} f=${f:-0} s=${s:-0}
    [ "$2" = 0 ] || [ "$f" != 0 ] || f=1
    [ "$((p + f))" -gt 0 ] || { f=1; echo "$1 ran no test" >>"$3"; }
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    printf '%-34s %5d passed %4d failed %4d skipped\n' "$1" "$p" "$f" "$s"
    if [ "$f" != 0 ]; then failures+=("$1"); tail -60 "$3"; fi
}

run() { # name, command…
    local name=$1 log=$logs/$1.log status=0
    shift
    "$@" >"$log" 2>&1 || status=$?
    count "$name" "$status" "$log"
}

# Runs in the background, as many at once as there are processors; finish counts what was started.
started=()
start() { # name, command…
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n || true; done
    started+=("$1")
    {
        local status=0
        "${@:2}" >"$logs/$1.log" 2>&1 || status=$?
        echo "$status" >"$logs/$1.status"
    } &
}
finish() {
    wait
    local name
    for name in "${started[@]}"; do count "$name" "$(cat "$logs/$name.status")" "$logs/$name.log"; done
    started=()
}

# What could not be tested here is said aloud and counted.
skip() {
    echo "$1"
    skipped=$((skipped + 1))
}

# A check that either holds or not counts as one test.
check() { # name, command…
    local name=$1 log=$logs/$1.log
    shift
    if "$@" >"$log" 2>&1; then echo '1 passed, 0 failed' >>"$log"; else echo '0 passed, 1 failed' >>"$log"; fi
    count "$name" 0 "$log"
}

need_tools
mkdir -p "$root/artifacts"
cd "$root"
say "Build"
build_native "$native_build" all
dotnet build NativeLM.sln -c Release -v quiet --nologo
export NATIVELM_LIBRARY_PATH=$native_build

say "Tests"
if selected native; then
    start native-emulated "$native_build/nativelm_tests_emulated" --schedules
    start native-cpu "$native_build/nativelm_tests_cpu"
    start native-emulator "$native_build/nativelm_tests_emulator"
    start native-mutants "$native_build/nativelm_tests_mutants"
fi
# Beside the emulated kernels, which keep one processor busy for minutes.
for project in tests/*/*.csproj; do
    name=$(basename "$project" .csproj)
    selected "$name" && run "$name" "artifacts/dotnet/bin/$name/release/$name" --progress off
done
finish

if ! $fast && selected sanitizers; then
    say "Sanitizers and bugs planted in the kernels"
    build_native "$root/artifacts/native-asan" all -DNATIVELM_SANITIZE="address;undefined"
    build_native "$root/artifacts/native-tsan" all -DNATIVELM_SANITIZE=thread
    build_native "$native_build" nativelm_tests_planted
    export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1 TSAN_OPTIONS=halt_on_error=1
    start tsan-emulated "$root/artifacts/native-tsan/nativelm_tests_emulated" --quick
    start asan-emulated "$root/artifacts/native-asan/nativelm_tests_emulated"
    for suite in cpu emulator mutants; do
        start "asan-$suite" "$root/artifacts/native-asan/nativelm_tests_$suite"
        start "tsan-$suite" "$root/artifacts/native-tsan/nativelm_tests_$suite"
    done
    start native-planted "$native_build/nativelm_tests_planted"
    finish
fi

if ! $fast && selected cuda; then
    say "CUDA compilers"
    if nvcc=$(find_nvcc); then
        check "cuda-kernels-$(nvcc_version "$nvcc")" scripts/build.sh --cuda
        build_cuda "$nvcc" nativelm_tests_cuda
        if nvidia-smi -L >/dev/null 2>&1; then
            run native-cuda "$cuda_build/nativelm_tests_cuda"
        else
            run native-cuda "$cuda_build/nativelm_tests_cuda" --filter Without_a_usable_gpu
            skip 'NO GPU: of the tests of the CUDA library only that of its absence ran (scripts/gpu-check.sh is for a machine with one)'
        fi
    else
        skip 'NO CUDA COMPILER: nvcc compiles no kernel and native/budget.tsv is not checked (scripts/install-cuda.sh gets one)'
    fi
    if newer=$(find_nvcc 12) && [ "$newer" != "${nvcc:-}" ]; then
        check "cuda-kernels-$(nvcc_version "$newer")" env NATIVELM_NVCC="$newer" scripts/build.sh --cuda --architectures 90-real
    elif [ -z "${newer:-}" ]; then
        skip 'NO CUDA COMPILER FROM 12 ON: nvcc compiles no sm_90a kernel (scripts/install-cuda.sh --trixie-prefix gets one)'
    fi
fi

if ! $fast && selected gpu-check; then
    say "Rehearsal of the GPU machine"
    check gpu-check-pack scripts/gpu-check.sh --pack
    run gpu-check env OUT="$logs/gpu-check" scripts/gpu-check.sh --device emulated
fi

if ! $fast && selected format; then
    say "Format"
    check format-cs dotnet format NativeLM.sln --verify-no-changes --no-restore --severity warn
    if command -v clang-format >/dev/null; then
        check format-native bash -c 'git ls-files "native/*.cpp" "native/*.h" "native/*.cu" "native/*.cuh" | xargs clang-format --dry-run -Werror'
    else
        skip 'clang-format is not installed: the native format check is skipped'
    fi
fi

[ ${#failures[@]} -eq 0 ] || printf '\nfailed: %s (logs: artifacts/test-logs)\n' "${failures[*]}"
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ]
