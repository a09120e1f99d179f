// nlm_write_kv and nlm_kv_block_bytes: norm, rotary embedding and scatter, one warp per (row, head); the blocks of a row are
// neighbours.
#include "attention_args.h"
#include "device/kv_pool.cuh"
#include "device/pieces.cuh"
#include "device/reduce.cuh"
#include "runtime.h"

namespace nlm::simt {
namespace {

constexpr int write_warps = 4;

struct WriteShared {
    Array<Array<float, head_dim_limit>, write_warps> heads;
};

struct WriteKv {
    nlm_write_kv_args args;
    KvPool pool;
    bool wide; // rows of qkv, q_out and the norm weights start at multiples of 16 bytes
};

// One head of one token in fp32, shared by the lanes of a warp; lane i moves dims 8 i to 8 i + 7.
struct Head {
    Array<float, head_dim_limit>& values;
    int dim;

    template <typename T> NLM_DEVICE void load(const T* x, bool wide) {
        float piece[piece_columns];
        const int first = lane_index() * piece_columns, count = piece_size(dim, first);
        if (count == 0) return;
        load_piece(x + first, count, wide, piece);
        for (int i = 0; i < count; ++i) values[first + i] = piece[i];
    }
    template <typename T> NLM_DEVICE void norm(const T* weight, bool wide, float epsilon) {
        float piece[piece_columns] = {}, factor[piece_columns];
        const int first = lane_index() * piece_columns, count = piece_size(dim, first);
        float squares = 0;
        for (int i = 0; i < count; ++i) {
            piece[i] = values[first + i];
            squares += piece[i] * piece[i];
        }
        squares = reduce_warp(squares, Sum{});
        const float inverse = 1.0f / sqrtf(squares / static_cast<float>(dim) + epsilon);
        if (count == 0) return;
        load_piece(weight + first, count, wide, factor);
        for (int i = 0; i < count; ++i) values[first + i] = piece[i] * inverse * factor[i];
    }
    // Rotates pairs (i, i + half) or (2 i, 2 i + 1) of the first 2 · half dims.
    NLM_DEVICE void rotate(const float* cosine, int half, bool interleaved) {
        for (int i = lane_index(); i < half; i += warp_size) {
            float& x = values[interleaved ? 2 * i : i];
            float& y = values[interleaved ? 2 * i + 1 : i + half];
            const float c = load_readonly(cosine + i), s = load_readonly(cosine + half + i), old = x;
            x = old * c - y * s;
            y = y * c + old * s;
        }
    }
    template <typename T> NLM_DEVICE void store(T* x, bool wide) const {
        const int first = lane_index() * piece_columns, count = piece_size(dim, first);
        if (count > 0) store_some(x, first, count, count, wide);
    }
    // With the zeros that fill its last chunk.
    template <typename T> NLM_DEVICE void store_row(char* row, int row_bytes) const {
        const int first = lane_index() * piece_columns, row_dims = row_bytes / static_cast<int>(sizeof(T));
        const int count = piece_size(row_dims, first);
        if (count > 0) store_some(reinterpret_cast<T*>(row), first, piece_size(dim, first), count, true);
    }

private:
    template <typename T> NLM_DEVICE void store_some(T* x, int first, int filled, int count, bool wide) const {
        float piece[piece_columns];
        for (int i = 0; i < piece_columns; ++i) piece[i] = i < filled ? values[first + i] : 0.0f;
        store_piece(x + first, count, wide, piece);
    }
};

template <typename T, typename Cache> NLM_KERNEL NLM_LAUNCH_BOUNDS(write_warps* warp_size, 8) write_kv(WriteKv call) {
    const nlm_write_kv_args& args = call.args;
    const KvPool& pool = call.pool;
    const int heads = args.q_head_count + 2 * pool.kv_head_count, blocks_per_row = ceil_div(heads, write_warps);
    const int64_t row = block_index() / blocks_per_row;
    const int index = block_index() % blocks_per_row * write_warps + warp_index();
    if (index >= heads || row >= true_count(args.rows, args.rows_max)) return;
    const int slot = load_readonly(args.slots + row);
    if (slot < 0 || slot >= pool.block_count * pool.block_size) return;

    const int kv_index = index - args.q_head_count;
    const bool is_query = kv_index < 0, is_value = kv_index >= pool.kv_head_count;
    Head head{shared_memory<WriteShared>().heads[warp_index()], pool.head_dim};
    head.load(static_cast<const T*>(args.qkv) + (row * heads + index) * pool.head_dim, call.wide);
    sync_warp();
    const T* weight = static_cast<const T*>(is_query ? args.q_norm : is_value ? nullptr : args.k_norm);
    if (weight != nullptr) {
        head.norm(weight, call.wide, args.norm_epsilon);
        sync_warp();
    }
    if (args.rope_style != NLM_ROPE_NONE && !is_value) {
        const int position = load_readonly(args.positions + row), last = args.positions_max - 1;
        const int64_t clamped = position < 0 ? 0 : position < last ? position : last;
        head.rotate(args.rope_table + clamped * args.rotary_dim, args.rotary_dim / 2, args.rope_style == NLM_ROPE_INTERLEAVED);
        sync_warp();
    }
    if (is_query) {
        head.store(static_cast<T*>(args.q_out) + (row * args.q_head_count + index) * pool.head_dim, call.wide);
        return;
    }
    char* target = pool.data + pool.head_offset(slot / pool.block_size, kv_index % pool.kv_head_count) +
                   int64_t{slot % pool.block_size} * pool.row_bytes;
    head.store_row<Cache>(is_value ? target + pool.half_bytes : target, pool.row_bytes);
}

template <typename T, typename Cache> void launch_write(const WriteKv& call, cudaStream_t stream) {
    const int heads = call.args.q_head_count + 2 * call.pool.kv_head_count;
    const int64_t blocks = int64_t{call.args.rows_max} * ceil_div(heads, write_warps);
    launch(write_kv<T, Cache>, {blocks, 1, write_warps * warp_size, sizeof(WriteShared)}, stream, call);
}

template <typename T> void launch_cache_type(const WriteKv& call, int32_t cache_type, cudaStream_t stream) {
    if (cache_type == NLM_BF16)
        launch_write<T, bf16>(call, stream);
    else if (cache_type == NLM_F16)
        launch_write<T, f16>(call, stream);
    else
        launch_write<T, float>(call, stream);
}

} // namespace
} // namespace nlm::simt

NLM_API int64_t nlm_kv_block_bytes(const nlm_kv_cache* cache) {
    int64_t bytes = -1;
    nlm::guard("nlm_kv_block_bytes", [&] {
        nlm::check_cache_shape(cache);
        bytes = nlm::simt::kv_pool(*cache, 0).block_bytes;
    });
    return bytes;
}

NLM_API int32_t nlm_write_kv(nlm_stream* stream, const nlm_write_kv_args* args) {
    using namespace nlm;
    return guard("nlm_write_kv", [&] {
        check_call(stream, args);
        if (args->rows_max == 0) return;
        check_cache_shape(args->cache);
        const int64_t bytes = type_bytes(args->type);
        simt::WriteKv call{*args, simt::kv_pool(*args->cache, args->layer), true};
        check_write_kv(*args, call.pool.block_bytes);
        for (const void* p : {args->qkv, static_cast<const void*>(args->q_out), args->q_norm, args->k_norm})
            call.wide = call.wide && simt::rows_are_wide(p, args->cache->head_dim, bytes);
        const cudaStream_t queue = cuda_stream(stream);
        if (args->type == NLM_BF16)
            simt::launch_cache_type<simt::bf16>(call, args->cache->type, queue);
        else if (args->type == NLM_F16)
            simt::launch_cache_type<simt::f16>(call, args->cache->type, queue);
        else
            simt::launch_cache_type<float>(call, args->cache->type, queue);
    });
}
