// Test data: seeded random values, storage types and their plain-double meaning. Written apart from the library's conversions.
#pragma once

#include "harness.h"
#include "nativelm.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace nlm::tests {

inline int64_t bytes_of(int32_t type) {
    return type == NLM_F32 ? 4 : 2;
}

inline std::vector<int32_t> float_types() {
    if (quick()) return {NLM_F32, NLM_BF16}; // f16 takes the paths of bf16
    return {NLM_F32, NLM_BF16, NLM_F16};
}

inline const char* type_name(int32_t type) {
    return type == NLM_F32 ? "f32" : type == NLM_BF16 ? "bf16" : "f16";
}

inline double decode(int32_t type, const unsigned char* p) {
    if (type == NLM_F32) {
        float value;
        std::memcpy(&value, p, 4);
        return value;
    }
    uint16_t bits;
    std::memcpy(&bits, p, 2);
    if (type == NLM_BF16) return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
    const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    const double magnitude = exponent == 31  ? (mantissa ? NAN : INFINITY)
                             : exponent == 0 ? std::ldexp(mantissa, -24)
                                             : std::ldexp(1024 + mantissa, exponent - 25);
    return bits & 0x8000 ? -magnitude : magnitude;
}

// Nearest value with `digits` binary digits, ties to even; smallest exponent as given.
inline double round_to(double value, int digits, int smallest_exponent) {
    if (value == 0 || !std::isfinite(value)) return value;
    int exponent;
    std::frexp(value, &exponent);
    const int unit = std::max(exponent - digits, smallest_exponent);
    return std::ldexp(std::nearbyint(std::ldexp(value, -unit)), unit);
}

// Nearest value of the storage type (no overflow handling: test data is small).
inline double rounded(int32_t type, double value) {
    return type == NLM_F32 ? round_to(value, 24, -149) : type == NLM_BF16 ? round_to(value, 8, -133) : round_to(value, 11, -24);
}

inline void encode(int32_t type, double value, unsigned char* p) {
    const double nearest = rounded(type, value);
    if (type == NLM_F16) {
        uint16_t bits = nearest < 0 || (nearest == 0 && std::signbit(nearest)) ? 0x8000 : 0;
        const double magnitude = std::fabs(nearest);
        if (magnitude >= std::ldexp(1, -14)) {
            int exponent;
            const double fraction = std::frexp(magnitude, &exponent); // [0.5, 1)
            bits |= static_cast<uint16_t>((exponent + 14) << 10 | (static_cast<int>(std::ldexp(fraction, 11)) & 1023));
        } else {
            bits |= static_cast<uint16_t>(std::ldexp(magnitude, 24));
        }
        std::memcpy(p, &bits, 2);
        return;
    }
    const float single = static_cast<float>(nearest);
    const uint32_t bits = std::bit_cast<uint32_t>(single);
    const uint16_t upper = static_cast<uint16_t>(bits >> 16);
    if (type == NLM_F32)
        std::memcpy(p, &bits, 4);
    else
        std::memcpy(p, &upper, 2);
}

// xorshift: the same numbers on every machine.
class Random {
public:
    explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ULL + 1) {}
    uint64_t next() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return state_ * 0x2545f4914f6cdd1dULL;
    }
    // In [-1, 1).
    double uniform() { return static_cast<double>(static_cast<int64_t>(next())) * 0x1p-63; }
    int integer(int low, int high) { return low + static_cast<int>(next() % static_cast<uint64_t>(high - low + 1)); }

private:
    uint64_t state_;
};

// Row-major matrix in a storage type.
struct Matrix {
    int32_t type = NLM_F32;
    int64_t rows = 0, columns = 0, stride = 0;
    std::vector<unsigned char> data;

    Matrix(int32_t type, int64_t rows, int64_t columns, int64_t stride = 0)
        : type(type), rows(rows), columns(columns), stride(stride ? stride : columns),
          data(static_cast<size_t>(rows * this->stride * bytes_of(type))) {}

    unsigned char* at(int64_t row, int64_t column) { return data.data() + (row * stride + column) * bytes_of(type); }
    double get(int64_t row, int64_t column) const { return decode(type, data.data() + (row * stride + column) * bytes_of(type)); }
    void set(int64_t row, int64_t column, double value) { encode(type, value, at(row, column)); }

    // Padding between the columns and the stride becomes NaN: reading it shows.
    void fill(const auto& value_of) {
        for (int64_t row = 0; row < rows; ++row) {
            for (int64_t column = 0; column < columns; ++column) set(row, column, value_of(row, column));
            for (int64_t column = columns; column < stride; ++column)
                std::memset(at(row, column), 0xff, static_cast<size_t>(bytes_of(type)));
        }
    }
    void randomize(uint64_t seed, double scale = 1) {
        Random random(seed);
        fill([&](int64_t, int64_t) { return random.uniform() * scale; });
    }
};

} // namespace nlm::tests
