// A row of logits read once: its maximum, whether it is finite, its softmax. Shared by sampling and beam search.
#pragma once

#include "lanes.h"
#include "sample.h"

#include <algorithm>

namespace nlm::cpu::NLM_FAMILY {

// Maximum, its first token, and whether anything is NaN or +inf. Fills the chunk maxima.
struct RowScan {
    float maximum;
    int32_t token;
    bool finite;
};

// f(first token, count, lanes) over a row in vectors of 16; lanes past the row are -inf.
template <typename Function> NLM_INLINE void each_vector(const float* x, int64_t begin, int64_t end, const Function& f) {
    int64_t i = begin;
    for (; i + 16 <= end; i += 16) f(i, 16, load(x + i));
    if (i < end) {
        const int count = static_cast<int>(end - i);
        f(i, count, select(lanes_between(0, count), load_first(x + i, count), set(-INFINITY)));
    }
}

inline RowScan scan_row(const float* x, int64_t vocabulary, float* maxima) {
    Lanes bad = set(0.0f);
    float maximum = -INFINITY;
    int64_t best = 0;
    for (int64_t begin = 0, chunk = 0; begin < vocabulary; begin += SampleChunk, chunk++) {
        Lanes highest = set(-INFINITY);
        each_vector(x, begin, std::min(begin + SampleChunk, vocabulary), [&](int64_t, int, Lanes v) {
            highest = max(highest, v);
            bad = max(bad, select(less(v, set(INFINITY)), set(0.0f), set(1.0f)));
        });
        maxima[chunk] = max_of(highest);
        if (maxima[chunk] > maximum) {
            maximum = maxima[chunk];
            best = begin;
        }
    }
    if (max_of(bad) > 0) return {maximum, -1, false};
    if (maximum == -INFINITY) return {maximum, -1, true};
    while (x[best] != maximum) best++;
    return {maximum, static_cast<int32_t>(best), true};
}

// log Σ exp(x): exponentials in fp32, blocks of 1024 added in double.
inline double log_sum_exp(const float* x, int64_t vocabulary, float maximum) {
    if (maximum == -INFINITY) return -INFINITY;
    double total = 0;
    for (int64_t begin = 0; begin < vocabulary; begin += 1024) {
        Lanes sum = set(0.0f);
        each_vector(x, begin, std::min<int64_t>(begin + 1024, vocabulary),
                    [&](int64_t, int, Lanes v) { sum = sum + exp(v - set(maximum)); });
        total += static_cast<double>(sum_of(sum));
    }
    return static_cast<double>(maximum) + std::log(total);
}

inline float log_probability(float logit, double log_total) {
    return logit == -INFINITY ? -INFINITY : static_cast<float>(static_cast<double>(logit) - log_total);
}

} // namespace nlm::cpu::NLM_FAMILY
