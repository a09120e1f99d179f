// The work list of a mixed batch, built on the device: nothing that varies from step to step is known to the host.
#include "paged_attention.h"

#include <algorithm>

namespace nlm::simt {
namespace {

constexpr int plan_threads_max = 1024;

struct PlanShared {
    Array<int64_t, plan_threads_max / warp_size> totals;
};

// Sum of the values of the threads before this one, plus carry; carry grows by the sum of all.
NLM_DEVICE int64_t scan_block(int64_t value, int64_t& carry, PlanShared& shared) {
    int64_t inclusive = value;
    for (int delta = 1; delta < warp_size; delta *= 2) {
        const int64_t before = shuffle_up(inclusive, delta);
        if (lane_index() >= delta) inclusive += before;
    }
    if (lane_index() == warp_size - 1) shared.totals[warp_index()] = inclusive;
    sync_threads();
    int64_t before = carry;
    for (int warp = 0; warp < thread_count() / warp_size; ++warp) {
        if (warp < warp_index()) before += shared.totals[warp];
        carry += shared.totals[warp];
    }
    sync_threads();
    return before + inclusive - value;
}

// Numbers out of range make a sequence padding: the device has nobody to tell.
NLM_DEVICE SequencePlan plan_sequence(const AttentionCall& call, int index) {
    SequencePlan sequence{};
    const int start = load(call.query_starts + index), end = load(call.query_starts + index + 1);
    const int length = load(call.lengths + index);
    const int table_row = call.table_rows != nullptr ? load(call.table_rows + index) : index;
    const bool fits = start >= 0 && end > start && end <= call.rows_max && length >= end - start && length <= call.length_max;
    if (!fits || table_row < 0 || table_row >= call.table_count) return sequence;
    if ((length - 1) / call.pool.block_size >= call.table_stride) return sequence;
    sequence.first_row = start;
    sequence.row_count = end - start;
    sequence.length = length;
    sequence.table_row = table_row;
    sequence.first_split = first_key(call.window, first_position(sequence)) / call.split_keys;
    sequence.split_count = (length - 1) / call.split_keys + 1 - sequence.first_split;
    return sequence;
}

NLM_KERNEL NLM_LAUNCH_BOUNDS(plan_threads_max, 1) plan_attention(AttentionCall call) {
    auto& shared = shared_memory<PlanShared>();
    const AttentionPlan& plan = call.plan;
    const int count = true_count(call.sequences, call.sequences_max);
    int64_t states = 0, split_items = 0, serial_items = 0, merge_items = 0;
    for (int base = 0; base < count; base += thread_count()) {
        const int index = base + thread_index();
        SequencePlan sequence = index < count ? plan_sequence(call, index) : SequencePlan{};
        const int64_t rows = int64_t{sequence.row_count} * call.q_head_count;
        const int packed = sequence.row_count * call.group;
        const bool may_split = call.padded_dim > 0 && sequence.row_count <= split_rows_max;
        const int64_t wanted = may_split && sequence.split_count > 1 ? rows * sequence.split_count : 0;
        const int64_t partial = scan_block(wanted, states, shared);
        const bool splits = may_split && partial + wanted <= plan.partial_capacity;
        sequence.splits_are_items = splits;
        sequence.partial = wanted > 0 && splits ? static_cast<int32_t>(partial) : 0;

        const int64_t kv_heads = call.pool.kv_head_count;
        const int64_t split_own = splits ? kv_heads * sequence.split_count * ceil_div(packed, tile_rows) : 0;
        const int64_t serial_own = splits                ? 0
                                   : call.padded_dim > 0 ? kv_heads * ceil_div(packed, serial_rows(call.padded_dim))
                                                         : rows;
        const int64_t merge_own = wanted > 0 && splits ? rows : 0;
        const int64_t split_end = scan_block(split_own, split_items, shared) + split_own;
        const int64_t serial_end = scan_block(serial_own, serial_items, shared) + serial_own;
        const int64_t merge_end = scan_block(merge_own, merge_items, shared) + merge_own;
        if (index >= count) continue;
        store_sequence(plan, index, sequence);
        store(plan.split_ends + index, split_end);
        store(plan.serial_ends + index, serial_end);
        store(plan.merge_ends + index, merge_end);
    }
    if (thread_index() == 0) store(plan.sequence_count, count);
}

} // namespace

void launch_attention_plan(const AttentionCall& call, cudaStream_t stream) {
    const int threads =
        std::min(ceil_div(std::min(call.sequences_max, plan_threads_max), warp_size) * warp_size, plan_threads_max);
    launch(plan_attention, {1, 1, threads, sizeof(PlanShared)}, stream, call);
}

} // namespace nlm::simt
