// The eight AMX tile registers as the gemm uses them: either the real instructions, or (NLM_EMULATE_AMX) a software model of
// them, so that the kernel's indexing is tested on machines without AMX.
//
// Tiles 0-3 hold sums (rows x 16 fp32), 4-5 activations (rows x 32 bf16), 6-7 weights (16 pair rows x 64 bytes).
#pragma once

#include "lanes.h"

#include <cstdint>
#include <cstring>

namespace nlm::cpu::NLM_FAMILY {

namespace {

struct alignas(64) TileConfiguration {
    uint8_t palette = 1, start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfiguration) == 64);

// Sums 0, 1 and activations 4 have `upper` rows; sums 2, 3 and activations 5 have `lower` rows (0: not used).
NLM_INLINE TileConfiguration tile_configuration(int upper, int lower) {
    TileConfiguration configuration;
    const int rows[8] = {upper, upper, lower, lower, upper, lower, 16, 16};
    for (int tile = 0; tile < 8; ++tile) {
        configuration.row_bytes[tile] = rows[tile] > 0 ? 64 : 0;
        configuration.rows[tile] = static_cast<uint8_t>(rows[tile]);
    }
    return configuration;
}

#if !defined(NLM_EMULATE_AMX)

// The intrinsic of g++ 12 declares only 8 of the 64 bytes as read: without the barrier the stores before it may be dropped. The
// memory clobber also keeps the stores of packed activations before the tile loads, which declare no memory at all.
NLM_INLINE void configure_tiles(const TileConfiguration& configuration) {
    __asm__ volatile("" : : "r"(&configuration) : "memory");
    _tile_loadconfig(&configuration);
}
NLM_INLINE void release_tiles() {
    _tile_release();
}

#define NLM_TILE_ZERO(tile) _tile_zero(tile)
#define NLM_TILE_LOAD(tile, base, stride) _tile_loadd(tile, base, stride)
#define NLM_TILE_STORE(tile, base, stride) _tile_stored(tile, base, stride)
#define NLM_TILE_DOT(sum, activations, weights) _tile_dpbf16ps(sum, activations, weights)

#else

// Per thread, like the registers.
struct TileModel {
    TileConfiguration configuration;
    uint8_t data[8][16][64];

    void zero(int tile) { std::memset(data[tile], 0, sizeof data[tile]); }
    void load(int tile, const void* base, int64_t stride) {
        zero(tile);
        for (int row = 0; row < configuration.rows[tile]; ++row)
            std::memcpy(data[tile][row], static_cast<const char*>(base) + row * stride, configuration.row_bytes[tile]);
    }
    void store(int tile, void* base, int64_t stride) const {
        for (int row = 0; row < configuration.rows[tile]; ++row)
            std::memcpy(static_cast<char*>(base) + row * stride, data[tile][row], configuration.row_bytes[tile]);
    }
    // TDPBF16PS: even and odd products are summed apart over the tile, then together onto the sums.
    void dot(int sum, int activations, int weights) {
        for (int row = 0; row < configuration.rows[sum]; ++row) {
            for (int column = 0; column < 16; ++column) {
                float parts[2] = {0, 0};
                for (int pair = 0; pair < 16; ++pair)
                    for (int odd = 0; odd < 2; ++odd)
                        parts[odd] = std::fma(element(activations, row, 2 * pair + odd), element(weights, pair, 2 * column + odd),
                                              parts[odd]);
                float total;
                std::memcpy(&total, data[sum][row] + 4 * column, 4);
                total += parts[0] + parts[1];
                std::memcpy(data[sum][row] + 4 * column, &total, 4);
            }
        }
    }

private:
    float element(int tile, int row, int index) const {
        Bf16 value;
        std::memcpy(&value, data[tile][row] + 2 * index, 2);
        return to_float(value);
    }
};

inline TileModel& tile_model() {
    static thread_local TileModel model;
    return model;
}
inline void configure_tiles(const TileConfiguration& configuration) {
    tile_model().configuration = configuration;
    for (int tile = 0; tile < 8; ++tile) tile_model().zero(tile);
}
inline void release_tiles() {
    tile_model().configuration = {};
}

#define NLM_TILE_ZERO(tile) tile_model().zero(tile)
#define NLM_TILE_LOAD(tile, base, stride) tile_model().load(tile, base, stride)
#define NLM_TILE_STORE(tile, base, stride) tile_model().store(tile, base, stride)
#define NLM_TILE_DOT(sum, activations, weights) tile_model().dot(sum, activations, weights)

#endif

} // namespace

} // namespace nlm::cpu::NLM_FAMILY
