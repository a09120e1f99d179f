// One row of nlm_sample in one instruction family; see sample.cpp.
#pragma once

#include "logit_scan.h"
#include "philox.h"
#include "sample.h"

#include <algorithm>
#include <limits>

namespace nlm::cpu::NLM_FAMILY {

inline int32_t rank_of(const float* x, int32_t vocabulary, int32_t token) {
    const float value = x[token];
    int32_t above = 0, equal_before = 0;
    for (int32_t i = 0; i < vocabulary; i++) above += x[i] > value;
    for (int32_t i = 0; i < token; i++) equal_before += x[i] == value;
    return 1 + above + equal_before;
}

// Best first, ties by token.
struct BetterCandidate {
    bool operator()(const SampleCandidate& a, const SampleCandidate& b) const {
        return a.value > b.value || (a.value == b.value && a.token < b.token);
    }
};
struct GreaterValue {
    bool operator()(float a, float b) const { return a > b; }
};

// Appends every token with x >= bound; chunks whose maximum is lower are not read.
inline int64_t collect(const float* x, int64_t vocabulary, const float* maxima, float bound, SampleCandidate* candidates) {
    int64_t count = 0;
    for (int64_t begin = 0, chunk = 0; begin < vocabulary; begin += SampleChunk, chunk++) {
        if (maxima[chunk] < bound) continue;
        const int64_t end = std::min(begin + SampleChunk, vocabulary);
        for (int64_t i = begin; i < end; i++) {
            candidates[count].value = x[i];
            candidates[count].token = static_cast<int32_t>(i);
            count += x[i] >= bound;
        }
    }
    return count;
}

// A value that at least `wanted` tokens reach: the wanted-th largest chunk maximum, or -inf if there are fewer chunks.
inline float bound_for(int64_t wanted, int64_t vocabulary, const SampleScratch& scratch) {
    const int64_t chunks = (vocabulary + SampleChunk - 1) / SampleChunk;
    if (wanted > chunks) return -INFINITY;
    std::copy(scratch.maxima, scratch.maxima + chunks, scratch.order);
    std::nth_element(scratch.order, scratch.order + (wanted - 1), scratch.order + chunks, GreaterValue{});
    return scratch.order[wanted - 1];
}

// The best `count` raw logits of a row as log-probabilities.
inline void report_top(const nlm_sample_args& args, int64_t row, const float* x, int32_t count, double log_total,
                       const SampleScratch& scratch) {
    int64_t found = collect(x, args.vocabulary, scratch.maxima, bound_for(count, args.vocabulary, scratch), scratch.candidates);
    count = static_cast<int32_t>(std::min<int64_t>(count, found));
    std::partial_sort(scratch.candidates, scratch.candidates + count, scratch.candidates + found, BetterCandidate{});
    for (int32_t i = 0; i < count; i++) {
        args.top_ids[row * args.top_logprobs_max + i] = scratch.candidates[i].token;
        args.top_values[row * args.top_logprobs_max + i] = log_probability(scratch.candidates[i].value, log_total);
    }
}

inline uint32_t bits_at(const uint32_t* mask, int64_t token) {
    return mask[token / 32] >> (token % 32) & 0xffffu;
}

inline bool has_penalties(const nlm_sample_row& p) {
    return p.count_row >= 0 && (p.repetition_penalty != 1 || p.presence_penalty != 0 || p.frequency_penalty != 0);
}

// Mask, bias, penalties: the row as greedy decoding sees it.
inline void edit_row(const nlm_sample_args& args, const nlm_sample_row& p, const float* x, float* z) {
    const int64_t vocabulary = args.vocabulary, words = (vocabulary + 31) / 32;
    const auto store_values = [&](int64_t i, int count, Lanes v) {
        if (count == 16) {
            store(z + i, v);
        } else {
            store_first(z + i, v, count);
        }
    };
    const uint32_t* allowed = p.mask_row >= 0 ? args.allowed_mask + p.mask_row * words : nullptr;
    each_vector(x, 0, vocabulary, [&](int64_t i, int count, Lanes v) {
        store_values(i, count, allowed ? select(mask_of_bits(bits_at(allowed, i)), v, set(-INFINITY)) : v);
    });
    for (int64_t i = p.bias_start; i < static_cast<int64_t>(p.bias_start) + p.bias_count; i++) {
        const int32_t token = args.bias_ids[i];
        if (token >= 0 && token < vocabulary) z[token] += args.bias_values[i];
    }
    if (!has_penalties(p)) return;
    const uint16_t* counts = args.token_counts + p.count_row * vocabulary;
    const uint32_t* prompt = args.prompt_mask + p.count_row * words;
    each_vector(z, 0, vocabulary, [&](int64_t i, int count, Lanes v) {
        uint16_t some[16] = {};
        if (count < 16) std::copy(counts + i, counts + i + count, some);
        const Lanes drawn = load_counts(count < 16 ? some : counts + i);
        const LaneMask in_output = less(set(0.0f), drawn);
        const Lanes penalty = set(p.repetition_penalty);
        const Lanes penalised = select(less(set(0.0f), v), v / penalty, v * penalty);
        Lanes edited = select(in_output, penalised, select(mask_of_bits(bits_at(prompt, i)), penalised, v));
        edited = edited - set(p.frequency_penalty) * drawn;
        edited = edited - select(in_output, set(p.presence_penalty), set(0.0f));
        store_values(i, count, edited);
    });
}

// ---- drawing ----

// -log(-log u) for u = (word / 512 + 1/2) · 2⁻²³, which is never 0 or 1 in fp32: noise lies within (-2.9, 16.7).
constexpr float NoiseMax = 16.7f;
NLM_INLINE Lanes gumbel(const uint32_t* words) {
    float u[16];
    for (int i = 0; i < 16; i++) u[i] = (static_cast<float>(static_cast<int32_t>(words[i] >> 9)) + 0.5f) * 0x1p-23f;
    return set(0.0f) - log(set(0.0f) - log(load(u)));
}

// Logits relative to the best, over temperature: never positive, so no temperature overflows.
struct Softener {
    float maximum, inverse_temperature;
    NLM_INLINE Lanes operator()(Lanes v) const { return (v - set(maximum)) * set(inverse_temperature); }
};

// The running winner; ties to the lowest token.
struct Winner {
    float score = -INFINITY;
    int32_t token = -1;
    NLM_INLINE void offer(float other, int32_t candidate) {
        if (other > score || (other == score && candidate < token)) {
            score = other;
            token = candidate;
        }
    }
};

// The least word >> 9 whose noise reaches `noise`, less a margin for the rounding of the fp32 logarithms.
inline uint32_t word_for(float noise) {
    const double least = std::exp(-std::exp(-(static_cast<double>(noise) - 1e-3))) * 0x1p23 - 16;
    return least > 0 ? static_cast<uint32_t>(least) : 0;
}

// Offers a chunk's tokens; highest is its largest softened logit. Noise of token t is word t % 4 of counter (t / 4, 0, position,
// 0).
inline void draw_chunk(const nlm_sample_row& p, const float* z, int64_t begin, int64_t vocabulary, const Softener& soften,
                       float highest, Winner& winner) {
    uint32_t counters[16], words[4][16], noise[SampleChunk], largest = 0;
    for (int i = 0; i < 16; i++) counters[i] = static_cast<uint32_t>(begin / 4 + i);
    philox(p.seed, counters, static_cast<uint32_t>(p.position), 0, words);
    for (const auto& row : words) {
        for (const uint32_t word : row) largest = std::max(largest, word);
    }
    // Most chunks have no noise large enough: they need no logarithm.
    if (winner.token >= 0 && largest >> 9 < word_for(winner.score - highest)) return;
    for (int i = 0; i < SampleChunk; i++) noise[i] = words[i % 4][i / 4];
    each_vector(z, begin, std::min(begin + SampleChunk, vocabulary), [&](int64_t i, int count, Lanes v) {
        const Lanes scores = soften(v) + gumbel(noise + (i - begin));
        if (max_of(scores) < winner.score) return;
        float each[16];
        store(each, scores);
        for (int lane = 0; lane < count; lane++) winner.offer(each[lane], static_cast<int32_t>(i + lane));
    });
}

// Gumbel-max over the whole row. Chunks that cannot win even with the largest noise are skipped, which changes nothing.
inline int32_t draw_from_row(const nlm_sample_row& p, const float* z, int64_t vocabulary, const RowScan& scan,
                             const Softener& soften, const float* maxima) {
    Winner winner;
    draw_chunk(p, z, scan.token / SampleChunk * SampleChunk, vocabulary, soften, 0, winner);
    for (int64_t begin = 0, chunk = 0; begin < vocabulary; begin += SampleChunk, chunk++) {
        const float highest = (maxima[chunk] - soften.maximum) * soften.inverse_temperature;
        if (highest + NoiseMax < winner.score) continue;
        draw_chunk(p, z, begin, vocabulary, soften, highest, winner);
    }
    return winner.token;
}

inline int32_t draw_from_candidates(const nlm_sample_row& p, const SampleCandidate* candidates, int64_t count,
                                    const Softener& soften) {
    Winner winner;
    for (int64_t begin = 0; begin < count; begin += 16) {
        const int some = static_cast<int>(std::min<int64_t>(16, count - begin));
        uint32_t counters[16] = {}, words[4][16], noise[16];
        float values[16] = {}, scores[16];
        for (int i = 0; i < some; i++) {
            counters[i] = static_cast<uint32_t>(candidates[begin + i].token) / 4;
            values[i] = candidates[begin + i].value;
        }
        philox(p.seed, counters, static_cast<uint32_t>(p.position), 0, words);
        for (int i = 0; i < 16; i++) noise[i] = words[i < some ? candidates[begin + i].token % 4 : 0][i];
        store(scores, soften(load(values)) + gumbel(noise));
        for (int i = 0; i < some; i++) winner.offer(scores[i], candidates[begin + i].token);
    }
    return winner.token;
}

// ---- filters ----

// Adding 2¹² to a double leaves the value in units of 2⁻⁴⁰, rounded to nearest, in the low bits.
NLM_INLINE uint64_t mass_of(float probability) {
    const double shifted = static_cast<double>(probability) + 4096.0, base = 4096.0;
    uint64_t bits, base_bits;
    std::memcpy(&bits, &shifted, 8);
    std::memcpy(&base_bits, &base, 8);
    return bits - base_bits;
}

// Mass of the tokens with z >= bound.
inline uint64_t total_mass(const float* z, int64_t vocabulary, const float* maxima, float bound, const Softener& soften) {
    uint64_t total = 0;
    for (int64_t begin = 0, chunk = 0; begin < vocabulary; begin += SampleChunk, chunk++) {
        if (maxima[chunk] < bound) continue;
        each_vector(z, begin, std::min(begin + SampleChunk, vocabulary), [&](int64_t, int, Lanes v) {
            float probabilities[16];
            store(probabilities, select(less(v, set(bound)), set(0.0f), exp(soften(v))));
            for (int i = 0; i < 16; i++) total += mass_of(probabilities[i]);
        });
    }
    return total;
}

inline uint64_t weigh(SampleCandidate* candidates, int64_t count, const Softener& soften) {
    uint64_t total = 0;
    for (int64_t begin = 0; begin < count; begin += 16) {
        const int some = static_cast<int>(std::min<int64_t>(16, count - begin));
        float values[16] = {};
        for (int i = 0; i < some; i++) values[i] = candidates[begin + i].value;
        store(values, exp(soften(load(values))));
        for (int i = 0; i < some; i++) total += candidates[begin + i].mass = mass_of(values[i]);
    }
    return total;
}

// Moves the smallest set of best candidates whose mass reaches the target to the front and returns its size, at least 1.
inline int64_t smallest_set(SampleCandidate* candidates, int64_t count, uint64_t target) {
    int64_t low = 0, high = count; // everything before low is in, everything from high on is out
    uint64_t mass = 0;
    while (high - low > 32) {
        const int64_t middle = low + (high - low) / 2;
        std::nth_element(candidates + low, candidates + middle, candidates + high, BetterCandidate{});
        uint64_t half = 0;
        for (int64_t i = low; i < middle; i++) half += candidates[i].mass;
        if (mass + half >= target) {
            high = middle;
        } else {
            mass += half;
            low = middle;
        }
    }
    std::sort(candidates + low, candidates + high, BetterCandidate{});
    while (low < high) {
        mass += candidates[low++].mass;
        if (mass >= target) break;
    }
    return low;
}

// The candidates that min-p, top-k and top-p leave, in that order.
inline int64_t filter(const nlm_sample_args& args, const nlm_sample_row& p, const float* z, const Softener& soften,
                      const SampleScratch& scratch) {
    const int64_t vocabulary = args.vocabulary;
    SampleCandidate* candidates = scratch.candidates;
    float bound = -INFINITY;
    if (p.min_p > 0) bound = soften.maximum + p.temperature * std::log(std::min(p.min_p, 1.0f));
    const bool nucleus = p.top_p < 1;
    const auto target_of = [&](uint64_t total) {
        return static_cast<uint64_t>(std::ceil(static_cast<double>(std::max(p.top_p, 0.0f)) * static_cast<double>(total)));
    };
    if (p.top_k > 0 && p.top_k < vocabulary) {
        int64_t count =
            collect(z, vocabulary, scratch.maxima, std::max(bound, bound_for(p.top_k, vocabulary, scratch)), candidates);
        if (count > p.top_k) {
            std::nth_element(candidates, candidates + (p.top_k - 1), candidates + count, BetterCandidate{});
            const float least = candidates[p.top_k - 1].value;
            count = std::partition(candidates, candidates + count, [&](const SampleCandidate& c) { return c.value >= least; }) -
                    candidates;
        }
        if (!nucleus) return count;
        const uint64_t total = weigh(candidates, count, soften);
        return smallest_set(candidates, count, target_of(total));
    }
    if (!nucleus) return collect(z, vocabulary, scratch.maxima, bound, candidates);
    // Most mass lies near the best token: look there first and widen only if it does not suffice.
    const uint64_t target = target_of(total_mass(z, vocabulary, scratch.maxima, bound, soften));
    for (const float width : {3.0f, 8.0f}) {
        const float near = std::max(bound, soften.maximum - width * p.temperature);
        const int64_t count = collect(z, vocabulary, scratch.maxima, near, candidates);
        if (weigh(candidates, count, soften) >= target) return smallest_set(candidates, count, target);
    }
    const int64_t count = collect(z, vocabulary, scratch.maxima, bound, candidates);
    weigh(candidates, count, soften);
    return smallest_set(candidates, count, target);
}

// The filtered logits for tests: softened as the draw sees them (their softmax is the distribution), or -inf where removed.
inline void report_processed(const nlm_sample_args& args, int64_t row, const float* z, const Softener& soften,
                             const SampleCandidate* kept, int64_t count) {
    if (!args.processed) return;
    float* processed = args.processed + row * args.vocabulary;
    for (int64_t i = 0; i < args.vocabulary; i++) processed[i] = kept ? -INFINITY : first_lane(soften(set(z[i])));
    for (int64_t i = 0; i < count; i++) processed[kept[i].token] = first_lane(soften(set(kept[i].value)));
}

inline int32_t draw(const nlm_sample_args& args, const nlm_sample_row& p, int64_t row, const float* z, const RowScan& scan,
                    const SampleScratch& scratch) {
    if (!(p.temperature > 0)) { // greedy, NaN included
        const SampleCandidate best{scan.maximum, scan.token, 0};
        report_processed(args, row, z, {scan.maximum, 1.0f}, &best, 1);
        return scan.token;
    }
    // Bounded, so that the smallest temperatures do not make 0 · infinity of the best token.
    const Softener soften{scan.maximum, std::min(1.0f / p.temperature, std::numeric_limits<float>::max())};
    if (!(p.top_k > 0 && p.top_k < args.vocabulary) && !(p.top_p < 1) && !(p.min_p > 0)) {
        report_processed(args, row, z, soften, nullptr, 0);
        return draw_from_row(p, z, args.vocabulary, scan, soften, scratch.maxima);
    }
    const int64_t count = filter(args, p, z, soften, scratch);
    report_processed(args, row, z, soften, scratch.candidates, count);
    return draw_from_candidates(p, scratch.candidates, count, soften);
}

inline void count_token(const nlm_sample_args& args, const nlm_sample_row& p, int32_t token) {
    if (p.count_row < 0) return;
    uint16_t& count = args.token_counts[static_cast<int64_t>(p.count_row) * args.vocabulary + token];
    if (count < 0xffff) count++;
}

void sample_row(const nlm_sample_args& args, int64_t row, const SampleScratch& scratch) {
    const nlm_sample_row& p = args.parameters[row];
    const float* x = args.logits + row * args.logits_stride;
    nlm_sample_result& result = args.results[row];
    result = {-1, 0, 0.0f, 0};
    for (int64_t i = 0; i < args.top_logprobs_max; i++) {
        if (args.top_ids) args.top_ids[row * args.top_logprobs_max + i] = -1;
        if (args.top_values) args.top_values[row * args.top_logprobs_max + i] = -INFINITY;
    }
    const RowScan raw = scan_row(x, args.vocabulary, scratch.maxima);
    if (!raw.finite) {
        result.flags = NLM_SAMPLE_NONFINITE;
        return;
    }
    const bool wants_logprob = p.top_logprobs >= 0;
    const double log_total = wants_logprob ? log_sum_exp(x, args.vocabulary, raw.maximum) : 0;
    if (p.top_logprobs > 0) report_top(args, row, x, p.top_logprobs, log_total, scratch);

    result.token = p.forced_token;
    if (p.forced_token < 0) {
        const bool edited = p.mask_row >= 0 || p.bias_count > 0 || has_penalties(p);
        if (edited) edit_row(args, p, x, scratch.values);
        const float* z = edited ? scratch.values : x;
        const RowScan scan = edited ? scan_row(z, args.vocabulary, scratch.maxima) : raw;
        if (scan.token < 0) {
            result.flags = scan.finite ? NLM_SAMPLE_NOTHING_ALLOWED : NLM_SAMPLE_NONFINITE;
            return;
        }
        result.token = draw(args, p, row, z, scan, scratch);
        count_token(args, p, result.token);
    }
    if (wants_logprob) {
        result.logprob = log_probability(x[result.token], log_total);
        result.rank = rank_of(x, args.vocabulary, result.token);
    }
}

} // namespace nlm::cpu::NLM_FAMILY
