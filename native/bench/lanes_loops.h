// Read and multiply-add loops of one family; included once per family.
#pragma once

#include "lanes.h"
#include "loops.h"

#include <xmmintrin.h>

namespace nlm::bench::NLM_FAMILY {

using namespace nlm::cpu::NLM_FAMILY;

float read_loop(const void* memory, int64_t bytes) {
    const float* p = static_cast<const float*>(memory);
    Lanes sums[4] = {};
    for (int64_t i = 0; i + 64 <= bytes / 4; i += 64) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) {
            _mm_prefetch(reinterpret_cast<const char*>(p + i + 16 * j) + 4096, _MM_HINT_T0);
            sums[j] = sums[j] + load(p + i + 16 * j);
        }
    }
    return sum_of(sums[0] + sums[1] + sums[2] + sums[3]);
}

// Independent sums that fill the registers.
#if defined(__AVX512F__)
constexpr int chains = 12;
#elif defined(__AVX2__)
constexpr int chains = 5; // of two registers
#else
constexpr int chains = 3; // of four registers
#endif

double peak_loop(int64_t repeats, float* sink) {
    Lanes sums[chains]; // of different values: equal chains would be merged into one
    for (int j = 0; j < chains; ++j) sums[j] = set(static_cast<float>(j));
    const Lanes a = set(1.0f + sink[0]), b = set(0.5f + sink[0]);
    for (int64_t i = 0; i < repeats; ++i) {
#pragma GCC unroll 12
        for (int j = 0; j < chains; ++j) sums[j] = fma(a, b, sums[j]);
    }
    for (int j = 0; j < chains; ++j) sink[0] += 1e-30f * sum_of(sums[j]);
    return static_cast<double>(repeats) * chains * 16 * 2;
}

} // namespace nlm::bench::NLM_FAMILY
