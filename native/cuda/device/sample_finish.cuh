// The second kernel of nlm_sample: one block per row merges what the scan found, filters and draws, and reports.
#pragma once

#include "sample_scan.cuh"
#include "select.cuh"

namespace nlm::simt {

constexpr int finish_threads_max = 256;

struct FinishShared {
    SharedParameters parameters;
    SelectShared select;
    WarpResults<uint64_t> winners;
    WarpResults<int32_t> ranks;
};

// The distribution that a row draws from: logits relative to the best, over temperature.
struct Softener {
    float maximum, inverse_temperature;
    NLM_DEVICE float operator()(float v) const { return (v - maximum) * inverse_temperature; }
};

// Probability relative to the best token's in units of 2^-40.
struct MassWeight {
    Softener soften;
    NLM_DEVICE uint64_t operator()(uint64_t rating) const {
        return static_cast<uint64_t>(llrintf(expf(soften(value_of(rating))) * 0x1p40f));
    }
};

// A row between scan and result.
struct FinishRow {
    const SampleRow& row;
    const SampleSpace& space;
    int64_t index;
    FinishShared& shared;

    NLM_DEVICE const ChunkScan* chunk(int number) const { return space.chunks + index * space.cut.chunks + number; }
    // The best rating over the row's chunks; nonfinite_rating if one is not finite.
    NLM_DEVICE uint64_t best(bool edited) const {
        uint64_t best = 0;
        for (int i = lane_index(); i < space.cut.chunks; i += warp_size)
            best = Maximum{}(best, load(edited ? &chunk(i)->edited_best : &chunk(i)->raw_best));
        return reduce_warp(best, Maximum{});
    }
    NLM_DEVICE const float* maxima(bool edited) const {
        return (edited ? space.edited_maxima : space.raw_maxima) + index * space.cut.segments;
    }
    NLM_DEVICE double log_total(float maximum) const {
        return log_of_sum(space.cut.chunks, maximum, [&](int i, float& chunk_maximum, double& sum) {
            chunk_maximum = value_of(load(&chunk(i)->raw_best));
            sum = load(&chunk(i)->raw_sum);
        });
    }
    NLM_DEVICE double row_mass(const Softener& soften) const {
        return merge_sums(space.cut.chunks, soften.maximum, soften.inverse_temperature,
                          [&](int i, float& chunk_maximum, double& sum) {
                              chunk_maximum = value_of(load(&chunk(i)->edited_best));
                              sum = load(&chunk(i)->soft_sum);
                          });
    }
};

// The best n raw logits as log-probabilities, best first.
NLM_DEVICE void report_top(const FinishRow& finish, int n, double log_total) {
    SelectShared& shared = finish.shared.select;
    const nlm_sample_args& args = finish.row.args;
    const SampleValues values{finish.row, false};
    const RowItems<SampleValues> items{values, finish.space.cut, finish.maxima(false)};
    const uint64_t low = low_for_rank(n, items.maxima, finish.space.cut.segments, shared);
    const uint64_t last = threshold(items, UnitWeight{}, Lows{low}, static_cast<uint64_t>(n), shared);
    each_placed(shared, list_items(items, last, shared), [&](int place, uint64_t rating) {
        const int64_t at = finish.index * args.top_logprobs_max + place;
        store(args.top_ids + at, token_of(rating));
        store(args.top_values + at, log_probability(value_of(rating), log_total));
    });
}

// Rank of the token among raw logits, 1 = best.
NLM_DEVICE int rank_of(const FinishRow& finish, int token, uint64_t best) {
    if (token == token_of(best)) return 1;
    const SampleValues values{finish.row, false};
    const RowItems<SampleValues> items{values, finish.space.cut, finish.maxima(false)};
    int better = 0;
    items.each(rating_of(load(finish.row.logits + token), token), [&](uint64_t) { ++better; });
    return reduce_block(better, 0, Sum{}, finish.shared.ranks); // itself included
}

// The lowest rating that min-p, top-k and top-p leave, in that order.
NLM_DEVICE uint64_t lowest_kept(const FinishRow& finish, const RowItems<SampleValues>& items, const Softener& soften) {
    const nlm_sample_row& p = finish.row.p;
    SelectShared& shared = finish.shared.select;
    const MassWeight mass{soften};
    uint64_t low = 0;
    if (p.min_p > 0) low = lowest_rating(soften.maximum + p.temperature * logf(fminf(p.min_p, 1.0f)));
    if (finish.row.has_top_k()) {
        low = Maximum{}(low, low_for_rank(p.top_k, items.maxima, finish.space.cut.segments, shared));
        const uint64_t last = threshold(items, UnitWeight{}, Lows{low}, static_cast<uint64_t>(p.top_k), shared);
        low = lowest_rating(value_of(last)); // keeps what equals the k-th value
    }
    if (!(p.top_p < 1)) return low;
    const bool whole_row = finish.row.needs_row_mass();
    const double total = whole_row ? finish.row_mass(soften) * 0x1p40 : static_cast<double>(weigh(items, mass, low, shared));
    const double target = ceil(static_cast<double>(fmaxf(p.top_p, 0.0f)) * total);
    // Most mass lies near the best token: look there first.
    const auto near = [&](float width) { return Maximum{}(low, lowest_rating(soften.maximum - width * p.temperature)); };
    const Lows lows = whole_row ? Lows{near(4.0f), near(12.0f), low} : Lows{low};
    return threshold(items, mass, lows, target < 1 ? 1 : static_cast<uint64_t>(target), shared);
}

// Softened logits of what is kept, -inf for the rest.
NLM_DEVICE void report_processed(const FinishRow& finish, const SampleValues& values, const Softener& soften, uint64_t low) {
    float* out = finish.row.args.processed + finish.index * finish.row.args.vocabulary;
    for (int first = thread_index() * four; first < finish.row.args.vocabulary; first += thread_count() * four) {
        float v[four];
        values.load(first, v);
        for (int i = 0; i < four && first + i < finish.row.args.vocabulary; ++i)
            store(out + first + i, rating_of(v[i], first + i) >= low ? soften(v[i]) : -INFINITY);
    }
}

// Gumbel-max over the kept tokens.
NLM_DEVICE int draw_kept(const FinishRow& finish, const RowItems<SampleValues>& items, const Softener& soften, uint64_t low) {
    uint64_t best = 0;
    items.each_four(low, [&](int first, const float(&v)[four]) {
        float s[four];
#pragma unroll
        for (int i = 0; i < four; ++i) s[i] = rating_of(v[i], first + i) >= low ? soften(v[i]) : -INFINITY;
        offer_four(finish.row.p, first, s, best != 0 ? value_of(best) : -INFINITY, best);
    });
    return token_of(reduce_block_again(best, uint64_t{0}, Maximum{}, finish.shared.winners));
}

// The chunks' winners against each other, scores relative to the row's maximum.
NLM_DEVICE int draw_from_winners(const FinishRow& finish, const Softener& soften) {
    uint64_t best = 0;
    for (int i = lane_index(); i < finish.space.cut.chunks; i += warp_size) {
        const int token = load(&finish.chunk(i)->winner);
        if (token < 0) continue;
        const float score = soften(load(&finish.chunk(i)->winner_value)) + noise_of(finish.row.p, token);
        best = Maximum{}(best, rating_of(score, token));
    }
    return token_of(reduce_warp(best, Maximum{}));
}

NLM_DEVICE int draw(const FinishRow& finish, uint64_t best) {
    const bool edited = finish.row.is_edited();
    const SampleValues values{finish.row, edited};
    Softener soften{value_of(best), 1.0f};
    uint64_t low = best; // greedy keeps the best alone
    int token = token_of(best);
    if (finish.row.is_drawn()) {
        soften.inverse_temperature = finish.row.inverse_temperature();
        if (finish.row.is_filtered()) {
            const RowItems<SampleValues> items{values, finish.space.cut, finish.maxima(edited)};
            low = lowest_kept(finish, items, soften);
            token = draw_kept(finish, items, soften, low);
        } else {
            low = 0;
            token = draw_from_winners(finish, soften);
        }
    }
    if (finish.row.args.processed != nullptr) report_processed(finish, values, soften, low);
    return token;
}

// One thread: rows of a call have count rows of their own.
NLM_DEVICE void count_token(const SampleRow& row, int token) {
    if (row.p.count_row < 0) return;
    uint16_t* count = row.args.token_counts + static_cast<int64_t>(row.p.count_row) * row.args.vocabulary + token;
    const uint16_t old = load(count);
    if (old < 0xffff) store(count, static_cast<uint16_t>(old + 1));
}

NLM_DEVICE nlm_sample_result finish_row(const FinishRow& finish) {
    const SampleRow& row = finish.row;
    nlm_sample_result result{-1, 0, 0.0f, 0};
    if (!is_valid(row.args, row.p)) return {-1, 0, 0.0f, NLM_SAMPLE_NOTHING_ALLOWED};
    const uint64_t raw_best = finish.best(false);
    if (raw_best == nonfinite_rating) return {-1, 0, 0.0f, NLM_SAMPLE_NONFINITE};
    const double log_total = row.wants_logprob() ? finish.log_total(value_of(raw_best)) : 0;
    if (row.p.top_logprobs > 0) report_top(finish, row.p.top_logprobs, log_total);
    result.token = row.p.forced_token;
    if (!row.is_forced()) {
        const uint64_t best = finish.best(true);
        if (best == nonfinite_rating) return {-1, 0, 0.0f, NLM_SAMPLE_NONFINITE};
        if (value_of(best) == -INFINITY) return {-1, 0, 0.0f, NLM_SAMPLE_NOTHING_ALLOWED};
        result.token = draw(finish, best);
        sync_threads(); // every thread has read the counts
        if (thread_index() == 0) count_token(row, result.token);
    }
    if (row.wants_logprob()) {
        result.logprob = log_probability(load(row.logits + result.token), log_total);
        result.rank = rank_of(finish, result.token, raw_best);
    }
    return result;
}

NLM_KERNEL NLM_LAUNCH_BOUNDS(finish_threads_max, 2) sample_finish(nlm_sample_args args, SampleSpace space) {
    const int64_t index = block_index();
    if (index >= true_count(args.rows, args.rows_max)) return; // the whole block
    for (int64_t i = thread_index(); i < args.top_logprobs_max; i += thread_count()) {
        if (args.top_ids != nullptr) store(args.top_ids + index * args.top_logprobs_max + i, -1);
        if (args.top_values != nullptr) store(args.top_values + index * args.top_logprobs_max + i, -INFINITY);
    }
    auto& shared = shared_memory<FinishShared>();
    load_parameters(args, index, shared.parameters); // its barrier: other threads write places again
    const SampleRow row(args, index, shared.parameters);
    const nlm_sample_result result = finish_row({row, space, index, shared});
    if (thread_index() == 0) {
        nlm_sample_result* out = args.results + index;
        store(&out->token, result.token);
        store(&out->rank, result.rank);
        store(&out->logprob, result.logprob);
        store(&out->flags, result.flags);
    }
}

} // namespace nlm::simt
