// The packed form of a weight W [n, k] on the GPU, read by gemm and embed only.
//
// Row-major [n padded to 64, k padded to 64] in the weight's type; padding is zero. A K tile of a 16-bit row is 128 bytes: eight
// 16-byte chunks, one asynchronous copy each, and every row starts on a 128-byte line.
// Gate and up of a gated layer alternate: gate i is row 2 i, up i is row 2 i + 1. The two neighbouring columns that a matrix
// instruction leaves in one thread are then one gate with its up.
#pragma once

#include "simt.cuh"

namespace nlm::simt {

constexpr int k_tile = 64;         // elements of k that move and are multiplied together
constexpr int weight_padding = 64; // rows and columns

NLM_HOST_DEVICE int64_t padded(int64_t count) {
    return (count + weight_padding - 1) / weight_padding * weight_padding;
}

// Row of the packed weight that holds row `index` of a part.
NLM_HOST_DEVICE int64_t packed_row(int32_t role, int64_t index) {
    return role == NLM_ROLE_PLAIN ? index : 2 * index + (role == NLM_ROLE_UP ? 1 : 0);
}

} // namespace nlm::simt
