// The first read of a row of logits, split into chunks whose size the vocabulary alone decides: a block keeps its chunk in
// registers, so maxima, sums and draws cost one read. What a row's chunks found is merged in one order.
#pragma once

#include "rating.cuh"
#include "reduce.cuh"

namespace nlm::simt {

constexpr int four = 4;             // tokens of one access
constexpr int fours_per_thread = 4; // of one chunk
constexpr int scan_threads_max = 256;
constexpr int segment_tokens = warp_size * four; // one access of a warp; a row keeps the maximum of each segment

// How a vocabulary is cut.
struct RowCut {
    int vocabulary, threads, chunk_tokens, chunks, segments;
};
inline RowCut cut_of(int32_t vocabulary) {
    constexpr int per_thread = four * fours_per_thread, per_warp = per_thread * warp_size;
    const int threads =
        vocabulary >= scan_threads_max * per_thread ? scan_threads_max : ceil_div(vocabulary, per_warp) * warp_size;
    const int chunks = ceil_div(vocabulary, threads * per_thread);
    return {vocabulary, threads, threads * per_thread, chunks, chunks * (threads * per_thread / segment_tokens)};
}

// A chunk's part of one thread: element i of part k is token first(k) + i. Parts of a warp are segments.
struct Chunk {
    int begin; // first token of the chunk
    float v[fours_per_thread][four];

    NLM_DEVICE int first(int part) const { return begin + (part * thread_count() + thread_index()) * four; }
    NLM_DEVICE int segment(int part) const { return first(part) / segment_tokens; }
};

// v = p[0 .. 3]; -inf for tokens past the row. wide: p is 16-byte aligned.
NLM_DEVICE void load_four(const float* row, int first, int vocabulary, bool wide, float (&v)[four]) {
    if (wide && first + four <= vocabulary) {
        const auto values = load_vector<Vec<float, four>>(row + first);
#pragma unroll
        for (int i = 0; i < four; ++i) v[i] = values[i];
    } else {
#pragma unroll
        for (int i = 0; i < four; ++i) v[i] = first + i < vocabulary ? load(row + first + i) : -INFINITY;
    }
}

// The best rating of the chunk, nonfinite_rating if anything is NaN or +inf. Stores the maxima of its segments unless null.
NLM_DEVICE uint64_t best_of(const Chunk& chunk, float* segment_maxima, WarpResults<uint64_t>& results) {
    float best = -INFINITY;
    int token = chunk.begin;
    bool finite = true;
#pragma unroll
    for (int part = 0; part < fours_per_thread; ++part) {
        float highest = -INFINITY;
#pragma unroll
        for (int i = 0; i < four; ++i) {
            const float v = chunk.v[part][i];
            finite = finite && v < INFINITY;
            if (v > best) {
                best = v;
                token = chunk.first(part) + i;
            }
            highest = fmaxf(highest, v);
        }
        if (segment_maxima == nullptr) continue;
        highest = reduce_warp(highest, Maximum{});
        if (lane_index() == 0) store(segment_maxima + chunk.segment(part), highest);
    }
    return reduce_block(finite ? rating_of(best, token) : nonfinite_rating, uint64_t{0}, Maximum{}, results);
}

// Sum of exp((v - maximum) · scale) over the chunk: a thread's sixteen in fp32, then one tree in double.
NLM_DEVICE double sum_of(const Chunk& chunk, float maximum, float scale, WarpResults<double>& results) {
    float sum = 0;
    if (maximum > -INFINITY)
#pragma unroll
        for (int part = 0; part < fours_per_thread; ++part)
#pragma unroll
            for (int i = 0; i < four; ++i) sum += expf((chunk.v[part][i] - maximum) * scale);
    return reduce_block(static_cast<double>(sum), 0.0, Sum{}, results);
}

// Sum over a row's chunks, each relative to its own maximum, as relative to the row's maximum. For a whole warp; chunk_at(i)
// gives maximum and sum of chunk i.
template <typename ChunkAt> NLM_DEVICE double merge_sums(int chunks, float maximum, float scale, const ChunkAt& chunk_at) {
    double total = 0;
    for (int i = lane_index(); i < chunks; i += warp_size) {
        float chunk_maximum;
        double sum;
        chunk_at(i, chunk_maximum, sum);
        if (chunk_maximum > -INFINITY) total += sum * static_cast<double>(expf((chunk_maximum - maximum) * scale));
    }
    return reduce_warp(total, Sum{});
}

// log of the sum of exp over a row, from its chunks; see merge_sums.
template <typename ChunkAt> NLM_DEVICE double log_of_sum(int chunks, float maximum, const ChunkAt& chunk_at) {
    if (maximum == -INFINITY) return -INFINITY;
    return static_cast<double>(maximum) + log(merge_sums(chunks, maximum, 1.0f, chunk_at));
}

// log softmax of one logit.
NLM_DEVICE float log_probability(float logit, double log_total) {
    return logit == -INFINITY ? -INFINITY : static_cast<float>(static_cast<double>(logit) - log_total);
}

} // namespace nlm::simt
