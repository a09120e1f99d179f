// The first kernel of nlm_sample: one block per chunk reads its logits once and leaves the chunk's best token, sums, winner of an
// unfiltered draw, and the maxima of its segments.
#pragma once

#include "sample_row.cuh"

namespace nlm::simt {

// What the scan found in one chunk.
struct ChunkScan {
    double raw_sum;       // of exp(x - best raw), if log-probabilities are wanted
    double soft_sum;      // of exp((z - best edited) / temperature), if top-p needs the whole row's mass
    uint64_t raw_best;    // rating
    uint64_t edited_best; // rating; the raw one where nothing is edited
    int32_t winner;       // token of an unfiltered draw, or -1
    float winner_value;   // its edited logit
};

// Where a row's results lie in the workspace.
struct SampleSpace {
    ChunkScan* chunks;    // [rows, chunks]
    float* raw_maxima;    // [rows, segments]
    float* edited_maxima; // [rows, segments]
    RowCut cut;
};

struct ScanShared {
    SharedParameters parameters;
    WarpResults<uint64_t> raw, edited, winners;
    WarpResults<double> raw_sums, soft_sums;
};

// Stores the winner of the chunk's unfiltered draw. Scores are relative to the chunk's maximum.
NLM_DEVICE void draw_from_chunk(const SampleRow& row, const Chunk& chunk, uint64_t chunk_best, WarpResults<uint64_t>& results,
                                ChunkScan* out) {
    const float maximum = value_of(chunk_best), inverse = row.inverse_temperature();
    uint64_t best = 0;
    if (maximum > -INFINITY) {
        float bar = noise_of(row.p, token_of(chunk_best)); // the score of the chunk's maximum
#pragma unroll
        for (int part = 0; part < fours_per_thread; ++part) {
            float s[four];
#pragma unroll
            for (int i = 0; i < four; ++i) s[i] = (chunk.v[part][i] - maximum) * inverse;
            offer_four(row.p, chunk.first(part), s, bar, best);
            bar = value_of(reduce_warp(best > rating_of(bar, 0) ? best : rating_of(bar, 0), Maximum{}));
        }
    }
    best = reduce_block(best, uint64_t{0}, Maximum{}, results);
    if (best == 0) {
        if (thread_index() == 0) store(&out->winner, -1);
        return;
    }
    const int winner = token_of(best);
#pragma unroll
    for (int part = 0; part < fours_per_thread; ++part) {
#pragma unroll
        for (int i = 0; i < four; ++i) {
            if (chunk.first(part) + i != winner) continue;
            store(&out->winner, winner);
            store(&out->winner_value, chunk.v[part][i]);
        }
    }
}

NLM_KERNEL NLM_LAUNCH_BOUNDS(scan_threads_max, 3) sample_scan(nlm_sample_args args, SampleSpace space) {
    const int64_t index = block_index() / space.cut.chunks;
    const int number = block_index() % space.cut.chunks;
    if (index >= true_count(args.rows, args.rows_max)) return; // the whole block, as below
    auto& shared = shared_memory<ScanShared>();
    load_parameters(args, index, shared.parameters);
    const SampleRow row(args, index, shared.parameters);
    if (!is_valid(args, row.p)) return;
    ChunkScan* const out = space.chunks + block_index(); // blocks are numbered like the results
    Chunk chunk{number * space.cut.chunk_tokens, {}};
#pragma unroll
    for (int part = 0; part < fours_per_thread; ++part)
        load_four(row.logits, chunk.first(part), args.vocabulary, row.wide, chunk.v[part]);

    const bool wants_raw_maxima = row.wants_logprob() || (row.is_filtered() && !row.is_edited());
    uint64_t best = best_of(chunk, wants_raw_maxima ? space.raw_maxima + index * space.cut.segments : nullptr, shared.raw);
    if (thread_index() == 0) store(&out->raw_best, best);
    if (row.wants_logprob()) {
        const double sum = sum_of(chunk, value_of(best), 1.0f, shared.raw_sums);
        if (thread_index() == 0) store(&out->raw_sum, sum);
    }
    if (row.is_edited()) {
#pragma unroll
        for (int part = 0; part < fours_per_thread; ++part) row.edit(chunk.first(part), chunk.v[part]);
        best = best_of(chunk, row.is_filtered() ? space.edited_maxima + index * space.cut.segments : nullptr, shared.edited);
    }
    if (thread_index() == 0) store(&out->edited_best, best);
    if (best == nonfinite_rating) return;
    if (row.is_drawn() && !row.is_filtered()) draw_from_chunk(row, chunk, best, shared.winners, out);
    if (row.needs_row_mass()) {
        const double sum = sum_of(chunk, value_of(best), row.inverse_temperature(), shared.soft_sums);
        if (thread_index() == 0) store(&out->soft_sum, sum);
    }
}

} // namespace nlm::simt
