// The sum of a block: lanes by shuffles, warps through shared memory.
#include "mutants.h"

using namespace nlm::tests;

namespace {

enum class Bug {
    none,
    missing_barrier,
    divergent_barrier,
    missing_lane,
    index_past_end,
    raw_index_past_end,
    unwritten_slot,
    arrival_order
};

constexpr int threads = 128, warps = threads / warp_size;

struct Smem {
    Array<float, warps> partials;
    Array<uint32_t, 1> arrived;
};

template <Bug bug> NLM_KERNEL block_sum(const float* x, float* out) {
    auto& s = shared_memory<Smem>();
    const int thread = thread_index(), warp = warp_index(), lane = lane_index();
    if (thread == 0) s.arrived[0] = 0;
    sync_threads();
    float sum = load(x + block_index() * threads + thread);
    if (bug != Bug::missing_lane || lane != 13)
        for (int mask = 16; mask > 0; mask /= 2) sum += shuffle_xor(sum, mask);
    if (lane == 0) {
        if constexpr (bug == Bug::index_past_end) {
            s.partials[warp + 1] = sum;
        } else if constexpr (bug == Bug::raw_index_past_end) {
            s.partials.data()[warp * 2] = sum; // runs over the struct's end, past the bounds check
        } else if constexpr (bug == Bug::arrival_order) {
            s.partials[static_cast<int>(atomic_add(&s.arrived[0], 1u))] = sum;
        } else if (bug != Bug::unwritten_slot || warp != 2) {
            s.partials[warp] = sum;
        }
    }
    if constexpr (bug == Bug::divergent_barrier) {
        if (warp < 2) sync_threads();
    } else if constexpr (bug != Bug::missing_barrier) {
        sync_threads();
    }
    if (thread != 0) return;
    float total = s.partials[0];
    for (int i = 1; i < warps; ++i) total += s.partials[i];
    store(out + block_index(), total);
}

// Numbers whose sum depends on the order of the warps.
std::vector<float> numbers() {
    std::vector<float> x;
    for (int i = 0; i < 2 * threads; ++i)
        x.push_back(i / warp_size % 2 == 0 ? 3e7f + static_cast<float>(i) : 0.37f * static_cast<float>(i));
    return x;
}

template <Bug bug> Outcome run() {
    const DeviceArray<float> x(numbers()), out(2);
    return outcome_of(block_sum<bug>, {2, 1, threads, sizeof(Smem)}, out, x.data(), out.data());
}

std::vector<float> right() {
    const std::vector<float> x = numbers();
    std::vector<float> sums;
    for (size_t block = 0; block < 2; ++block) {
        float total = 0;
        for (size_t warp = 0; warp < warps; ++warp) {
            std::vector<float> lanes(x.begin() + static_cast<std::ptrdiff_t>(block * threads + warp * 32),
                                     x.begin() + static_cast<std::ptrdiff_t>(block * threads + warp * 32 + 32));
            for (size_t mask = 16; mask > 0; mask /= 2) {
                const std::vector<float> before = lanes;
                for (size_t lane = 0; lane < 32; ++lane) lanes[lane] += before[lane ^ mask];
            }
            total = warp == 0 ? lanes[0] : total + lanes[0];
        }
        sums.push_back(total);
    }
    return sums;
}

const PlantedBugs planted({
    {"block_sum", "none", run<Bug::none>, right, {}},
    {"block_sum", "missing_barrier", run<Bug::missing_barrier>, right, {{Means::schedules}, {Means::race_detector}}},
    {"block_sum", "divergent_barrier", run<Bug::divergent_barrier>, right, {{Means::report, "sync_threads"}}},
    {"block_sum", "missing_lane", run<Bug::missing_lane>, right, {{Means::report, "deadlock"}, {Means::report, "shuffle"}}},
    {"block_sum", "index_past_end", run<Bug::index_past_end>, right, {{Means::report, "shared array of 4 elements: index 4"}}},
    {"block_sum", "raw_index_past_end", run<Bug::raw_index_past_end>, right, {{Means::address_sanitizer}}},
    {"block_sum", "unwritten_slot", run<Bug::unwritten_slot>, right, {{Means::wrong}}},
    {"block_sum", "arrival_order", run<Bug::arrival_order>, right, {{Means::schedules}}},
});

} // namespace
