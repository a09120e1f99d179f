// Weighted sum over a paged cache and the sum of its weights, parts merged by the last block to arrive: the shapes of paged
// attention in small.
#include "mutants.h"

#include <cmath>

using namespace nlm::tests;

namespace {

enum class Bug {
    none,
    missing_tail_mask,
    wrong_block,
    store_past_end,
    raw_store_past_end,
    fixed_merger,
    counter_not_reset,
    atomic_past_end,
    misaligned_vector,
    merge_in_arrival_order
};

constexpr int block_size = 8, length = 44, splits = 3, split_keys = 16, table_size = 6, block_total = 9;

struct Smem {
    Array<uint32_t, 1> is_last;
};

// Values whose sum depends on the order of the splits.
float value_of(int key) {
    return key == 0 ? 1e8f : key % 20 == 0 ? 3.0f : 0.0f; // 3 is less than half a unit of 1e8, 6 is more
}

// Key t weighs 2^-(t % 5); a split leaves its sum of weights and of weighted values.
template <Bug bug> NLM_DEVICE Vec<float, 2> partial(const float* cache, const int32_t* table, int split) {
    Vec<float, 2> sums{{0, 0}};
    for (int key = split * split_keys; key < (split + 1) * split_keys; ++key) {
        if (bug != Bug::missing_tail_mask && key >= length) break;
        const int block = load(table + (bug == Bug::wrong_block ? (key / block_size + 1) % table_size : key / block_size));
        const float weight = 1.0f / static_cast<float>(1 << key % 5);
        sums[0] += weight;
        sums[1] += weight * load(cache + block * block_size + key % block_size);
    }
    return sums;
}

template <Bug bug> NLM_DEVICE void merge(const float* parts, float* out) {
    float weight = 0, value = 0;
    for (int i = 0; i < splits; ++i) {
        const auto part = load_vector<Vec<float, 2>>(parts + 2 * i + (bug == Bug::misaligned_vector ? 1 : 0));
        weight += part[0];
        value += part[1];
    }
    store_vector(out, Vec<float, 2>{{value, weight}});
}

template <Bug bug> NLM_KERNEL paged_sum(const float* cache, const int32_t* table, float* parts, uint32_t* arrived, float* out) {
    auto& s = shared_memory<Smem>();
    if (thread_index() == 0) {
        const int split = block_index();
        const Vec<float, 2> sums = partial<bug>(cache, table, split);
        int slot = split;
        if constexpr (bug == Bug::store_past_end) slot = split + 1;
        if constexpr (bug == Bug::merge_in_arrival_order) slot = static_cast<int>(load(arrived));
        if constexpr (bug == Bug::raw_store_past_end)
            reinterpret_cast<Vec<float, 2>*>(parts)[split + 1] = sums; // not through store, so nobody checks it
        else
            store_vector(parts + 2 * slot, sums);
        thread_fence();
        const uint32_t order = atomic_add(arrived + (bug == Bug::atomic_past_end ? 1 : 0), 1u);
        s.is_last[0] = bug == Bug::fixed_merger ? block_index() == 0 : order == splits - 1;
        if (s.is_last[0] != 0 && bug != Bug::counter_not_reset) *arrived = 0;
    }
    sync_threads();
    if (s.is_last[0] != 0 && thread_index() == 0) merge<bug>(parts, out);
}

// Launches twice into a fresh output, as a decode loop would: what the first launch leaves behind may not matter.
template <Bug bug> Outcome run() {
    const DeviceArray<float> cache(block_total * block_size), parts(2 * splits), out(2);
    const DeviceArray<int32_t> table(std::vector<int32_t>{7, 2, 5, 0, 8, 3});
    const DeviceArray<uint32_t> arrived(std::vector<uint32_t>{0});
    cache.fill(NAN); // freed blocks and slots past the sequence's end
    for (int key = 0; key < length; ++key)
        cache[static_cast<size_t>(table[static_cast<size_t>(key / block_size)] * block_size + key % block_size)] = value_of(key);
    Outcome outcome;
    for (int round = 0; round < 2 && outcome.report.empty(); ++round) {
        parts.fill(NAN);
        out.fill(NAN);
        outcome = outcome_of(paged_sum<bug>, {splits, 1, 32, sizeof(Smem)}, out, cache.data(), table.data(), parts.data(),
                             arrived.data(), out.data());
    }
    return outcome;
}

std::vector<float> right() {
    float weights = 0, values = 0;
    for (int split = 0; split < splits; ++split) {
        float weight_sum = 0, value_sum = 0;
        for (int key = split * split_keys; key < std::min(length, (split + 1) * split_keys); ++key) {
            const float weight = 1.0f / static_cast<float>(1 << key % 5);
            weight_sum += weight;
            value_sum += weight * (value_of(key));
        }
        weights += weight_sum;
        values += value_sum;
    }
    return {values, weights};
}

const PlantedBugs planted({
    {"paged_sum", "none", run<Bug::none>, right, {}},
    {"paged_sum", "missing_tail_mask", run<Bug::missing_tail_mask>, right, {{Means::wrong}}},
    {"paged_sum", "wrong_block", run<Bug::wrong_block>, right, {{Means::wrong}}},
    {"paged_sum", "store_past_end", run<Bug::store_past_end>, right, {{Means::report, "store: 8 bytes"}}},
    {"paged_sum", "raw_store_past_end", run<Bug::raw_store_past_end>, right, {{Means::address_sanitizer}}},
    {"paged_sum", "fixed_merger", run<Bug::fixed_merger>, right, {{Means::schedules}}},
    {"paged_sum", "counter_not_reset", run<Bug::counter_not_reset>, right, {{Means::wrong}}},
    {"paged_sum", "atomic_past_end", run<Bug::atomic_past_end>, right, {{Means::report, "atomic: 4 bytes"}}},
    {"paged_sum", "misaligned_vector", run<Bug::misaligned_vector>, right, {{Means::report, "not aligned to 8 bytes"}}},
    {"paged_sum", "merge_in_arrival_order", run<Bug::merge_in_arrival_order>, right, {{Means::schedules}}},
});

} // namespace
