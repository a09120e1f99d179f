#!/usr/bin/env bash
# Measures this machine and writes docs/benchmarks/: one JSON per part, a table and plots (docs/benchmarks/README.md).
# Every claim is a ratio of two things timed in the same run. Keep the machine quiet meanwhile (about 25 minutes on two cores).
#
#   scripts/bench.sh                         all parts
#   scripts/bench.sh kernels llama serving   some of: kernels llama serving paged start host
#   scripts/gpu-check.sh                     measures a GPU instead
#
# The model is a random-weight Llama of TinyLlama-1.1B shape (2.2 GB, written once to artifacts/bench).
source "$(dirname "$0")/common.sh"

parts=()
for option in "$@"; do
    case $option in
    -h | --help) usage ;;
    kernels | llama | serving | paged | start | host) parts+=("$option") ;;
    *) die "unknown part $option (see --help)" ;;
    esac
done
[ ${#parts[@]} -gt 0 ] || parts=(kernels llama serving paged start host)
wants() { [[ " ${parts[*]} " == *" $1 "* ]]; }

cd "$root"
out=docs/benchmarks/data
model=artifacts/bench/tinyllama-random
threads=$(nproc)
port=8127
mkdir -p "$out" artifacts/bench
scripts/build.sh
dotnet build NativeLM.sln -c Release -v quiet --nologo
export NATIVELM_LIBRARY_PATH=$native_build
[ -e "$model/model.safetensors" ] || dotnet run -c Release --no-build --project benchmarks/RandomModel -- "$model"
printf '{ "date": "%s", "commit": "%s", "cpu": "%s", "threads": %s, "load": "%s" }\n' "$(date -u +%F)" \
    "$(git rev-parse --short HEAD)" "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)" "$threads" "$(cut -d' ' -f1-3 /proc/loadavg)" >"$out/machine.json"

if wants kernels; then
    say "Kernels: read loop, matrix peak, gemm"
    "$native_build/nativelm_bench" --json "$out/kernels.json"
fi

if wants llama; then
    say "In process beside llama.cpp"
    dotnet run -c Release --project benchmarks/partners/LlamaCpp -- --model "$model" --threads "$threads" --json "$out/llama.json"
fi

# Starts the server with the given options, waits until it is ready, leaves its process id in $server.
start_server() {
    "$install_folder/nativelm" serve --port $port "$@" >artifacts/bench/server.log 2>&1 &
    server=$!
    local i
    for i in $(seq 600); do
        curl -sf "http://127.0.0.1:$port/health" >/dev/null && return 0
        kill -0 $server 2>/dev/null || { cat artifacts/bench/server.log; die "the server did not start"; }
        sleep 0.1
    done
    die "the server was not ready within a minute"
}
stop_server() { kill $server && wait $server || true; }

if wants serving; then
    say "Through HTTP: 128 tokens in, 64 out, closed loop"
    start_server --model "$model" --max-num-seqs 64 --max-model-len 2048
    for concurrency in 1 4 16 64; do
        count=$((concurrency * 3 < 8 ? 8 : concurrency * 3))
        "$install_folder/nativelm" bench serve --base-url "http://127.0.0.1:$port" --vocab-size 32000 --concurrency $concurrency \
            --num-prompts $count --num-warmups 2 --json "$out/serving-$concurrency.json"
    done
    # Time of the engine thread outside the device, as a share of all its time while it worked.
    curl -s "http://127.0.0.1:$port/metrics" | awk '/^nativelm:scheduler_step_seconds_sum/ { host = $2 } /^nativelm:executor_step_seconds_sum/ { device = $2 }
        END { printf "{ \"host_share_percent\": %.3f }\n", 100 * host / (host + device) }' >"$out/overhead.json"
    awk '/^VmHWM/ { print "{ \"peak_rss_kib\": " $2 " }" }' "/proc/$server/status" >"$out/memory.json"
    stop_server

    say "KV slots that hold no token, ShareGPT-like lengths (the paper's means: 161 in, 338 out)"
    # Seeded log-normal lengths, as the paper fits them, cut to the demo model's context; arrivals at 8 per second.
    awk 'function normal() { return sqrt(-2 * log(1 - rand())) * cos(6.2831853 * rand()) }
        function length_of(mean, spread, most,   n) { n = int(exp(log(mean) - spread * spread / 2 + spread * normal())); return n < 1 ? 1 : n > most ? most : n }
        BEGIN { srand(7); print "arrival,input_length,output_length"
            for (i = 0; i < 400; i++) { t += -log(1 - rand()) / 8; print t "," length_of(161, 1.0, 400) "," length_of(338, 0.8, 600) } }' >artifacts/bench/sharegpt-like.csv
    start_server --max-num-seqs 64
    "$install_folder/nativelm" bench serve --base-url "http://127.0.0.1:$port" --vocab-size 2048 --trace artifacts/bench/sharegpt-like.csv --json "$out/sharegpt.json"
    curl -s "http://127.0.0.1:$port/metrics" | awk '/^nativelm:kv_slot_steps_total/ { slots = $2 } /^nativelm:kv_token_steps_total/ { tokens = $2 }
        END { printf "{ \"block_size\": 16, \"slots_wasted_percent\": %.2f }\n", 100 * (1 - tokens / slots) }' >"$out/kv.json"
    cat "$out/kv.json"
    stop_server
fi

if wants paged; then
    say "Paged memory beside reservation, and sharing"
    paged=artifacts/bench/paged-random
    [ -e "$paged/model.safetensors" ] || dotnet run -c Release --no-build --project benchmarks/RandomModel -- "$paged" --layers 4 --vocabulary 8192 --positions 1024
    dotnet run -c Release --no-build --project benchmarks/PagedServing -- models/demo "$paged" docs/benchmarks/paged.md
fi

if wants start; then
    say "Start to first token, demo model"
    : >artifacts/bench/start.txt
    for round in 1 2 3 4 5 6 7; do
        begin=$(date +%s%N)
        "$install_folder/nativelm" serve --port $port >artifacts/bench/server.log 2>&1 &
        server=$!
        until curl -sf "http://127.0.0.1:$port/v1/completions" -H 'Content-Type: application/json' -d '{"prompt":"Once","max_tokens":1}' >/dev/null; do
            kill -0 $server || die "the server did not start: $(cat artifacts/bench/server.log)"
            sleep 0.01
        done
        echo $((($(date +%s%N) - begin) / 1000000)) >>artifacts/bench/start.txt
        stop_server
    done
    sort -n artifacts/bench/start.txt | awk '{ t[NR] = $1 } END { printf "{ \"start_to_first_token_ms\": { \"min\": %d, \"median\": %d, \"max\": %d } }\n", t[1], t[int((NR + 1) / 2)], t[NR] }' >"$out/start.json"
    cat "$out/start.json"
fi

if wants host; then
    say "Host code: scheduler, block pool, detokenizer, calls into the library"
    dotnet run -c Release --project benchmarks/HostBench -- --json "$out/host.json"
    dotnet run -c Release --project benchmarks/KernelBench -- --json "$out/calls.json"
fi

dotnet run -c Release --project benchmarks/Report -- docs/benchmarks
say "Written: docs/benchmarks/README.md"
