// The multiply-add kernel: fp32 lanes are output columns, activations are packed as fp32 [k][rows] and broadcast, weights of any
// type widen to fp32. Included once per family.
#pragma once

#include "gemm_driver.h"

namespace nlm::cpu::NLM_FAMILY {

namespace {

// Rows and panels whose sums fit the registers beside the weights and a broadcast.
#if defined(__AVX512F__)
constexpr int fma_rows = 12, fma_rows_two_panels = 12; // 32 registers, one per Lanes
#elif defined(__AVX2__)
constexpr int fma_rows = 6, fma_rows_two_panels = 2; // 16 registers, two per Lanes
#else
constexpr int fma_rows = 2, fma_rows_two_panels = 1; // 16 registers, four per Lanes
#endif

// A pair row of a bf16 panel: sixteen columns of k and sixteen of k + 1.
NLM_INLINE void load_pairs(const Bf16* p, Lanes& first, Lanes& second) {
#if defined(__AVX512F__)
    const __m512i pairs = _mm512_loadu_si512(p);
    first.v = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
    second.v = _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(0xffff0000))));
#elif defined(__AVX2__)
    const __m256i high = _mm256_set1_epi32(static_cast<int>(0xffff0000));
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 16));
    first = {_mm256_castsi256_ps(_mm256_slli_epi32(a, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(b, 16))};
    second = {_mm256_castsi256_ps(_mm256_and_si256(a, high)), _mm256_castsi256_ps(_mm256_and_si256(b, high))};
#else
    for (int i = 0; i < 16; ++i) {
        uint32_t pair;
        std::memcpy(&pair, p + 2 * i, 4);
        first.v[i] = float_of(pair << 16);
        second.v[i] = float_of(pair & 0xffff0000u);
    }
#endif
}

template <int Rows, int Panels> struct Sums {
    Lanes value[Panels][Rows];

    NLM_INLINE void add(const float* a, int panel, Lanes weight) {
#pragma GCC unroll 16
        for (int row = 0; row < Rows; ++row) value[panel][row] = fma(set(a[row]), weight, value[panel][row]);
    }
};

// Sums of Rows rows and Panels panels from `panel` over k in [0, k).
template <int Rows, int Panels, typename Element>
NLM_INLINE void sum_panels(const Element* weight, const float* a, int32_t k, const Prefetch& prefetch, Sums<Rows, Panels>& sums) {
    for (int32_t i = 0; i < k; ++i, a += Rows, weight += block_columns) {
        if constexpr (sizeof(Element) == 4)
            prefetch.at(i);
        else if (i % 2 == 0)
            prefetch.at(i / 2);
#pragma GCC unroll 2
        for (int panel = 0; panel < Panels; ++panel) sums.add(a, panel, load(weight + panel * panel_columns));
    }
}

template <int Rows, int Panels>
NLM_INLINE void sum_panels(const Bf16* weight, const float* a, int32_t k, const Prefetch& prefetch, Sums<Rows, Panels>& sums) {
    int64_t pair = 0;
    for (int32_t step = 0; step < k; step += k_step, weight += k_step * block_columns) {
        const int32_t pairs = (k - step < k_step ? k - step + 1 : k_step) / 2;
        for (int32_t i = 0; i < pairs; ++i, ++pair, a += 2 * Rows) {
            prefetch.at(pair);
#pragma GCC unroll 2
            for (int panel = 0; panel < Panels; ++panel) {
                Lanes first, second;
                load_pairs(weight + (panel * k_step / 2 + i) * block_columns, first, second);
                sums.add(a, panel, first);
                sums.add(a + Rows, panel, second);
            }
        }
    }
}

template <typename T> struct FmaKernel {
    using Element = T;
    static constexpr int row_block_rows = fma_rows;
    static constexpr int tile_floats = fma_rows * block_columns;

    static int64_t row_begin(int64_t b, int64_t blocks, int64_t rows) { return balanced_row_begin(b, blocks, rows); }
    static int64_t weight_blocks_at_once(int) { return 1; }
    // An even count of k: the last bf16 pair of an odd k has a zero.
    static int64_t packed_row_bytes(int32_t k) { return (static_cast<int64_t>(k) + 1) / 2 * 2 * 4; }

    static void pack(const nlm_gemm_args& args, int64_t first, int count, char* to) {
        const T* x = static_cast<const T*>(args.x) + first * args.x_stride;
        float* packed = reinterpret_cast<float*>(to);
        float chunk[fma_rows][16];
        for (int32_t k = 0; k < args.k; k += 16) {
            const int width = args.k - k < 16 ? args.k - k : 16;
            for (int row = 0; row < count; ++row) store(chunk[row], load_first(x + row * args.x_stride + k, width));
            const int padded = (width + 1) / 2 * 2; // load_first leaves zeros behind the row
            for (int i = 0; i < padded; ++i)
                for (int row = 0; row < count; ++row) *packed++ = chunk[row][i];
        }
    }

    void multiply(const T* weight, int, const char* packed, int rows, int32_t k, const Prefetch& prefetch, float* tile) {
        choose<fma_rows>(weight, reinterpret_cast<const float*>(packed), rows, k, prefetch, tile);
    }

private:
    template <int Rows>
    static void choose(const T* weight, const float* a, int rows, int32_t k, const Prefetch& prefetch, float* tile) {
        if (rows == Rows) return multiply_rows<Rows>(weight, a, k, prefetch, tile);
        if constexpr (Rows > 1) choose<Rows - 1>(weight, a, rows, k, prefetch, tile);
    }

    template <int Rows>
    static void multiply_rows(const T* weight, const float* a, int32_t k, const Prefetch& prefetch, float* tile) {
        constexpr int panels = Rows <= fma_rows_two_panels ? 2 : 1;
        constexpr int64_t panel_elements = std::is_same_v<T, Bf16> ? k_step * panel_columns : panel_columns;
        for (int panel = 0; panel < 2; panel += panels) {
            Sums<Rows, panels> sums{};
            sum_panels<Rows, panels>(weight + panel * panel_elements, a, k, prefetch, sums);
            for (int p = 0; p < panels; ++p)
                for (int row = 0; row < Rows; ++row)
                    store(tile + row * block_columns + (panel + p) * panel_columns, sums.value[p][row]);
        }
    }
};

} // namespace

void gemm(const GemmCall& call) {
    switch (call.args.type_weight) {
    case NLM_BF16:
        return Gemm<FmaKernel<Bf16>>(call).run();
    case NLM_F16:
        return Gemm<FmaKernel<F16>>(call).run();
    default:
        return Gemm<FmaKernel<float>>(call).run();
    }
}

} // namespace nlm::cpu::NLM_FAMILY
