// Reductions over a warp and a block in one fixed order, whatever the values: xor trees, then the warps' results by one more.
// Every thread gets the result.
#pragma once

#include "simt.cuh"

namespace nlm::simt {

struct Sum {
    template <typename T> NLM_DEVICE T operator()(T a, T b) const { return a + b; }
};
struct Maximum {
    template <typename T> NLM_DEVICE T operator()(T a, T b) const { return a > b ? a : b; }
};

// Operation must commute: the two lanes of a pair then compute the same bits.
template <typename Operation, typename T> NLM_DEVICE T reduce_warp(T value, Operation operation) {
    for (int mask = warp_size / 2; mask > 0; mask /= 2) value = operation(value, shuffle_xor(value, mask));
    return value;
}

constexpr int warps_max = 32;
template <typename T> using WarpResults = Array<T, warps_max>;

// results: one per warp, not in use by an earlier reduction unless a barrier came between. neutral: what leaves others unchanged.
template <typename Operation, typename T>
NLM_DEVICE T reduce_block(T value, T neutral, Operation operation, WarpResults<T>& results) {
    value = reduce_warp(value, operation);
    if (lane_index() == 0) results[warp_index()] = value;
    sync_threads();
    return reduce_warp(lane_index() < thread_count() / warp_size ? results[lane_index()] : neutral, operation);
}

} // namespace nlm::simt
