// Eight neighbouring elements as floats, moved by 16-byte accesses.
#pragma once

#include "simt.cuh"

namespace nlm::simt {

constexpr int segment = 8;

template <typename T> NLM_DEVICE void load_segment(const T* p, float (&values)[segment]) {
    constexpr int per_vector = 16 / static_cast<int>(sizeof(T));
#pragma unroll
    for (int first = 0; first < segment; first += per_vector) {
        const auto vector = load_vector<Vec<T, per_vector>>(p + first);
#pragma unroll
        for (int j = 0; j < per_vector; ++j) values[first + j] = to_float(vector[j]);
    }
}

template <typename T> NLM_DEVICE void store_segment(T* p, const float (&values)[segment]) {
    constexpr int per_vector = 16 / static_cast<int>(sizeof(T));
#pragma unroll
    for (int first = 0; first < segment; first += per_vector) {
        Vec<T, per_vector> vector;
#pragma unroll
        for (int j = 0; j < per_vector; ++j) vector[j] = from_float<T>(values[first + j]);
        store_vector(p + first, vector);
    }
}

// What the vector accesses above need of a tensor's first address or of its row stride in bytes.
inline bool is_vector_aligned(const void* p) {
    return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}
inline bool is_vector_aligned(int64_t bytes) {
    return bytes % 16 == 0;
}

} // namespace nlm::simt
