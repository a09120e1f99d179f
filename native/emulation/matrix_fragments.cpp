// ldmatrix and mma.sync with the lane layouts of ptx.cuh.
#include "emulator_state.h"
#include "sanitized_copy.h"
#include "scheduling.h"

#include <cstring>

namespace nlm::emulation {

float value_of_bf16(uint16_t bits) {
    const uint32_t word = static_cast<uint32_t>(bits) << 16;
    float value;
    std::memcpy(&value, &word, 4);
    return value;
}

float value_of_f16(uint16_t half) {
    const uint32_t sign = (half & 0x8000u) << 16, exponent = (half >> 10) & 31u, fraction = half & 0x3ffu;
    uint32_t word;
    if (exponent == 31) {
        word = sign | 0x7f800000u | fraction << 13;
    } else if (exponent != 0) {
        word = sign | (exponent + 112u) << 23 | fraction << 13;
    } else {
        const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
        return sign != 0 ? -magnitude : magnitude;
    }
    float value;
    std::memcpy(&value, &word, 4);
    return value;
}

namespace {

constexpr int lane_count = 32;

// Rows 8 m to 8 m + 7 are one phase of the load; rows whose 16-byte chunks fall into the same four banks wait for each other.
void count_conflicts(const uintptr_t* rows, int matrices) {
    for (int matrix = 0; matrix < matrices; ++matrix) {
        int per_group[8] = {}, most = 0;
        for (int i = 0; i < 8; ++i) {
            const int users = ++per_group[rows[matrix * 8 + i] / 16 % 8];
            most = users > most ? users : most;
        }
        count(Counter::ldmatrix_conflicts, most - 1);
    }
}

struct MatrixRow {
    uint16_t elements[8];
    uintptr_t address;
};

template <int Matrices, bool Transposed> void distribute(const Lanes& lanes) {
    uintptr_t addresses[lane_count];
    for (int lane = 0; lane < lane_count; ++lane) addresses[lane] = lanes.in<MatrixRow>(lane).address;
    count_conflicts(addresses, Matrices);
    for (int lane = 0; lane < lane_count; ++lane) {
        for (int matrix = 0; matrix < Matrices; ++matrix) {
            const int group = lane / 4, pair = lane % 4 * 2;
            uint16_t low, high;
            if (Transposed) {
                low = lanes.in<MatrixRow>(matrix * 8 + pair).elements[group];
                high = lanes.in<MatrixRow>(matrix * 8 + pair + 1).elements[group];
            } else {
                low = lanes.in<MatrixRow>(matrix * 8 + group).elements[pair];
                high = lanes.in<MatrixRow>(matrix * 8 + group).elements[pair + 1];
            }
            (&lanes.out<uint32_t>(lane))[matrix] = low | static_cast<uint32_t>(high) << 16;
        }
    }
}

struct MmaOperand {
    float d[4];
    uint32_t a[4], b[2];
};

template <float (*value_of)(uint16_t)> void multiply(const Lanes& lanes) {
    float a[16][16], b[16][8]; // [row][k], [k][column]
    const auto low = [&](uint32_t word) { return value_of(static_cast<uint16_t>(word)); };
    const auto high = [&](uint32_t word) { return value_of(static_cast<uint16_t>(word >> 16)); };
    for (int lane = 0; lane < lane_count; ++lane) {
        const auto& x = lanes.in<MmaOperand>(lane);
        const int g = lane / 4, t = lane % 4 * 2;
        for (int i = 0; i < 4; ++i) {
            const int row = g + (i & 1) * 8, k = t + (i >> 1) * 8;
            a[row][k] = low(x.a[i]);
            a[row][k + 1] = high(x.a[i]);
        }
        for (int i = 0; i < 2; ++i) {
            b[t + i * 8][g] = low(x.b[i]);
            b[t + i * 8 + 1][g] = high(x.b[i]);
        }
    }
    float d[16][8];
    const auto place = [&](int lane, int i) -> float& { return d[lane / 4 + (i >> 1) * 8][lane % 4 * 2 + (i & 1)]; };
    for (int lane = 0; lane < lane_count; ++lane)
        for (int i = 0; i < 4; ++i) place(lane, i) = lanes.in<MmaOperand>(lane).d[i];
    for (int row = 0; row < 16; ++row)
        for (int k = 0; k < 16; ++k)
            for (int column = 0; column < 8; ++column) d[row][column] += a[row][k] * b[k][column];
    for (int lane = 0; lane < lane_count; ++lane)
        for (int i = 0; i < 4; ++i) (&lanes.out<float>(lane))[i] = place(lane, i);
}

} // namespace

void ldmatrix(uint32_t* r, int count, const void* row, bool transposed, Site site) {
    MatrixRow operand{{}, reinterpret_cast<uintptr_t>(row)};
    // In the lane's own fiber, so that a race or an overrun names the lane that gave the address. x2 ignores lanes 16 and up.
    if (current_thread().thread % lane_count < count * 8) {
        shared_offset(row, 16, 16, "ldmatrix");
        sanitized_copy16(operand.elements, row);
    }
    void (*const compute)(const Lanes&) = count == 4 ? (transposed ? distribute<4, true> : distribute<4, false>)
                                                     : (transposed ? distribute<2, true> : distribute<2, false>);
    collective(0xffffffffu, transposed ? "ldmatrix_trans" : "ldmatrix", site, &operand, sizeof operand, r,
               static_cast<size_t>(count) * 4, compute);
}

void mma_m16n8k16(float* d, const uint32_t* a, const uint32_t* b, bool half_precision, Site site) {
    MmaOperand operand;
    std::memcpy(operand.d, d, sizeof operand.d);
    std::memcpy(operand.a, a, sizeof operand.a);
    std::memcpy(operand.b, b, sizeof operand.b);
    collective(0xffffffffu, "mma", site, &operand, sizeof operand, d, sizeof operand.d,
               half_precision ? multiply<value_of_f16> : multiply<value_of_bf16>);
}

} // namespace nlm::emulation
