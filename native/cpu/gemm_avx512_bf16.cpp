// The bf16 dot product gemm: one instruction adds two products, k and k + 1, to sixteen fp32 sums. Activations are packed as
// pairs [k / 2][rows] and broadcast.
#include "gemm_driver.h"

namespace nlm::cpu::NLM_FAMILY {

namespace {

struct DotKernel {
    using Element = Bf16;
    static constexpr int row_block_rows = 12; // 12 rows x 2 panels of sums in 32 registers
    static constexpr int rows_two_blocks = 6; // or 6 rows x 4 panels
    static constexpr int tile_floats = row_block_rows * block_columns;

    static int64_t row_begin(int64_t b, int64_t blocks, int64_t rows) { return balanced_row_begin(b, blocks, rows); }
    static int64_t weight_blocks_at_once(int rows) { return rows <= rows_two_blocks ? 2 : 1; }
    static int64_t packed_row_bytes(int32_t k) { return (static_cast<int64_t>(k) + 1) / 2 * 4; }

    static void pack(const nlm_gemm_args& args, int64_t first, int count, char* to) {
        const Bf16* x = static_cast<const Bf16*>(args.x) + first * args.x_stride;
        uint32_t* packed = reinterpret_cast<uint32_t*>(to);
        alignas(64) uint32_t chunk[row_block_rows][16];
        for (int32_t k = 0; k < args.k; k += 32) {
            const int width = args.k - k < 32 ? args.k - k : 32;
            const __mmask32 mask = width == 32 ? ~__mmask32{0} : (__mmask32{1} << width) - 1;
            for (int row = 0; row < count; ++row)
                _mm512_store_si512(chunk[row], _mm512_maskz_loadu_epi16(mask, x + row * args.x_stride + k));
            const int pairs = (width + 1) / 2;
            for (int i = 0; i < pairs; ++i)
                for (int row = 0; row < count; ++row) *packed++ = chunk[row][i];
        }
    }

    void multiply(const Bf16* weight, int blocks, const char* packed, int rows, int32_t k, const Prefetch& prefetch,
                  float* tile) {
        const uint32_t* a = reinterpret_cast<const uint32_t*>(packed);
        if (blocks == 2)
            choose<rows_two_blocks, 2>(weight, a, rows, k, prefetch, tile);
        else
            choose<row_block_rows, 1>(weight, a, rows, k, prefetch, tile);
    }

private:
    template <int Rows, int Blocks>
    static void choose(const Bf16* weight, const uint32_t* a, int rows, int32_t k, const Prefetch& prefetch, float* tile) {
        if (rows == Rows) return multiply_rows<Rows, Blocks>(weight, a, k, prefetch, tile);
        if constexpr (Rows > 1) choose<Rows - 1, Blocks>(weight, a, rows, k, prefetch, tile);
    }

    template <int Rows, int Blocks>
    static void multiply_rows(const Bf16* weight, const uint32_t* a, int32_t k, const Prefetch& prefetch, float* tile) {
        constexpr int panels = 2 * Blocks;
        const int64_t block = padded_k(NLM_BF16, k) * block_columns;
        __m512 sums[panels][Rows] = {};
        int64_t pair = 0;
        for (int32_t step = 0; step < k; step += k_step, weight += k_step * block_columns) {
            const int32_t pairs = (k - step < k_step ? k - step + 1 : k_step) / 2;
            for (int32_t i = 0; i < pairs; ++i, ++pair, a += Rows) {
                __m512bh w[panels];
#pragma GCC unroll 4
                for (int p = 0; p < panels; ++p)
                    w[p] = (__m512bh)_mm512_load_si512(weight + p / 2 * block + (p % 2 * k_step / 2 + i) * block_columns);
                prefetch.at(pair);
                if constexpr (Blocks == 2) Prefetch{prefetch.line + 2 * block, prefetch.stride}.at(pair);
#pragma GCC unroll 12
                for (int row = 0; row < Rows; ++row) {
                    const __m512bh x = (__m512bh)_mm512_set1_epi32(static_cast<int>(a[row]));
#pragma GCC unroll 4
                    for (int p = 0; p < panels; ++p) sums[p][row] = _mm512_dpbf16_ps(sums[p][row], x, w[p]);
                }
            }
        }
        for (int p = 0; p < panels; ++p)
            for (int row = 0; row < Rows; ++row)
                _mm512_store_ps(tile + (p / 2 * Rows + row) * block_columns + p % 2 * panel_columns, sums[p][row]);
    }
};

} // namespace

void gemm(const GemmCall& call) {
    Gemm<DotKernel>(call).run();
}

} // namespace nlm::cpu::NLM_FAMILY
