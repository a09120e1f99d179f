#include "loops.h"

#include <immintrin.h>

namespace nlm::bench::avx512_bf16 {

double peak_loop(int64_t repeats, float* sink) {
    constexpr int chains = 24;
    __m512 sums[chains]; // of different values: equal chains would be merged into one
    for (int j = 0; j < chains; ++j) sums[j] = _mm512_set1_ps(static_cast<float>(j));
    const __m512bh a = (__m512bh)_mm512_set1_epi32(0x3f803f80 + static_cast<int>(sink[0]));
    const __m512bh b = (__m512bh)_mm512_set1_epi32(0x3f003f00 + static_cast<int>(sink[0]));
    for (int64_t i = 0; i < repeats; ++i) {
#pragma GCC unroll 24
        for (int j = 0; j < chains; ++j) sums[j] = _mm512_dpbf16_ps(sums[j], a, b);
    }
    float lanes[16];
    for (int j = 0; j < chains; ++j) {
        _mm512_storeu_ps(lanes, sums[j]);
        sink[0] += 1e-30f * lanes[0];
    }
    return static_cast<double>(repeats) * chains * 64;
}

} // namespace nlm::bench::avx512_bf16
