// Attention of many rows per sequence: a block of four warps, 16 packed rows each, shares K and V and runs the splits one after
// the other, merging each as it closes.
#include "device/attention_tile.cuh"
#include "paged_attention.h"

namespace nlm::simt {
namespace {

// At most 96 KiB of shared memory, so that it fits every architecture: two buffers each of K and V and what was merged so far;
// wide heads take smaller buffers and two warps, and keep Q in shared memory too.
template <int Dim_> struct Prefill {
    static constexpr int Dim = Dim_;
    static constexpr int warps = serial_rows(Dim) / tile_rows;
    static constexpr int threads = warps * warp_size;
    static constexpr int blocks_per_multiprocessor = 2;
    using Ring = KeyRing<Dim, Dim <= 128 ? 32 : 16, 4, threads>; // three buffers under way
    struct Shared {
        typename Ring::Shared ring;
        Array<QueryShared<Dim>, warps> queries;
        Array<Vec<float, 4>, Dim / 8 * threads> merged; // a thread's own part of the output, [n][thread]
    };
};

// What a thread's two rows have merged so far; the output is in shared memory, where no other thread looks at it.
template <typename Shape> struct Merged {
    typename Shape::Shared& shared;
    float maximum[2], sum[2];

    NLM_DEVICE void clear() {
        for (int r = 0; r < 2; ++r) {
            maximum[r] = minus_infinity;
            sum[r] = 0.0f;
        }
    }
    // Adds a closed split, and hands the sum of all back in its place where it is the last.
    NLM_DEVICE void add(RowState<Shape::Dim>& state, bool last) {
        const Merge low(maximum[0], sum[0], state.maximum[0], state.sum[0]);
        const Merge high(maximum[1], sum[1], state.maximum[1], state.sum[1]);
        maximum[0] = low.maximum;
        maximum[1] = high.maximum;
        sum[0] = low.sum;
        sum[1] = high.sum;
#pragma unroll
        for (int n = 0; n < Shape::Dim / 8; ++n) {
            auto& kept = shared.merged[n * Shape::threads + thread_index()];
            const Vec<float, 4> into = kept;
            Vec<float, 4> all;
            for (int i = 0; i < 4; ++i) all[i] = (i < 2 ? low : high).output(into[i], state.output[n][i]);
            if (!last) kept = all;
            for (int i = 0; i < 4; ++i) state.output[n][i] = all[i];
            // Orders the loads of wide heads, which would otherwise come all at once and find no registers.
            if (Shape::Dim > 128 && n % 8 == 7) sync_warp();
        }
        for (int r = 0; r < 2; ++r) {
            state.maximum[r] = maximum[r];
            state.sum[r] = sum[r];
        }
    }
};

template <typename T, typename Shape> NLM_KERNEL NLM_LAUNCH_BOUNDS(Shape::threads, Shape::blocks_per_multiprocessor)
    prefill_attention(AttentionCall call) {
    constexpr int Dim = Shape::Dim, block_rows = serial_rows(Dim);
    auto& shared = shared_memory<typename Shape::Shared>();
    typename Shape::Ring ring(shared.ring, call);
    Query<T, Dim> query(shared.queries[warp_index()]);
    const int sequence_count = load(call.plan.sequence_count);
    const int64_t items = item_count(call.plan.serial_ends, sequence_count);
    for (int64_t item = block_index(); item < items; item += block_count()) {
        const auto [sequence, local] = find_item(call.plan, call.plan.serial_ends, sequence_count, item);
        const int row_tiles = ceil_div(sequence.row_count * call.group, block_rows);
        const int kv_head = static_cast<int>(local % call.pool.kv_head_count);
        // The last rows see most keys: first, so that what is left at the end is short.
        const int first_packed = (row_tiles - 1 - static_cast<int>(local / call.pool.kv_head_count)) * block_rows;
        const int packed = sequence.row_count * call.group;
        const int last_packed = (first_packed + block_rows < packed ? first_packed + block_rows : packed) - 1;
        const int begin = first_key(call.window, first_position(sequence) + first_packed / call.group);
        const int end = first_position(sequence) + last_packed / call.group + 1;

        const QueryRows rows(call, sequence, first_packed + warp_index() * tile_rows);
        query.load(call, sequence, kv_head, rows);
        ring.open(sequence, kv_head, begin, end);
        RowState<Dim> state;
        Merged<Shape> merged{shared, {}, {}};
        state.clear();
        merged.clear();
        for (int tile = begin / key_tile * key_tile; tile < end; tile += key_tile) {
            attend_tile<T, Dim>(state, query, ring, call, rows, kv_head, tile);
            const bool last = tile + key_tile >= end;
            if (!last && (tile + key_tile) % call.split_keys != 0) continue;
            state.close();
            merged.add(state, last);
            if (!last) state.clear();
        }
        store_rows<T, Dim>(call, sequence, kv_head, rows, state);
    }
    ring.close();
}

template <typename T, int Dim> void launch_dim(const AttentionCall& call, const nlm_device& device, cudaStream_t stream) {
    using Shape = Prefill<Dim>;
    const int64_t packed = int64_t{call.rows_max} * call.group;
    const int64_t items = (packed / serial_rows(Dim) + call.sequences_max) * call.pool.kv_head_count;
    const int64_t blocks = persistent_blocks(items, Shape::blocks_per_multiprocessor, device);
    launch(prefill_attention<T, Shape>, {blocks, 1, Shape::threads, sizeof(typename Shape::Shared)}, stream, call);
}

template <typename T> void launch_type(const AttentionCall& call, const nlm_device& device, cudaStream_t stream) {
    switch (call.padded_dim) {
    case 32:
        return launch_dim<T, 32>(call, device, stream);
    case 64:
        return launch_dim<T, 64>(call, device, stream);
    case 96:
        return launch_dim<T, 96>(call, device, stream);
    case 128:
        return launch_dim<T, 128>(call, device, stream);
    default:
        return launch_dim<T, 256>(call, device, stream);
    }
}

} // namespace

void launch_attention_prefill(const AttentionCall& call, const nlm_device& device, cudaStream_t stream) {
    if (call.type == NLM_BF16)
        launch_type<bf16>(call, device, stream);
    else
        launch_type<f16>(call, device, stream);
}

} // namespace nlm::simt
