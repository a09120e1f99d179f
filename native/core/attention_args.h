// Argument checks of the KV cache, nlm_write_kv, nlm_paged_attention, nlm_copy_blocks and nlm_swap_blocks, the same on every
// backend. What depends on a backend's layout comes as block_bytes or workspace_bytes.
#pragma once

#include "check.h"

#include <cmath>

namespace nlm {

constexpr int key_tile = 64; // keys per update of a row's running maximum, at absolute positions
constexpr int head_dim_limit = 256;

// Everything but data and block_count.
inline void check_cache_shape(const nlm_kv_cache* cache) {
    NLM_REQUIRE(cache != nullptr, "cache: expected a struct, found null");
    NLM_REQUIRE(cache->size == sizeof(nlm_kv_cache), "cache.size: expected %zu bytes, found %u: header and library differ",
                sizeof(nlm_kv_cache), cache->size);
    check_floating_type(cache->type, "cache.type");
    check_range(cache->block_size, 8, 4096, "cache.block_size");
    NLM_REQUIRE(cache->block_size % 8 == 0, "cache.block_size: expected a multiple of 8, found %d", cache->block_size);
    check_range(cache->head_dim, 8, head_dim_limit, "cache.head_dim");
    NLM_REQUIRE(cache->head_dim % 2 == 0, "cache.head_dim: expected an even number, found %d", cache->head_dim);
    check_range(cache->layer_count, 1, 65536, "cache.layer_count");
    check_range(cache->kv_head_count, 1, 65536, "cache.kv_head_count");
}

// A cache of the right shape whose pool is addressable.
inline void check_cache(const nlm_kv_cache* cache, int64_t block_bytes) {
    check_pointer(cache->data, "cache.data", buffer_alignment);
    check_range(cache->block_count, 1, count_limit, "cache.block_count");
    check_extent(cache->block_count, 1, block_bytes, "cache");
    const int64_t slot_count = static_cast<int64_t>(cache->block_count) * cache->block_size;
    NLM_REQUIRE(slot_count <= count_limit, "cache: expected slot numbers below 2^31, found %lld slots",
                static_cast<long long>(slot_count));
}

inline void check_write_kv(const nlm_write_kv_args& args, int64_t block_bytes) {
    check_cache(args.cache, block_bytes);
    check_floating_type(args.type, "type");
    const int64_t bytes = type_bytes(args.type);
    check_range(args.rows_max, 0, count_limit, "rows_max");
    check_range(args.q_head_count, 1, 1 << 20, "q_head_count");
    check_range(args.layer, 0, args.cache->layer_count - 1, "layer");
    check_range(args.rope_style, NLM_ROPE_NONE, NLM_ROPE_INTERLEAVED, "rope_style");
    check_extent(args.rows_max, (args.q_head_count + 2ll * args.cache->kv_head_count) * args.cache->head_dim, bytes, "qkv");
    check_pointer(args.q_out, "q_out", bytes);
    check_pointer(args.qkv, "qkv", bytes);
    check_pointer(args.slots, "slots", 4);
    check_optional_pointer(args.q_norm, "q_norm", bytes);
    check_optional_pointer(args.k_norm, "k_norm", bytes);
    check_optional_pointer(args.rows, "rows", 4);
    if (args.rope_style != NLM_ROPE_NONE) {
        check_range(args.rotary_dim, 2, args.cache->head_dim, "rotary_dim");
        NLM_REQUIRE(args.rotary_dim % 2 == 0, "rotary_dim: expected an even number, found %d", args.rotary_dim);
        check_range(args.positions_max, 1, count_limit, "positions_max");
        check_pointer(args.rope_table, "rope_table", 4);
        check_pointer(args.positions, "positions", 4);
    }
}

inline int32_t split_keys_of(const nlm_paged_attention_args& args) {
    return args.split_keys == 0 ? 256 : args.split_keys;
}

// Everything that the workspace size depends on.
inline void check_attention_shape(const nlm_paged_attention_args& args) {
    check_cache_shape(args.cache);
    check_range(args.rows_max, 0, count_limit, "rows_max");
    check_range(args.sequences_max, 0, count_limit, "sequences_max");
    check_range(args.q_head_count, 1, 65536, "q_head_count");
    NLM_REQUIRE(args.q_head_count % args.cache->kv_head_count == 0,
                "q_head_count: expected a multiple of the %d kv heads, found %d", args.cache->kv_head_count, args.q_head_count);
    check_range(args.length_max, 0, count_limit - key_tile, "length_max");
    check_range(args.split_keys, 0, 1 << 24, "split_keys");
    NLM_REQUIRE(args.split_keys % key_tile == 0, "split_keys: expected a multiple of %d or 0, found %d", key_tile,
                args.split_keys);
}

inline void check_attention(const nlm_paged_attention_args& args, int64_t block_bytes, int64_t workspace_bytes) {
    check_cache(args.cache, block_bytes);
    check_floating_type(args.type, "type");
    const int64_t bytes = type_bytes(args.type);
    check_range(args.layer, 0, args.cache->layer_count - 1, "layer");
    check_range(args.table_count, 1, count_limit, "table_count");
    check_range(args.table_stride, 1, count_limit, "table_stride");
    check_range(args.window, 0, count_limit, "window");
    check_range(args.query_rows_max, 0, count_limit, "query_rows_max");
    NLM_REQUIRE(std::isfinite(args.scale), "scale: expected a finite number, found %g", static_cast<double>(args.scale));
    NLM_REQUIRE(args.softcap >= 0 && std::isfinite(args.softcap), "softcap: expected 0 or more, found %g",
                static_cast<double>(args.softcap));
    check_extent(args.rows_max, static_cast<int64_t>(args.q_head_count) * args.cache->head_dim, bytes, "q");
    check_extent(args.table_count, args.table_stride, 4, "block_tables");
    check_pointer(args.out, "out", bytes);
    check_pointer(args.q, "q", bytes);
    check_pointer(args.query_starts, "query_starts", 4);
    check_pointer(args.lengths, "lengths", 4);
    check_pointer(args.block_tables, "block_tables", 4);
    check_optional_pointer(args.table_rows, "table_rows", 4);
    check_optional_pointer(args.sequences, "sequences", 4);
    check_optional_pointer(args.alibi_slopes, "alibi_slopes", 4);
    check_optional_pointer(args.sinks, "sinks", 4);
    check_workspace(args.workspace, args.workspace_bytes, workspace_bytes);
}

inline void check_block_pairs(const int32_t* pairs, int32_t pair_count) {
    check_range(pair_count, 0, count_limit, "pair_count");
    if (pair_count > 0) check_pointer(pairs, "pairs", 4);
}

inline void check_block_id(const char* what, const int32_t* pairs, int64_t index, int32_t block_count) {
    NLM_REQUIRE(pairs[index] >= 0 && pairs[index] < block_count, "pairs[%lld]: expected a %s of 0 to %d, found %d",
                static_cast<long long>(index), what, block_count - 1, pairs[index]);
}

// The pairs of a copy lie where the host can read them only on cpu, so they are not looked at here.
inline void check_copy_blocks(const nlm_kv_cache* cache, int64_t block_bytes, const int32_t* pairs, int32_t pair_count) {
    check_cache(cache, block_bytes);
    check_block_pairs(pairs, pair_count);
}

inline void check_swap_blocks(const nlm_kv_cache* cache, int64_t block_bytes, const void* host_pool, int32_t host_block_count,
                              const int32_t* pairs, int32_t pair_count, int32_t direction) {
    check_cache(cache, block_bytes);
    check_pointer(host_pool, "host_pool", buffer_alignment);
    check_range(host_block_count, 1, count_limit, "host_block_count");
    check_extent(host_block_count, 1, block_bytes, "host_pool");
    check_range(direction, NLM_SWAP_OUT, NLM_SWAP_IN, "direction");
    check_block_pairs(pairs, pair_count);
    for (int64_t i = 0; i < pair_count; i++) {
        check_block_id("pool block", pairs, 2 * i, cache->block_count);
        check_block_id("host block", pairs, 2 * i + 1, host_block_count);
    }
}

} // namespace nlm
