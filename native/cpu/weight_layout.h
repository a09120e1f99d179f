// The packed form of a weight W [n, k], read by gemm and embed only.
//
// Columns of the product (rows of W) stand in blocks of 32 = two panels of 16. A block is one contiguous run over all of K, so a
// core that works through neighbouring blocks reads one long stream.
//   bf16      [block][k / 32][2 panels][16 pairs][16 columns][2]: K in pairs. 16 pairs of a panel are one 1 KB AMX tile, one
//             pair row is one 64-byte operand of the AVX-512 bf16 dot product. K is padded to 32 with zeros.
//   f16, f32  [block][k][2 panels][16 columns]
// Gate and up of a gated layer are the first and the second panel of a block: one tile of results holds both.
#pragma once

#include "nativelm.h"

#include <cstdint>

namespace nlm::cpu {

constexpr int32_t panel_columns = 16;
constexpr int32_t block_columns = 32;
constexpr int32_t k_step = 32;

inline int64_t block_count(int32_t n) {
    return (static_cast<int64_t>(n) + block_columns - 1) / block_columns;
}

inline int64_t padded_k(int32_t type, int32_t k) {
    return type == NLM_BF16 ? (static_cast<int64_t>(k) + k_step - 1) / k_step * k_step : k;
}

// Elements of one block.
inline int64_t block_elements(int32_t type, int32_t k) {
    return padded_k(type, k) * block_columns;
}

// Element (k index, column of the block) counted from the start of its block.
inline int64_t element_in_block(int32_t type, int32_t k_index, int32_t column) {
    if (type != NLM_BF16) return static_cast<int64_t>(k_index) * block_columns + column;
    const int64_t step = k_index / k_step, pair = k_index % k_step / 2, panel = column / panel_columns;
    return ((step * 2 + panel) * (k_step / 2) + pair) * (2 * panel_columns) + column % panel_columns * 2 + k_index % 2;
}

} // namespace nlm::cpu
