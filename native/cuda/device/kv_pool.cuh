// Where the cache keeps a token's K and V: blocks of [layer][kv head]{ K [block_size][row], V [block_size][row] }. A row is one
// token's head, padded with zeros to whole 16-byte chunks, so eight tokens of a block are one run of aligned chunks.
#pragma once

#include "simt.cuh"

namespace nlm::simt {

constexpr int group_tokens = 8;                   // blocks hold whole groups of eight tokens, so a group never straddles two
constexpr int64_t group_unit = group_tokens * 16; // bytes; every group starts at a multiple of it from the pool's start

// One layer of the cache.
struct KvPool {
    char* data; // K of the layer's first head in block 0
    int32_t block_count, block_size, kv_head_count, head_dim;
    int32_t row_bytes;
    int64_t half_bytes; // K, or V, of one head in one block
    int64_t block_bytes;

    NLM_HOST_DEVICE int64_t head_offset(int64_t block, int kv_head) const {
        return block * block_bytes + 2 * kv_head * half_bytes;
    }
    // Where the group of a block's token starts, in group units; V follows half_bytes later.
    NLM_HOST_DEVICE int32_t group(int64_t block, int kv_head, int token) const {
        return static_cast<int32_t>((head_offset(block, kv_head) + int64_t{token} * row_bytes) / group_unit);
    }
    NLM_HOST_DEVICE bool has_block(int32_t block) const { return block >= 0 && block < block_count; }
};

inline KvPool kv_pool(const nlm_kv_cache& cache, int32_t layer) {
    const int32_t element_bytes = cache.type == NLM_F32 ? 4 : 2;
    KvPool pool{};
    pool.block_count = cache.block_count;
    pool.block_size = cache.block_size;
    pool.kv_head_count = cache.kv_head_count;
    pool.head_dim = cache.head_dim;
    pool.row_bytes = ceil_div(cache.head_dim * element_bytes, 16) * 16;
    pool.half_bytes = int64_t{pool.row_bytes} * cache.block_size;
    const int64_t layer_bytes = 2 * pool.half_bytes * cache.kv_head_count;
    pool.block_bytes = layer_bytes * cache.layer_count;
    pool.data = static_cast<char*>(cache.data) + layer * layer_bytes;
    return pool;
}

} // namespace nlm::simt
