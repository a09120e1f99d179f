// nlm_beam_topk in three kernels: chunks of rows are scanned once, each row picks its best continuations, each group merges those
// of its rows. Sums are those of nlm_sample; log-probabilities and scores are rounded to fp32 once each.
#include "device/select.cuh"
#include "runtime.h"
#include "sample_args.h"
#include "workspace.h"

namespace nlm::simt {
namespace {

constexpr int beam_threads = 256;

struct BeamChunk {
    double sum;    // of exp(x - best)
    uint64_t best; // rating
};

struct BeamSpace {
    BeamChunk* chunks; // [rows, chunks]
    float* maxima;     // [rows, segments]
    float* scores;     // [rows, count] best first, -inf where nothing is left
    float* logprobs;   // [rows, count]
    int32_t* tokens;   // [rows, count]
    int32_t* flags;    // [rows]
    RowCut cut;
};

struct BeamScanShared {
    WarpResults<uint64_t> best;
    WarpResults<double> sums;
};
struct BeamShared {
    SelectShared select;
    WarpResults<int32_t> flags;
};

// First row of a group, within the rows there are; of group `groups` the end of the last.
NLM_DEVICE int first_row(const nlm_beam_topk_args& args, int group) {
    const int row = load(args.row_starts + group);
    return row < 0 ? 0 : row < args.rows_max ? row : args.rows_max;
}

// Rows in use; a row whose cumulative score is -inf is off, whatever its logits.
NLM_DEVICE bool is_on(const nlm_beam_topk_args& args, int row) {
    return row < first_row(args, true_count(args.groups, args.groups_max)) && load(args.cumulative + row) != -INFINITY;
}

// Scores of a row's continuations as items of a selection. They grow with the logits.
struct BeamScores {
    const float* logits;
    int vocabulary;
    bool wide;
    float cumulative;
    double log_total;

    NLM_DEVICE float score(float logit) const { return cumulative + log_probability(logit, log_total); }
    NLM_DEVICE float ceiling(float segment_maximum) const { return score(segment_maximum); }
    NLM_DEVICE void load(int first, float (&v)[four]) const {
        load_four(logits, first, vocabulary, wide, v);
#pragma unroll
        for (int i = 0; i < four; ++i) v[i] = score(v[i]);
    }
};

NLM_DEVICE const float* logits_of(const nlm_beam_topk_args& args, int row, bool& wide) {
    const float* logits = args.logits + row * args.logits_stride;
    wide = reinterpret_cast<uintptr_t>(logits) % 16 == 0;
    return logits;
}

NLM_KERNEL NLM_LAUNCH_BOUNDS(scan_threads_max, 3) beam_scan(nlm_beam_topk_args args, BeamSpace space) {
    const int row = block_index() / space.cut.chunks, number = block_index() % space.cut.chunks;
    if (!is_on(args, row)) return; // the whole block
    auto& shared = shared_memory<BeamScanShared>();
    bool wide;
    const float* logits = logits_of(args, row, wide);
    Chunk chunk{number * space.cut.chunk_tokens, {}};
#pragma unroll
    for (int part = 0; part < fours_per_thread; ++part)
        load_four(logits, chunk.first(part), args.vocabulary, wide, chunk.v[part]);
    const uint64_t best = best_of(chunk, space.maxima + int64_t{row} * space.cut.segments, shared.best);
    const double sum = sum_of(chunk, value_of(best), 1.0f, shared.sums);
    if (thread_index() != 0) return;
    BeamChunk* out = space.chunks + int64_t{row} * space.cut.chunks + number;
    store(&out->sum, sum);
    store(&out->best, best);
}

// Lists the best `count` items above -inf, or all there are.
template <typename Items> NLM_DEVICE int list_best(const Items& items, uint64_t low, int count, SelectShared& shared) {
    constexpr uint64_t above_nothing = uint64_t{1} << 32; // past the ratings of -inf
    low = Maximum{}(low, lowest_rating(-INFINITY) + above_nothing);
    const uint64_t last = threshold(items, UnitWeight{}, Lows{low}, static_cast<uint64_t>(count), shared);
    return list_items(items, last, shared);
}

NLM_DEVICE void pick_from_row(const nlm_beam_topk_args& args, const BeamSpace& space, int row, uint64_t best,
                              SelectShared& shared) {
    const BeamChunk* chunks = space.chunks + int64_t{row} * space.cut.chunks;
    const double log_total = log_of_sum(space.cut.chunks, value_of(best), [&](int i, float& maximum, double& sum) {
        maximum = value_of(load(&chunks[i].best));
        sum = load(&chunks[i].sum);
    });
    BeamScores scores{nullptr, args.vocabulary, false, load(args.cumulative + row), log_total};
    scores.logits = logits_of(args, row, scores.wide);
    const RowItems<BeamScores> items{scores, space.cut, space.maxima + int64_t{row} * space.cut.segments};
    uint64_t low = low_for_rank(args.count, items.maxima, space.cut.segments, shared); // of logits
    if (low != 0) low = lowest_rating(scores.score(value_of(low)));
    const int64_t at = int64_t{row} * args.count;
    each_placed(shared, list_best(items, low, args.count, shared), [&](int place, uint64_t rating) {
        store(space.scores + at + place, value_of(rating));
        store(space.tokens + at + place, token_of(rating));
        store(space.logprobs + at + place, log_probability(load(scores.logits + token_of(rating)), log_total));
    });
}

NLM_KERNEL NLM_LAUNCH_BOUNDS(beam_threads, 2) beam_rows(nlm_beam_topk_args args, BeamSpace space) {
    const int row = block_index();
    const bool on = is_on(args, row);
    for (int i = thread_index(); i < args.count; i += thread_count())
        store(space.scores + int64_t{row} * args.count + i, -INFINITY);
    sync_threads(); // places are written again by other threads
    uint64_t best = 0;
    if (on) {
        for (int i = lane_index(); i < space.cut.chunks; i += warp_size)
            best = Maximum{}(best, load(&space.chunks[int64_t{row} * space.cut.chunks + i].best));
        best = reduce_warp(best, Maximum{});
        if (!(load(args.cumulative + row) < INFINITY)) best = nonfinite_rating;
        if (best != nonfinite_rating) pick_from_row(args, space, row, best, shared_memory<BeamShared>().select);
    }
    if (thread_index() == 0) store(space.flags + row, best == nonfinite_rating ? NLM_SAMPLE_NONFINITE : 0);
}

NLM_KERNEL NLM_LAUNCH_BOUNDS(beam_threads, 2) beam_groups(nlm_beam_topk_args args, BeamSpace space) {
    const int group = block_index();
    if (group >= true_count(args.groups, args.groups_max)) return; // the whole block
    auto& shared = shared_memory<BeamShared>();
    const int first = first_row(args, group), last = first_row(args, group + 1);
    nlm_beam_candidate* out = args.candidates + int64_t{group} * args.count;
    int flags = 0;
    for (int row = first + thread_index(); row < last; row += thread_count()) flags |= load(space.flags + row);
    flags = reduce_block(flags, 0, Maximum{}, shared.flags);
    int found = 0;
    const int64_t base = int64_t{first} * args.count;
    if (flags == 0 && first < last) {
        // Rows ascend and a row's best come first, so equal scores keep the order of row and token.
        const ListItems items{space.scores + base, (last - first) * args.count};
        found = list_best(items, 0, args.count, shared.select);
        each_placed(shared.select, found, [&](int place, uint64_t rating) {
            const int at = token_of(rating);
            store(&out[place].row, first + at / args.count);
            store(&out[place].token, load(space.tokens + base + at));
            store(&out[place].score, value_of(rating));
            store(&out[place].logprob, load(space.logprobs + base + at));
        });
    }
    for (int place = found + thread_index(); place < args.count; place += thread_count()) {
        store(&out[place].row, -1);
        store(&out[place].token, -1);
        store(&out[place].score, -INFINITY);
        store(&out[place].logprob, -INFINITY);
    }
    if (thread_index() == 0) store(args.flags + group, flags == 0 && found == 0 ? NLM_SAMPLE_NOTHING_ALLOWED : flags);
}

int64_t lay_out(const nlm_beam_topk_args& args, char* workspace, BeamSpace& space) {
    const int64_t rows = args.rows_max;
    space.cut = cut_of(args.vocabulary);
    WorkspaceCutter cutter{workspace};
    cutter.take(space.chunks, rows * space.cut.chunks);
    cutter.take(space.maxima, rows * space.cut.segments);
    cutter.take(space.scores, rows * args.count);
    cutter.take(space.logprobs, rows * args.count);
    cutter.take(space.tokens, rows * args.count);
    cutter.take(space.flags, rows);
    return cutter.bytes;
}

int64_t workspace_bytes(const nlm_beam_topk_args& args) {
    check_shape(args);
    check_range(int64_t{args.rows_max} * args.count, 0, count_limit, "rows_max x count");
    BeamSpace space{};
    return lay_out(args, nullptr, space);
}

void launch_beams(const nlm_beam_topk_args& args, cudaStream_t stream) {
    BeamSpace space{};
    lay_out(args, static_cast<char*>(args.workspace), space);
    launch(beam_scan, {int64_t{args.rows_max} * space.cut.chunks, 1, space.cut.threads, sizeof(BeamScanShared)}, stream, args,
           space);
    launch(beam_rows, {args.rows_max, 1, beam_threads, sizeof(BeamShared)}, stream, args, space);
    launch(beam_groups, {args.groups_max, 1, beam_threads, sizeof(BeamShared)}, stream, args, space);
}

} // namespace
} // namespace nlm::simt

NLM_API int64_t nlm_beam_topk_workspace_bytes(const nlm_beam_topk_args* args) {
    using namespace nlm;
    int64_t bytes = -1;
    guard("nlm_beam_topk_workspace_bytes", [&] {
        check_args(args);
        bytes = simt::workspace_bytes(*args);
    });
    return bytes;
}

NLM_API int32_t nlm_beam_topk(nlm_stream* stream, const nlm_beam_topk_args* args) {
    using namespace nlm;
    return guard("nlm_beam_topk", [&] {
        check_call(stream, args);
        if (args->groups_max == 0) return;
        check(*args, simt::workspace_bytes(*args));
        simt::launch_beams(*args, cuda_stream(stream));
    });
}
