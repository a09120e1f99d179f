// One group of nlm_beam_topk in one instruction family; see beam_topk.cpp.
#pragma once

#include "logit_scan.h"
#include "sample_args.h"

namespace nlm::cpu::NLM_FAMILY {

// Higher scores first, ties by row and then token.
struct BetterContinuation {
    bool operator()(const nlm_beam_candidate& a, const nlm_beam_candidate& b) const {
        if (a.score != b.score) return a.score > b.score;
        return a.row < b.row || (a.row == b.row && a.token < b.token);
    }
};

// The best `capacity` candidates offered so far, the worst of them on top of a heap. Offers come in ascending order of row and
// token, so an equal score never displaces.
class BestContinuations {
public:
    explicit BestContinuations(int32_t capacity) : capacity_(capacity) {}

    bool wants(float score) const { return score > (count_ < capacity_ ? -INFINITY : heap_[0].score); }
    void offer(const nlm_beam_candidate& candidate) {
        if (!wants(candidate.score)) return;
        if (count_ == capacity_) std::pop_heap(heap_, heap_ + count_--, BetterContinuation{});
        heap_[count_++] = candidate;
        std::push_heap(heap_, heap_ + count_, BetterContinuation{});
    }
    // Best first; places that nothing fills have token -1.
    int32_t write(nlm_beam_candidate* out) {
        std::sort_heap(heap_, heap_ + count_, BetterContinuation{});
        std::copy(heap_, heap_ + count_, out);
        std::fill(out + count_, out + capacity_, nlm_beam_candidate{-1, -1, -INFINITY, -INFINITY});
        return count_;
    }

private:
    nlm_beam_candidate heap_[beam_count_max];
    int32_t capacity_, count_ = 0;
};

// Offers the continuations of one row; false if the row is not finite. Scores grow with logits, so a chunk whose maximum is not
// wanted is not read.
inline bool offer_row(const nlm_beam_topk_args& args, int32_t row, float* maxima, BestContinuations& best) {
    const float cumulative = args.cumulative[row];
    if (cumulative == -INFINITY) return true;
    const float* x = args.logits + row * args.logits_stride;
    const RowScan scan = scan_row(x, args.vocabulary, maxima);
    if (!scan.finite || !(cumulative < INFINITY)) return false;
    const double log_total = log_sum_exp(x, args.vocabulary, scan.maximum);
    const auto score = [&](float logit) { return cumulative + log_probability(logit, log_total); };
    for (int64_t begin = 0, chunk = 0; begin < args.vocabulary; begin += SampleChunk, chunk++) {
        if (!best.wants(score(maxima[chunk]))) continue;
        const int64_t end = std::min<int64_t>(begin + SampleChunk, args.vocabulary);
        for (int64_t i = begin; i < end; i++)
            best.offer({row, static_cast<int32_t>(i), score(x[i]), log_probability(x[i], log_total)});
    }
    return true;
}

void beam_group(const nlm_beam_topk_args& args, int32_t group, float* maxima) {
    BestContinuations best(args.count);
    bool finite = true;
    for (int32_t row = args.row_starts[group]; row < args.row_starts[group + 1]; row++)
        finite = offer_row(args, row, maxima, best) && finite;
    if (!finite) best = BestContinuations(args.count);
    const int32_t found = best.write(args.candidates + static_cast<int64_t>(group) * args.count);
    args.flags[group] = !finite ? NLM_SAMPLE_NONFINITE : found == 0 ? NLM_SAMPLE_NOTHING_ALLOWED : 0;
}

} // namespace nlm::cpu::NLM_FAMILY
