// The AMX gemm: tiles for every row count, so a row's bits never depend on how many rows stand beside it. Activations are packed
// in tile order [16 rows][k / 32][rows x 64 bytes], since rows of a power-of-two stride would share one set of the L1 cache.
#pragma once

#include "amx_tiles.h"
#include "gemm_driver.h"

namespace nlm::cpu::NLM_FAMILY {

namespace {

struct TileKernel {
    using Element = Bf16;
    static constexpr int tile_rows = 16;
    static constexpr int row_block_rows = 2 * tile_rows;
    static constexpr int tile_floats = row_block_rows * block_columns;
    static constexpr int64_t tile_bytes = 1024;

    ~TileKernel() {
        if (upper_ > 0) release_tiles(); // tile state makes context switches dearer
    }

    static int64_t row_begin(int64_t b, int64_t, int64_t rows) { return b * row_block_rows < rows ? b * row_block_rows : rows; }
    static int64_t weight_blocks_at_once(int rows) { return rows <= tile_rows ? 2 : 1; }
    static int64_t packed_row_bytes(int32_t k) { return padded_k(NLM_BF16, k) * 2; }

    static void pack(const nlm_gemm_args& args, int64_t first, int count, char* to) {
        const Bf16* x = static_cast<const Bf16*>(args.x) + first * args.x_stride;
        const int64_t tile_strip = packed_row_bytes(args.k) * tile_rows;
        for (int row = 0; row < count; ++row) {
            char* out = to + row / tile_rows * tile_strip + row % tile_rows * 64;
            for (int32_t k = 0; k < args.k; k += k_step, out += tile_bytes) {
                const int32_t width = args.k - k < k_step ? args.k - k : k_step;
                std::memcpy(out, x + row * args.x_stride + k, static_cast<size_t>(width) * 2);
                if (width < k_step) std::memset(out + width * 2, 0, static_cast<size_t>(k_step - width) * 2);
            }
        }
    }

    void multiply(const Bf16* weight, int blocks, const char* packed, int rows, int32_t k, const Prefetch& prefetch,
                  float* tile) {
        configure(rows);
        const int64_t steps = padded_k(NLM_BF16, k) / k_step;
        const char* w = reinterpret_cast<const char*>(weight);
        if (rows > tile_rows)
            two_by_two(w, packed, packed + steps * tile_bytes, steps, prefetch, tile);
        else if (blocks == 2)
            one_by_four(w, packed, steps, rows, tile);
        else
            one_by_two(w, packed, steps, tile);
    }

private:
    void configure(int rows) {
        const int upper = rows < tile_rows ? rows : tile_rows, lower = rows - upper;
        // One row tile and four panels: sums 2 and 3 belong to the same rows as 0 and 1.
        const int lower_sums = lower > 0 ? lower : upper;
        if (upper == upper_ && lower_sums == lower_) return;
        upper_ = upper;
        lower_ = lower_sums;
        configure_tiles(tile_configuration(upper_, lower_));
    }

    // 32 rows x 32 columns.
    static void two_by_two(const char* w, const char* a, const char* b, int64_t steps, const Prefetch& prefetch, float* tile) {
        zero_sums();
        for (int64_t step = 0; step < steps; ++step, w += 2 * tile_bytes, a += tile_bytes, b += tile_bytes) {
            prefetch_step(prefetch, step);
            NLM_TILE_LOAD(4, a, 64);
            NLM_TILE_LOAD(5, b, 64);
            NLM_TILE_LOAD(6, w, 64);
            NLM_TILE_LOAD(7, w + tile_bytes, 64);
            NLM_TILE_DOT(0, 4, 6);
            NLM_TILE_DOT(1, 4, 7);
            NLM_TILE_DOT(2, 5, 6);
            NLM_TILE_DOT(3, 5, 7);
        }
        float* lower = tile + tile_rows * block_columns;
        NLM_TILE_STORE(0, tile, block_columns * 4);
        NLM_TILE_STORE(1, tile + panel_columns, block_columns * 4);
        NLM_TILE_STORE(2, lower, block_columns * 4);
        NLM_TILE_STORE(3, lower + panel_columns, block_columns * 4);
    }

    // Up to 16 rows x 64 columns: two weight blocks.
    static void one_by_four(const char* w, const char* a, int64_t steps, int rows, float* tile) {
        zero_sums();
        const char* second = w + steps * 2 * tile_bytes;
        for (int64_t step = 0; step < steps; ++step, w += 2 * tile_bytes, second += 2 * tile_bytes, a += tile_bytes) {
            NLM_TILE_LOAD(4, a, 64);
            NLM_TILE_LOAD(6, w, 64);
            NLM_TILE_LOAD(7, w + tile_bytes, 64);
            NLM_TILE_DOT(0, 4, 6);
            NLM_TILE_DOT(1, 4, 7);
            NLM_TILE_LOAD(6, second, 64);
            NLM_TILE_LOAD(7, second + tile_bytes, 64);
            NLM_TILE_DOT(2, 4, 6);
            NLM_TILE_DOT(3, 4, 7);
        }
        float* next = tile + rows * block_columns;
        NLM_TILE_STORE(0, tile, block_columns * 4);
        NLM_TILE_STORE(1, tile + panel_columns, block_columns * 4);
        NLM_TILE_STORE(2, next, block_columns * 4);
        NLM_TILE_STORE(3, next + panel_columns, block_columns * 4);
    }

    // Up to 16 rows x 32 columns: the last weight block of an odd count.
    static void one_by_two(const char* w, const char* a, int64_t steps, float* tile) {
        zero_sums();
        for (int64_t step = 0; step < steps; ++step, w += 2 * tile_bytes, a += tile_bytes) {
            NLM_TILE_LOAD(4, a, 64);
            NLM_TILE_LOAD(6, w, 64);
            NLM_TILE_LOAD(7, w + tile_bytes, 64);
            NLM_TILE_DOT(0, 4, 6);
            NLM_TILE_DOT(1, 4, 7);
        }
        NLM_TILE_STORE(0, tile, block_columns * 4);
        NLM_TILE_STORE(1, tile + panel_columns, block_columns * 4);
    }

    static void zero_sums() {
        NLM_TILE_ZERO(0);
        NLM_TILE_ZERO(1);
        NLM_TILE_ZERO(2);
        NLM_TILE_ZERO(3);
    }

    // A step reads 2 KB of weights = 16 times 128 bytes.
    static void prefetch_step(const Prefetch& prefetch, int64_t step) {
        for (int64_t i = 0; i < 16; ++i) prefetch.at(step * 16 + i);
    }

    int upper_ = 0, lower_ = 0; // rows the tiles are configured for
};

} // namespace

void gemm(const GemmCall& call) {
    Gemm<TileKernel>(call).run();
}

} // namespace nlm::cpu::NLM_FAMILY
