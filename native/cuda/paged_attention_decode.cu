// Attention of few rows per sequence: one warp per (sequence, KV head, split) and up to 16 packed rows, with a ring of its own;
// nothing in the loop waits for another warp. K and V are read once for all rows of a tile.
#include "device/attention_tile.cuh"
#include "paged_attention.h"

namespace nlm::simt {
namespace {

template <int Dim_> struct Decode {
    static constexpr int Dim = Dim_;
    static constexpr int warps = Dim <= 128 ? 4 : 2;
    static constexpr int blocks_per_multiprocessor = Dim <= 64 ? 3 : 2;
    using Ring = KeyRing<Dim, 16, 4, warp_size>; // three buffers of 16 keys under way per warp
    struct WarpShared {
        typename Ring::Shared ring;
        QueryShared<Dim> query;
    };
    struct Shared {
        Array<WarpShared, warps> of_warp;
    };
};

// State of a closed split to the workspace.
template <int Dim> NLM_DEVICE void store_partial(const AttentionCall& call, const SequencePlan& sequence, int kv_head, int split,
                                                 const QueryRows& rows, const RowState<Dim>& state) {
    for (int r = 0; r < 2; ++r) {
        if (!rows.exists(r)) continue;
        const int64_t index = partial_index(sequence, call.group, kv_head, rows.packed(r), split);
        if (lane_index() % 4 == 0) store(call.plan.partial_sums + index, Vec<float, 2>{{state.maximum[r], state.sum[r]}});
        float* outputs = call.plan.partial_outputs + index * Dim;
#pragma unroll
        for (int n = 0; n < Dim / 8; ++n)
            store_vector(outputs + 8 * n + lane_index() % 4 * 2,
                         Vec<float, 2>{{state.output[n][2 * r], state.output[n][2 * r + 1]}});
    }
}

template <typename T, typename Shape> NLM_KERNEL NLM_LAUNCH_BOUNDS(Shape::warps* warp_size, Shape::blocks_per_multiprocessor)
    decode_attention(AttentionCall call) {
    constexpr int Dim = Shape::Dim;
    auto& shared = shared_memory<typename Shape::Shared>().of_warp[warp_index()];
    typename Shape::Ring ring(shared.ring, call);
    Query<T, Dim> query(shared.query);
    const int sequence_count = load(call.plan.sequence_count);
    const int64_t items = item_count(call.plan.split_ends, sequence_count);
    // Neighbouring items go to different blocks: few items still use every multiprocessor.
    for (int64_t item = block_index() + int64_t{warp_index()} * block_count(); item < items;
         item += int64_t{block_count()} * Shape::warps) {
        const auto [sequence, local] = find_item(call.plan, call.plan.split_ends, sequence_count, item);
        const int row_tiles = ceil_div(sequence.row_count * call.group, tile_rows);
        const int first_packed = static_cast<int>(local % row_tiles) * tile_rows;
        const int kv_head = static_cast<int>(local / row_tiles % call.pool.kv_head_count);
        const int split = sequence.first_split + static_cast<int>(local / row_tiles / call.pool.kv_head_count);

        const QueryRows rows(call, sequence, first_packed);
        const int64_t split_end = (int64_t{split} + 1) * call.split_keys;
        const int begin = rows.seen_from > split * call.split_keys ? rows.seen_from : split * call.split_keys;
        const int end = rows.seen_to + 1 < split_end ? rows.seen_to + 1 : static_cast<int>(split_end);
        RowState<Dim> state;
        state.clear();
        query.load(call, sequence, kv_head, rows);
        ring.open(sequence, kv_head, begin, end);
        for (int tile = begin / key_tile * key_tile; tile < end; tile += key_tile)
            attend_tile<T, Dim>(state, query, ring, call, rows, kv_head, tile);
        state.close();
        if (sequence.split_count > 1)
            store_partial<Dim>(call, sequence, kv_head, split, rows, state);
        else
            store_rows<T, Dim>(call, sequence, kv_head, rows, state);
    }
    ring.close();
}

template <typename T, int Dim>
void launch_dim(const AttentionCall& call, int query_rows, const nlm_device& device, cudaStream_t stream) {
    using Shape = Decode<Dim>;
    const int64_t items = int64_t{call.sequences_max} * call.pool.kv_head_count * ceil_div(query_rows * call.group, tile_rows) *
                          ceil_div(call.length_max, call.split_keys);
    const int64_t blocks = persistent_blocks(items, Shape::blocks_per_multiprocessor, device);
    launch(decode_attention<T, Shape>, {blocks, 1, Shape::warps * warp_size, sizeof(typename Shape::Shared)}, stream, call);
}

template <typename T> void launch_type(const AttentionCall& call, int query_rows, const nlm_device& device, cudaStream_t stream) {
    switch (call.padded_dim) {
    case 32:
        return launch_dim<T, 32>(call, query_rows, device, stream);
    case 64:
        return launch_dim<T, 64>(call, query_rows, device, stream);
    case 96:
        return launch_dim<T, 96>(call, query_rows, device, stream);
    case 128:
        return launch_dim<T, 128>(call, query_rows, device, stream);
    default:
        return launch_dim<T, 256>(call, query_rows, device, stream);
    }
}

} // namespace

void launch_attention_decode(const AttentionCall& call, int query_rows, const nlm_device& device, cudaStream_t stream) {
    if (call.type == NLM_BF16)
        launch_type<bf16>(call, query_rows, device, stream);
    else
        launch_type<f16>(call, query_rows, device, stream);
}

} // namespace nlm::simt
