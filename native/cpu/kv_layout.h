// Where the cache keeps a token's K and V. Inside a block: [layer][kv head]{ K, V }, so that a job of attention reads one run.
//
// K lies in panels of 16 tokens (8 where the block size is not a multiple of 16) whose lanes are tokens; bf16 keeps dims in
// pairs, so one pair row of a panel is one operand of a bf16 dot product:
//   K: [block_size / panel][head_dim / pair][panel][pair]          pair = 2 for bf16, else 1
// V lies with dims as lanes, bf16 with tokens in pairs, so P·V needs no transpose. Dims are padded to whole vectors:
//   V: [block_size / pair][v_columns][pair]                         v_columns = head_dim rounded up to 16
#pragma once

#include "arguments.h"
#include "attention_args.h"

// For functions that every instruction family includes: a copy outside its caller could be the one of a higher family.
#define NLM_ALWAYS_INLINE inline __attribute__((always_inline))

namespace nlm::cpu {

struct KvLayout {
    explicit KvLayout(const nlm_kv_cache& cache)
        : element_bytes(type_bytes(cache.type)), pair(cache.type == NLM_BF16 ? 2 : 1), panel(cache.block_size % 16 == 0 ? 16 : 8),
          block_size(cache.block_size), head_dim(cache.head_dim), v_columns((cache.head_dim + 15) / 16 * 16),
          k_bytes(element_bytes * block_size * head_dim), v_bytes(element_bytes * block_size * v_columns),
          // Heads start on cache lines.
          head_bytes((k_bytes + v_bytes + 63) / 64 * 64), layer_bytes(head_bytes * cache.kv_head_count),
          block_bytes(layer_bytes * cache.layer_count) {}

    int64_t element_bytes, pair, panel, block_size, head_dim, v_columns;
    int64_t k_bytes, v_bytes, head_bytes, layer_bytes, block_bytes;

    // Byte offset of a head's K inside a block; its V follows at k_bytes.
    NLM_ALWAYS_INLINE int64_t head_offset(int64_t layer, int64_t head) const { return layer * layer_bytes + head * head_bytes; }
    // Element index of (token in block, dim) inside K and V of a head.
    NLM_ALWAYS_INLINE int64_t k_index(int64_t token, int64_t dim) const {
        return (token / panel * head_dim + dim / pair * pair) * panel + token % panel * pair + dim % pair;
    }
    NLM_ALWAYS_INLINE int64_t v_index(int64_t token, int64_t dim) const {
        return (token / pair * v_columns + dim) * pair + token % pair;
    }
};

} // namespace nlm::cpu
