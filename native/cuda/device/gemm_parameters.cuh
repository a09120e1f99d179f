// One linear layer as its kernels see it, and how k is cut.
#pragma once

#include "weight_layout.cuh"

namespace nlm::simt {

struct GemmParameters {
    void* out;
    const void* x;
    const void* weight;
    const void* bias;
    const void* residual;
    const int32_t* rows; // device count of the whole call, or null
    float* partials;     // sums that wait for the other splits of k
    int64_t x_stride, out_stride;
    int32_t rows_total; // limit of the whole call
    int32_t row_first;  // rows of the call before x and out begin
    int32_t rows_max;   // limit of this launch
    int32_t n, k;
    int32_t k_tiles, splits;
    int32_t epilogue;
    bool out_is_float;
    bool vector_out;   // rows of out and residual are aligned to 16 bytes
    bool split_blocks; // each block computes one split into partials; gemm_reduce adds them
};

// True rows of this launch.
NLM_DEVICE int row_count(const GemmParameters& p) {
    const int rows = true_count(p.rows, p.rows_total) - p.row_first;
    return rows < 0 ? 0 : rows < p.rows_max ? rows : p.rows_max;
}

// K tiles [first, last) of one split. A sum over k is p0 + p1 + …, added in that order, with p_s one chain of matrix instructions
// over its split in ascending k that starts from zero. The split count is a function of (n, k) alone, so every kernel and every
// row count gives the same bits.
struct KRange {
    int first, last;
};
NLM_DEVICE KRange split_range(const GemmParameters& p, int split) {
    return {p.k_tiles * split / p.splits, p.k_tiles * (split + 1) / p.splits};
}

} // namespace nlm::simt
