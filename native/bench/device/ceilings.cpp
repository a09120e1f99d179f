// The ceilings of the card: every other figure is a share of what this run measured here.
#include "bench.h"

#include "bench_kernels.h"

#include <algorithm>
#include <cmath>

namespace nlm::bench {

namespace {

constexpr double no_cache = 1e12; // as the bytes of a call that touches no memory: there is nothing to rotate

struct Best {
    Timing timing;
    int blocks = 0; // per multiprocessor; 0: nobody's choice
};

// The fastest of several grids; `make` gives the contestant for one.
template <typename Make> Best best_of(const Bench& bench, const std::vector<int>& grids, Make make) {
    std::vector<Contestant> contestants;
    for (const int blocks : grids) contestants.push_back(make(blocks));
    const std::vector<Timing> timings = bench.race(contestants);
    size_t best = 0;
    for (size_t i = 1; i < timings.size(); ++i)
        if (timings[i].seconds < timings[best].seconds) best = i;
    return {timings[best], grids[best]};
}

void add_ceiling(Bench& bench, const std::string& name, const Best& best, const char* unit, double value) {
    Record record;
    record.name = "ceiling " + name + (best.blocks > 0 ? " (" + std::to_string(best.blocks) + " blocks each)" : "");
    record.kind = "ceiling";
    record.value = value;
    record.unit = unit;
    record.spread_percent = best.timing.spread_percent();
    bench.report.add(record);
}

void measure_bandwidth(Bench& bench) {
    const int64_t bytes = bench.is_rehearsal() ? 64 << 10 : int64_t{1} << 30;
    const Memory source = random_bf16(bench.device, bytes), destination(bench.device, bytes), sink(bench.device, 64);
    nlm_stream* const stream = bench.device.stream();
    const double size = static_cast<double>(bytes);
    const std::vector<int> grids{2, 4, 8};

    const Best read = best_of(bench, grids, [&](int blocks) {
        return Contestant{"read",
                          [&, blocks](int) { require(nlm_bench_read(stream, source.data(), bytes, blocks, sink.data())); }, size};
    });
    const Best write = best_of(bench, grids, [&](int blocks) {
        return Contestant{"write", [&, blocks](int) { require(nlm_bench_write(stream, destination.data(), bytes, blocks)); },
                          size};
    });
    const Best copy = best_of(bench, grids, [&](int blocks) {
        return Contestant{"copy",
                          [&, blocks](int) { require(nlm_bench_copy(stream, destination.data(), source.data(), bytes, blocks)); },
                          size};
    });
    const Best runtime_copy = best_of(bench, {0}, [&](int) {
        return Contestant{"copy of the runtime",
                          [&](int) { require(nlm_copy(stream, destination.data(), source.data(), bytes, NLM_COPY_ON_DEVICE)); },
                          size};
    });
    bench.ceilings.read = size / read.timing.seconds;
    bench.ceilings.write = size / write.timing.seconds;
    bench.ceilings.copy = 2 * size / std::min(copy.timing.seconds, runtime_copy.timing.seconds);
    add_ceiling(bench, "read", read, "GB/s", bench.ceilings.read / 1e9);
    add_ceiling(bench, "write", write, "GB/s", bench.ceilings.write / 1e9);
    add_ceiling(bench, "copy, read and written", copy, "GB/s", 2e-9 * size / copy.timing.seconds);
    add_ceiling(bench, "copy of the runtime, read and written", runtime_copy, "GB/s", 2e-9 * size / runtime_copy.timing.seconds);
}

void measure_multiply(Bench& bench) {
    const Memory sink(bench.device, 64);
    const int repeats = bench.is_rehearsal() ? 2 : 4096;
    double operations = 0;
    const std::vector<int> grids{2, 4};
    const auto contestant = [&](int32_t type, int blocks) {
        return Contestant{"mma.sync",
                          [&, type, blocks](int) {
                              require(nlm_bench_multiply(bench.device.stream(), type, repeats, blocks, sink.data(), &operations));
                          },
                          no_cache};
    };
    for (const int32_t type : {NLM_BF16, NLM_F16}) {
        const Best best = best_of(bench, grids, [&](int blocks) { return contestant(type, blocks); });
        // The last recorded call was of the largest grid, and operations grow with the grid.
        const double rate = operations * best.blocks / grids.back() / best.timing.seconds;
        if (type == NLM_BF16) bench.ceilings.multiply = rate;
        add_ceiling(bench, std::string("mma.sync ") + (type == NLM_BF16 ? "bf16" : "f16"), best, "TFLOP/s", rate / 1e12);
    }
}

} // namespace

void measure_ceilings(Bench& bench) {
    measure_bandwidth(bench);
    measure_multiply(bench);
}

} // namespace nlm::bench
