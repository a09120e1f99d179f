// One row of nlm_sample as its blocks see it: its parameters, its logits raw and edited (mask, bias, penalties), the noise of its
// draw. Edited logits have the bits of the CPU backend's.
#pragma once

#include "logit_scan.cuh"
#include "philox.cuh"

namespace nlm::simt {

// A row's parameters in shared memory: read where they are needed, so they hold no registers.
using SharedParameters = Array<nlm_sample_row, 1>;

// Copies row `index` of the parameters. For a whole block; ends with a barrier.
NLM_DEVICE void load_parameters(const nlm_sample_args& args, int64_t index, SharedParameters& shared) {
    constexpr int words = sizeof(nlm_sample_row) / sizeof(uint32_t);
    static_assert(words <= warp_size, "one word per thread of the smallest block");
    const uint32_t* from = reinterpret_cast<const uint32_t*>(args.parameters + index);
    uint32_t* to = reinterpret_cast<uint32_t*>(shared.data());
    if (thread_index() < words) to[thread_index()] = load(from + thread_index());
    sync_threads();
}

NLM_DEVICE bool within(int64_t value, int64_t low, int64_t high) {
    return value >= low && value <= high;
}

// What a row refers to exists. The CPU backend refuses the call otherwise; here the row reports that nothing is allowed.
NLM_DEVICE bool is_valid(const nlm_sample_args& args, const nlm_sample_row& p) {
    const bool counts = args.token_counts != nullptr && args.prompt_mask != nullptr;
    const bool biases = args.bias_ids != nullptr && args.bias_values != nullptr;
    return within(p.forced_token, -1, args.vocabulary - 1) && within(p.top_logprobs, -1, args.top_logprobs_max) &&
           (p.top_logprobs <= 0 || (args.top_ids != nullptr && args.top_values != nullptr)) &&
           within(p.count_row, -1, args.count_rows - 1) && (p.count_row < 0 || counts) &&
           within(p.mask_row, -1, args.mask_rows - 1) && (p.mask_row < 0 || args.allowed_mask != nullptr) &&
           within(p.bias_count, 0, args.bias_total) &&
           (p.bias_count == 0 || (biases && within(p.bias_start, 0, args.bias_total - p.bias_count)));
}

struct SampleRow {
    const nlm_sample_args& args;
    const nlm_sample_row& p; // in shared memory
    const float* logits;
    bool wide; // 16-byte loads of logits

    NLM_DEVICE SampleRow(const nlm_sample_args& args, int64_t index, SharedParameters& parameters)
        : args(args), p(parameters[0]), logits(args.logits + index * args.logits_stride),
          wide(reinterpret_cast<uintptr_t>(logits) % 16 == 0) {}

    NLM_DEVICE bool is_penalised() const {
        return p.count_row >= 0 && (p.repetition_penalty != 1 || p.presence_penalty != 0 || p.frequency_penalty != 0);
    }
    NLM_DEVICE bool wants_logprob() const { return p.top_logprobs >= 0; }
    NLM_DEVICE bool is_forced() const { return p.forced_token >= 0; }
    NLM_DEVICE bool is_edited() const { return !is_forced() && (p.mask_row >= 0 || p.bias_count > 0 || is_penalised()); }
    NLM_DEVICE bool is_drawn() const { return !is_forced() && p.temperature > 0; } // else greedy, NaN included
    NLM_DEVICE bool has_top_k() const { return p.top_k > 0 && p.top_k < args.vocabulary; }
    NLM_DEVICE bool is_filtered() const { return is_drawn() && (has_top_k() || p.top_p < 1 || p.min_p > 0); }
    // top-p takes its share of the whole row's mass only where no other filter came before.
    NLM_DEVICE bool needs_row_mass() const { return is_drawn() && p.top_p < 1 && !has_top_k() && !(p.min_p > 0); }
    // Bounded, so that the smallest temperatures do not make 0 · infinity of the best token.
    NLM_DEVICE float inverse_temperature() const { return fminf(1.0f / p.temperature, 3.4028235e38f); }

    NLM_DEVICE void edit(int first, float (&v)[four]) const {
        if (p.mask_row >= 0) mask(first, v);
        const int bias_end = p.bias_start + p.bias_count; // at most bias_total, or equal to the start
        for (int i = p.bias_start; i < bias_end; ++i) {
            const int32_t id = load(args.bias_ids + i);
            if (id < first || id >= first + four || id >= args.vocabulary) continue;
            const float bias = load(args.bias_values + i);
#pragma unroll
            for (int at = 0; at < four; ++at)
                if (first + at == id) v[at] += bias;
        }
        if (is_penalised()) penalise(first, v);
    }

private:
    // Bits of four tokens; 0 for tokens past the row.
    NLM_DEVICE uint32_t bits_at(const uint32_t* masks, int64_t row, int first) const {
        if (first >= args.vocabulary) return 0;
        return load(masks + row * ceil_div(args.vocabulary, 32) + first / 32) >> (first % 32);
    }
    NLM_DEVICE void mask(int first, float (&v)[four]) const {
        const uint32_t allowed = bits_at(args.allowed_mask, p.mask_row, first);
#pragma unroll
        for (int at = 0; at < four; ++at)
            if ((allowed >> at & 1u) == 0) v[at] = -INFINITY;
    }
    NLM_DEVICE void penalise(int first, float (&v)[four]) const {
        const uint32_t prompt = bits_at(args.prompt_mask, p.count_row, first);
        const uint16_t* counts = args.token_counts + static_cast<int64_t>(p.count_row) * args.vocabulary;
#pragma unroll
        for (int at = 0; at < four; ++at) {
            if (first + at >= args.vocabulary) continue;
            const float drawn = static_cast<float>(load(counts + first + at));
            if (drawn > 0 || (prompt >> at & 1u) != 0)
                v[at] = v[at] > 0 ? v[at] / p.repetition_penalty : v[at] * p.repetition_penalty;
            v[at] = v[at] - p.frequency_penalty * drawn;
            v[at] = v[at] - (drawn > 0 ? p.presence_penalty : 0.0f);
        }
    }
};

// A row's raw or edited logits as items of a selection.
struct SampleValues {
    const SampleRow& row;
    bool edited;
    NLM_DEVICE void load(int first, float (&v)[four]) const {
        load_four(row.logits, first, row.args.vocabulary, row.wide, v);
        if (edited) row.edit(first, v);
    }
    NLM_DEVICE float ceiling(float segment_maximum) const { return segment_maximum; }
};

// ---- drawing ----

// -log(-log u) for u = (word / 512 + 1/2) · 2^-23, which is never 0 or 1 in fp32: noise lies within (-2.9, 16.7).
constexpr float noise_max = 16.7f;
NLM_DEVICE float gumbel(uint32_t word) {
    const float u = (static_cast<float>(word >> 9) + 0.5f) * 0x1p-23f;
    return 0.0f - logf(0.0f - logf(u));
}
NLM_DEVICE float noise_of(const nlm_sample_row& p, int token) {
    const PhiloxWords words = philox(p.seed, static_cast<uint32_t>(token) / four, static_cast<uint32_t>(p.position));
    // By shifts: an index would put the words into local memory.
    const auto pair = [](uint32_t low, uint32_t high) { return low | static_cast<uint64_t>(high) << 32; };
    const uint64_t half = token % 4 < 2 ? pair(words.word[0], words.word[1]) : pair(words.word[2], words.word[3]);
    return gumbel(static_cast<uint32_t>(half >> (32 * (token % 2))));
}
// The least word / 512 whose noise reaches `noise`, less a margin for the rounding of fp32.
NLM_DEVICE uint32_t word_for(float noise) {
    const float least = expf(-expf(-(noise - 1e-3f))) * 0x1p23f - 32.0f;
    return least > 0 ? static_cast<uint32_t>(least) : 0;
}

// Offers four tokens with softened logits s to the best score so far, as a rating. Tokens that cannot reach `bar`, a score that
// some token has, need no logarithm and mostly no random words: that changes no winner.
NLM_DEVICE void offer_four(const nlm_sample_row& p, int first, const float (&s)[four], float bar, uint64_t& best) {
    float highest = -INFINITY;
#pragma unroll
    for (int i = 0; i < four; ++i) highest = fmaxf(highest, s[i]);
    if (highest == -INFINITY || highest + noise_max < bar) return;
    const PhiloxWords words = philox(p.seed, static_cast<uint32_t>(first) / four, static_cast<uint32_t>(p.position));
    uint32_t largest = 0;
#pragma unroll
    for (int i = 0; i < four; ++i) largest = words.word[i] > largest ? words.word[i] : largest;
    if (largest >> 9 < word_for(bar - highest)) return;
#pragma unroll
    for (int i = 0; i < four; ++i) {
        if (s[i] == -INFINITY) continue;
        const uint64_t rating = rating_of(s[i] + gumbel(words.word[i]), first + i);
        if (rating > best) best = rating;
    }
}

} // namespace nlm::simt
