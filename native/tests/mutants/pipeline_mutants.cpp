// A ring of shared tiles filled by asynchronous copies: each thread uses what its neighbours brought.
#include "mutants.h"

using namespace nlm::tests;

namespace {

enum class Bug {
    none,
    missing_wait,
    wait_too_loose,
    missing_barrier_after_wait,
    refill_before_barrier,
    ring_overlap,
    unwaited_tail,
    missing_tail_check,
    misaligned_source
};

constexpr int threads = 64, stages = 3, elements = 4, tiles = 7;
constexpr int length = (tiles - 1) * threads * elements + 5 * elements; // the last tile is short
using Piece = Vec<float, elements>;

struct Smem {
    Array<Piece, stages * threads> ring;
};

template <Bug bug> NLM_DEVICE void fetch(Smem& s, const float* x, int tile) {
    const int first = (tile * threads + thread_index()) * elements;
    const bool valid = bug == Bug::missing_tail_check || first < length;
    const int slot = bug == Bug::ring_overlap ? tile % (stages - 1) : tile % stages;
    if (tile < tiles)
        cp_async16(&s.ring[slot * threads + thread_index()], x + (bug == Bug::misaligned_source ? first + 1 : first), valid);
    cp_async_commit();
}

template <Bug bug> NLM_KERNEL pipeline(const float* x, float* out) {
    auto& s = shared_memory<Smem>();
    const int thread = thread_index();
    float sum = 0;
    for (int tile = 0; tile < stages - 1; ++tile) fetch<bug>(s, x, tile);
    for (int tile = 0; tile < tiles; ++tile) {
        if constexpr (bug == Bug::wait_too_loose)
            cp_async_wait<stages - 1>();
        else if constexpr (bug != Bug::missing_wait)
            cp_async_wait<stages - 2>();
        // The slot to refill was read in the round before: by everybody only once all have met here.
        if constexpr (bug == Bug::refill_before_barrier) fetch<bug>(s, x, tile + stages - 1);
        if constexpr (bug != Bug::missing_barrier_after_wait) sync_threads();
        if constexpr (bug != Bug::refill_before_barrier) fetch<bug>(s, x, tile + stages - 1);
        const Piece mine = s.ring[tile % stages * threads + (thread + 33) % threads];
        for (int i = 0; i < elements; ++i) sum += static_cast<float>(tile + 1) * mine[i];
    }
    if constexpr (bug != Bug::unwaited_tail) cp_async_wait<0>();
    store(out + thread, sum);
}

std::vector<float> numbers() {
    std::vector<float> x;
    for (int i = 0; i < length; ++i) x.push_back(static_cast<float>(i % 23 - 11));
    return x;
}

template <Bug bug> Outcome run() {
    const DeviceArray<float> x(numbers()), out(threads);
    return outcome_of(pipeline<bug>, {1, 1, threads, sizeof(Smem)}, out, x.data(), out.data());
}

std::vector<float> right() {
    const std::vector<float> x = numbers();
    std::vector<float> sums(threads);
    for (int thread = 0; thread < threads; ++thread)
        for (int tile = 0; tile < tiles; ++tile)
            for (int i = 0; i < elements; ++i) {
                const int at = (tile * threads + (thread + 33) % threads) * elements + i;
                sums[static_cast<size_t>(thread)] +=
                    static_cast<float>(tile + 1) * (at < length ? x[static_cast<size_t>(at)] : 0);
            }
    return sums;
}

const PlantedBugs planted({
    {"pipeline", "none", run<Bug::none>, right, {}},
    {"pipeline", "missing_wait", run<Bug::missing_wait>, right, {{Means::wrong}}},
    {"pipeline", "wait_too_loose", run<Bug::wait_too_loose>, right, {{Means::wrong}}},
    {"pipeline",
     "missing_barrier_after_wait",
     run<Bug::missing_barrier_after_wait>,
     right,
     {{Means::schedules}, {Means::race_detector}}},
    {"pipeline", "refill_before_barrier", run<Bug::refill_before_barrier>, right, {{Means::race_detector}}},
    {"pipeline", "ring_overlap", run<Bug::ring_overlap>, right, {{Means::wrong}}},
    {"pipeline", "unwaited_tail", run<Bug::unwaited_tail>, right, {{Means::report, "nobody waited for"}}},
    {"pipeline", "missing_tail_check", run<Bug::missing_tail_check>, right, {{Means::report, "no live allocation"}}},
    {"pipeline", "misaligned_source", run<Bug::misaligned_source>, right, {{Means::report, "not aligned to 16 bytes"}}},
});

} // namespace
