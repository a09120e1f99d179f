// What every part of the benchmark works with: the device, this card's ceilings, the options, the report, and races.
#pragma once

#include "models.h"
#include "report.h"

#include <functional>
#include <string>
#include <vector>

namespace nlm::bench {

struct Options {
    bool quick = false;     // fewer shapes, shorter graphs
    bool sm90a = false;     // race the linear layers of sm_90a against the others
    int rounds = 30;        // replays of each graph
    std::string model = {}; // only this one, where a part goes over models
    std::string json = {};
};

// What this card reaches, measured in the same run. Unknown where time does not pass.
struct Ceilings {
    double read = unknown, write = unknown, copy = unknown; // bytes/s; a copy counts both ways
    double multiply = unknown;                              // bf16 mma.sync FLOP/s

    // What is both read and written goes at the rate of a copy, the rest of either at its own; the matrix unit works beside it.
    double floor_seconds(const Work& work) const;
};

// One of several ways to do the same, timed in turn. `call` queues one call; calls are numbered so that each can use other memory
// than the one before it.
struct Contestant {
    std::string name;
    std::function<void(int index)> call;
    double bytes = 0; // that a call touches: enough calls are chained that they do not all fit into the cache
    Target target = {};
    nlm_stream* stream = nullptr; // that the calls are queued on; null: the bench's own
};

// Seconds per call: the median over rounds, and each round's value.
struct Timing {
    double seconds = unknown;
    std::vector<double> rounds = {};

    double spread_percent() const;
    // Median of per-round ratios other / this.
    double ratio_to(const Timing& other) const;
};

class Bench {
public:
    Bench(Device& device, const Options& options) : device(device), options(options) {}

    // Each contestant becomes a graph of several calls; the graphs are replayed in turn.
    std::vector<Timing> race(const std::vector<Contestant>& contestants) const;

    // Races the contestants over the same work and records each in microseconds. The first is ours; its partner is the second.
    // The others' partner is ours.
    void measure(const std::string& name, const Work& work, const std::vector<Contestant>& contestants);

    bool is_rehearsal() const { return device.is_emulated(); }
    // Models to go over.
    std::vector<Model> chosen_models() const;

    Device& device;
    const Options options;
    Ceilings ceilings;
    Report report;
};

// The parts, in the order in which they run.
void measure_ceilings(Bench& bench);
void bench_gemm(Bench& bench);
void bench_attention_decode(Bench& bench);
void bench_attention_prefill(Bench& bench);
void bench_memory(Bench& bench);
void bench_sampling(Bench& bench);
void bench_step(Bench& bench);

} // namespace nlm::bench
