// The second pass over splits that were items: a warp per output row merges its states ascending.
#include "device/attention_tile.cuh"
#include "paged_attention.h"

namespace nlm::simt {
namespace {

constexpr int merge_warps = 4;
constexpr int merge_blocks_per_multiprocessor = 8;
constexpr int lane_columns = 4;                                          // that a lane moves at once
constexpr int merge_parts = head_dim_limit / (lane_columns * warp_size); // of a row

template <typename T> NLM_KERNEL NLM_LAUNCH_BOUNDS(merge_warps* warp_size, merge_blocks_per_multiprocessor)
    merge_states(AttentionCall call) {
    using Columns = Vec<float, lane_columns>;
    const int sequence_count = load(call.plan.sequence_count);
    const int64_t items = item_count(call.plan.merge_ends, sequence_count);
    const int64_t warps = int64_t{block_count()} * merge_warps;
    for (int64_t item = int64_t{block_index()} * merge_warps + warp_index(); item < items; item += warps) {
        const auto [sequence, local] = find_item(call.plan, call.plan.merge_ends, sequence_count, item);
        const int row = static_cast<int>(local / call.q_head_count), head = static_cast<int>(local % call.q_head_count);
        const int kv_head = head / call.group, packed_row = row * call.group + head % call.group;
        const int64_t first = partial_index(sequence, call.group, kv_head, packed_row, sequence.first_split);
        float maximum = minus_infinity, sum = 0.0f;
        Columns merged[merge_parts] = {};
#pragma unroll 4
        for (int split = 0; split < sequence.split_count; ++split) {
            const auto next = load(call.plan.partial_sums + first + split);
            const float* outputs = call.plan.partial_outputs + (first + split) * call.padded_dim;
            const Merge merge(maximum, sum, next[0], next[1]);
            maximum = merge.maximum;
            sum = merge.sum;
#pragma unroll
            for (int part = 0; part < merge_parts; ++part) {
                const int column = (part * warp_size + lane_index()) * lane_columns;
                if (column >= call.padded_dim) break;
                const auto values = load_vector<Columns>(outputs + column);
                for (int i = 0; i < lane_columns; ++i) merged[part][i] = merge.output(merged[part][i], values[i]);
            }
        }
        const float scale = output_scale(maximum, sum, sink_of(call, head));
        T* out = static_cast<T*>(call.out) + row_offset(call, sequence, kv_head, packed_row);
        for (int part = 0; part < merge_parts; ++part) {
            const int column = (part * warp_size + lane_index()) * lane_columns;
            for (int i = 0; i < lane_columns; i += 2) {
                if (column + i >= call.pool.head_dim) break;
                store(reinterpret_cast<uint32_t*>(out + column + i),
                      pack2<T>(merged[part][i] * scale, merged[part][i + 1] * scale));
            }
        }
    }
}

} // namespace

void launch_merge_states(const AttentionCall& call, const nlm_device& device, cudaStream_t stream) {
    const int64_t warps = int64_t{call.rows_max} * call.q_head_count;
    const Launch shape{persistent_blocks(ceil_div(warps, int64_t{merge_warps}), merge_blocks_per_multiprocessor, device), 1,
                       merge_warps * warp_size};
    if (call.type == NLM_BF16)
        launch(merge_states<bf16>, shape, stream, call);
    else
        launch(merge_states<f16>, shape, stream, call);
}

} // namespace nlm::simt
