// A sampler's filter in small: list the candidates above a bound in any order, add up their masses, keep the best one.
#include "mutants.h"

#include "device/rating.cuh"

using namespace nlm::tests;

namespace {

enum class Bug {
    none,
    unreset_counter,
    missing_barrier_after_reset,
    missing_barrier_after_listing,
    list_without_room,
    mass_in_floats,
    tie_by_arrival
};

constexpr int threads = 64, tokens = 256, capacity = 96;
constexpr float bound = 2;

struct Smem {
    Array<uint64_t, capacity> ratings;
    Array<uint32_t, 1> next;
};

// out: number of candidates, their mass, the token of the best.
template <Bug bug> NLM_KERNEL select_candidates(const float* x, float* out) {
    auto& s = shared_memory<Smem>();
    if (bug != Bug::unreset_counter && thread_index() == 0) s.next[0] = 0;
    if constexpr (bug != Bug::missing_barrier_after_reset) sync_threads();
    const float least = bug == Bug::list_without_room ? 1.0f : bound;
    for (int token = thread_index(); token < tokens; token += threads) {
        const float value = load(x + token);
        if (value < least) continue;
        s.ratings[static_cast<int>(atomic_add(&s.next[0], 1u))] = rating_of(value, token);
    }
    if constexpr (bug != Bug::missing_barrier_after_listing) sync_threads();
    if (thread_index() != 0) return;
    uint64_t best = 0, mass = 0;
    float sum = 0;
    for (int i = 0; i < static_cast<int>(s.next[0]); ++i) {
        const uint64_t rating = s.ratings[i];
        const bool better = bug == Bug::tie_by_arrival ? value_of(rating) > value_of(best) || best == 0 : rating > best;
        if (better) best = rating;
        const float weight = value_of(rating) == 4.0f ? 1000.3f : 0.37f;
        mass += static_cast<uint64_t>(weight * 64);
        sum += weight;
    }
    store(out + 0, static_cast<float>(s.next[0]));
    store(out + 1, bug == Bug::mass_in_floats ? sum * 64 : static_cast<float>(mass));
    store(out + 2, static_cast<float>(token_of(best)));
}

// 0 to 4, so a third of them are candidates and many are the best.
std::vector<float> values() {
    std::vector<float> x;
    for (int i = 0; i < tokens; ++i) x.push_back(i % 3 == 0 ? static_cast<float>(2 + i % 5 % 3) : static_cast<float>(i % 2));
    return x;
}

template <Bug bug> Outcome run() {
    const DeviceArray<float> x(values()), out(3);
    return outcome_of(select_candidates<bug>, {1, 1, threads, sizeof(Smem)}, out, x.data(), out.data());
}

std::vector<float> right() {
    uint64_t mass = 0;
    int count = 0, best = -1;
    const std::vector<float> x = values();
    for (int i = 0; i < tokens; ++i) {
        const float value = x[static_cast<size_t>(i)];
        if (value < bound) continue;
        ++count;
        mass += static_cast<uint64_t>((value == 4.0f ? 1000.3f : 0.37f) * 64);
        if (best < 0 || value > x[static_cast<size_t>(best)]) best = i;
    }
    return {static_cast<float>(count), static_cast<float>(mass), static_cast<float>(best)};
}

const PlantedBugs planted({
    {"select", "none", run<Bug::none>, right, {}},
    {"select", "unreset_counter", run<Bug::unreset_counter>, right, {{Means::report, "shared array of 96 elements: index -1"}}},
    {"select", "missing_barrier_after_reset", run<Bug::missing_barrier_after_reset>, right, {{Means::race_detector}}},
    {"select",
     "missing_barrier_after_listing",
     run<Bug::missing_barrier_after_listing>,
     right,
     {{Means::schedules}, {Means::race_detector}}},
    {"select",
     "list_without_room",
     run<Bug::list_without_room>,
     right,
     {{Means::report, "shared array of 96 elements: index 96"}}},
    {"select", "mass_in_floats", run<Bug::mass_in_floats>, right, {{Means::schedules}}},
    {"select", "tie_by_arrival", run<Bug::tie_by_arrival>, right, {{Means::schedules}}},
});

} // namespace
