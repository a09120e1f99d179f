// One nlm_paged_attention call as its kernels see it, and the plan that they share.
//
// The rows of a sequence are packed per KV head: packed row r is query row r / group, query head r % group of the head's group,
// so K and V of a head are read once for the whole group. A sequence of few rows is cut into splits, each an item of its own
// whose states go to the workspace and are merged by another kernel; a sequence of many rows, or one whose states find no room,
// runs its splits one after the other. Both do the same arithmetic in the same order (attention_tile.cuh), so which of them a
// row takes does not show in its bits.
#pragma once

#include "attention_args.h"
#include "kv_pool.cuh"

namespace nlm::simt {

constexpr int tile_rows = 16;     // packed rows of one matrix product
constexpr int split_rows_max = 8; // query rows of a sequence whose splits are items
// Packed rows of a block that runs its splits one after the other: 16 per warp, as many warps as shared memory has room for.
NLM_HOST_DEVICE constexpr int serial_rows(int padded_dim) {
    return padded_dim <= 128 ? 64 : 32;
}
constexpr float log2_e = 1.44269504088896341f;

struct alignas(16) SequencePlan {
    int32_t first_row, row_count; // of q and out; no rows: padding
    int32_t length;               // keys
    int32_t table_row;
    int32_t first_split, split_count; // that any row sees
    int32_t splits_are_items;
    int32_t partial; // first state in the workspace, where there are several splits
};

// Each array of ends is a prefix sum over the sequences: item i belongs to the first sequence whose end is above i.
struct AttentionPlan {
    int32_t* sequence_count;
    SequencePlan* sequences;
    int64_t *split_ends, *serial_ends, *merge_ends;
    Vec<float, 2>* partial_sums; // [states] maximum and sum
    float* partial_outputs;      // [states, padded_dim]
    int64_t partial_capacity;    // states
};

struct AttentionCall {
    void* out;
    const void* q;
    KvPool pool;
    const int32_t *query_starts, *lengths, *table_rows, *block_tables, *sequences;
    const float *alibi_slopes, *sinks;
    int32_t type;       // nlm_dtype of q and out
    int32_t padded_dim; // of the kernel's tiles; 0: every row is an item of the plain kernel
    int32_t rows_max, sequences_max, q_head_count, group;
    int32_t table_count, table_stride, length_max, split_keys, window;
    float score_scale, softcap; // with log2 e: score_scale where there is no softcap, softcap where there is
    AttentionPlan plan;
};

// First key that a row at this position sees.
NLM_HOST_DEVICE int first_key(int window, int position) {
    return window > 0 && position >= window ? position - window + 1 : 0;
}
NLM_HOST_DEVICE int first_position(const SequencePlan& sequence) {
    return sequence.length - sequence.row_count;
}

struct SequenceHalves {
    Vec<int32_t, 4> low, high;
};
NLM_DEVICE SequencePlan load_sequence(const AttentionPlan& plan, int index) {
    const auto* words = reinterpret_cast<const Vec<int32_t, 4>*>(plan.sequences + index);
    return bit_cast<SequencePlan>(SequenceHalves{load(words), load(words + 1)});
}
NLM_DEVICE void store_sequence(const AttentionPlan& plan, int index, const SequencePlan& sequence) {
    auto* words = reinterpret_cast<Vec<int32_t, 4>*>(plan.sequences + index);
    const auto halves = bit_cast<SequenceHalves>(sequence);
    store(words, halves.low);
    store(words + 1, halves.high);
}

// The sequence that an item belongs to, and the item's number inside it. All lanes of a warp ask for the same item.
struct ItemPlace {
    SequencePlan sequence;
    int64_t local;
};
NLM_DEVICE ItemPlace find_item(const AttentionPlan& plan, const int64_t* ends, int sequence_count, int64_t item) {
    int low = 0, high = sequence_count; // the answer is in [low, high)
    while (high - low > 1) {
        const int step = ceil_div(high - low, warp_size), probe = low + (lane_index() + 1) * step - 1;
        const bool reached = probe >= high - 1 || load(ends + probe) > item;
        low += (first_bit(ballot(reached)) - 1) * step;
        high = low + step < high ? low + step : high;
    }
    return {load_sequence(plan, low), item - (low > 0 ? load(ends + low - 1) : 0)};
}
NLM_DEVICE int64_t item_count(const int64_t* ends, int sequence_count) {
    return sequence_count > 0 ? load(ends + sequence_count - 1) : 0;
}

// State in the workspace of a packed row in a split.
NLM_DEVICE int64_t partial_index(const SequencePlan& sequence, int group, int kv_head, int packed_row, int split) {
    const int64_t row = int64_t{kv_head} * sequence.row_count * group + packed_row;
    return sequence.partial + row * sequence.split_count + (split - sequence.first_split);
}
// Element offset in q and out.
NLM_DEVICE int64_t row_offset(const AttentionCall& call, const SequencePlan& sequence, int kv_head, int packed_row) {
    const int row = packed_row / call.group, head = kv_head * call.group + packed_row % call.group;
    return (int64_t{sequence.first_row + row} * call.q_head_count + head) * call.pool.head_dim;
}

} // namespace nlm::simt
