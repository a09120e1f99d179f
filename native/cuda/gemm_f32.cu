// Linear layer in float32, the reference precision: plain tiles, and every sum is one chain of fmaf over ascending k.
#include "device/gemm_epilogue.cuh"
#include "gemm.h"

namespace nlm::simt {

namespace {

constexpr int tile_rows = 16, tile_columns = 64, tile_k = 32;
constexpr int rows_of_thread = 2, columns_of_thread = 4;
constexpr int column_threads = tile_columns / columns_of_thread; // a thread's columns are this far apart
constexpr int f32_threads = tile_rows / rows_of_thread * column_threads;
constexpr int k_stride = tile_k + 1;          // neighbouring rows begin in different banks
constexpr int sums_stride = tile_columns + 8; // as where it is read by segments in other kernels

struct F32Shared {
    Array<float, tile_rows * k_stride> x;
    Array<float, tile_columns * k_stride> weight;
    Array<float, tile_rows * sums_stride> sums;
};

// Rows from row_limit on and elements from k_limit on become zero.
template <int Rows>
NLM_DEVICE void load_tile(Array<float, Rows * k_stride>& tile, const float* source, int64_t stride, int row_limit, int k_limit) {
    for (int i = thread_index(); i < Rows * tile_k; i += f32_threads) {
        const int row = i / tile_k, k = i % tile_k;
        tile[row * k_stride + k] = row < row_limit && k < k_limit ? load(source + row * stride + k) : 0.0f;
    }
}

NLM_DEVICE void multiply(F32Shared& shared, int row, int column, float (&sums)[rows_of_thread][columns_of_thread]) {
#pragma unroll 4
    for (int k = 0; k < tile_k; ++k) {
        float weight[columns_of_thread];
#pragma unroll
        for (int j = 0; j < columns_of_thread; ++j) weight[j] = shared.weight[(column + j * column_threads) * k_stride + k];
#pragma unroll
        for (int i = 0; i < rows_of_thread; ++i) {
            const float x = shared.x[(row + i) * k_stride + k];
#pragma unroll
            for (int j = 0; j < columns_of_thread; ++j) sums[i][j] = fmaf(x, weight[j], sums[i][j]);
        }
    }
}

NLM_KERNEL NLM_LAUNCH_BOUNDS(f32_threads, 4) gemm_f32_tile(GemmParameters p) {
    auto& shared = shared_memory<F32Shared>();
    const int tiles_n = ceil_div(p.n, tile_columns);
    const int first_row = block_index() / tiles_n * tile_rows, first_column = block_index() % tiles_n * tile_columns;
    const int rows = row_count(p) - first_row; // of this tile and those below
    if (rows <= 0) return;
    const int row = thread_index() / column_threads * rows_of_thread, column = thread_index() % column_threads;
    const int64_t weight_stride = padded(p.k);
    const float* x = static_cast<const float*>(p.x) + first_row * p.x_stride;
    const float* weight = static_cast<const float*>(p.weight) + first_column * weight_stride;
    float sums[rows_of_thread][columns_of_thread] = {};
    for (int k = 0; k < p.k; k += tile_k) {
        sync_threads(); // the tiles before have been read
        load_tile<tile_rows>(shared.x, x + k, p.x_stride, rows, p.k - k);
        load_tile<tile_columns>(shared.weight, weight + k, weight_stride, tile_columns, tile_k);
        sync_threads();
        if (row < rows) multiply(shared, row, column, sums);
    }
#pragma unroll
    for (int i = 0; i < rows_of_thread; ++i)
#pragma unroll
        for (int j = 0; j < columns_of_thread; ++j)
            shared.sums[(row + i) * sums_stride + column + j * column_threads] = sums[i][j];
    sync_threads();
    with_epilogue<float>(p, [&](auto epilogue) {
        constexpr int inputs = decltype(epilogue)::inputs, per_row = tile_columns / inputs;
        for (int i = thread_index(); i < tile_rows * per_row; i += f32_threads) {
            const int sum_row = i / per_row, sum_column = i % per_row * inputs;
            if (sum_row >= rows || first_column + sum_column >= p.n) continue;
            float segment_sums[inputs];
#pragma unroll
            for (int j = 0; j < inputs; ++j) segment_sums[j] = shared.sums[sum_row * sums_stride + sum_column + j];
            epilogue(first_row + sum_row, (first_column + sum_column) * segment / inputs, segment_sums);
        }
    });
}

} // namespace

} // namespace nlm::simt

void nlm::cuda::gemm_f32(const simt::GemmParameters& p, cudaStream_t stream) {
    using namespace simt;
    const int64_t tiles = ceil_div(int64_t{p.rows_max}, int64_t{tile_rows}) * ceil_div(int64_t{p.n}, int64_t{tile_columns});
    launch(gemm_f32_tile, {tiles, 1, f32_threads, sizeof(F32Shared)}, stream, p);
}
