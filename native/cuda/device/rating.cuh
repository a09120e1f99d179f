// A token's rating: one integer that orders tokens of a row by value, equal values by the lower token first. No two tokens of a
// row have the same rating, so maxima, counts and thresholds over ratings do not depend on the order of the work.
#pragma once

#include "simt.cuh"

namespace nlm::simt {

// Orders as floats do, with both zeros equal.
NLM_DEVICE uint32_t key_of(float value) {
    const uint32_t bits = bit_cast<uint32_t>(value + 0.0f);
    return (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
}
NLM_DEVICE uint64_t rating_of(float value, int token) {
    return (static_cast<uint64_t>(key_of(value)) << 32) | ~static_cast<uint32_t>(token);
}
// The lowest rating of tokens that reach the value.
NLM_DEVICE uint64_t lowest_rating(float value) {
    return static_cast<uint64_t>(key_of(value)) << 32;
}
NLM_DEVICE float value_of(uint64_t rating) {
    const uint32_t key = static_cast<uint32_t>(rating >> 32);
    return bit_cast<float>((key >> 31) != 0 ? key & 0x7fffffffu : ~key);
}
NLM_DEVICE int token_of(uint64_t rating) {
    return static_cast<int>(~static_cast<uint32_t>(rating));
}

// Above every token: the rating of what is NaN or +inf, which a maximum then reports.
constexpr uint64_t nonfinite_rating = ~uint64_t{0};

} // namespace nlm::simt
