// philox4x32-10 (Salmon et al. 2011): a counter-based generator, so a draw needs no state but its name.
#pragma once

#include <cstdint>

namespace nlm::cpu {

// Four random words for each of Count counters (counter[i], 0, c2, c3) under one key; words[w][i]. Plain loops: every
// instruction family vectorises them, and integers are the same in all.
template <int Count> inline __attribute__((always_inline)) void philox(uint64_t key, const uint32_t (&counter)[Count],
                                                                       uint32_t c2, uint32_t c3, uint32_t (&words)[4][Count]) {
    for (int i = 0; i < Count; i++) {
        words[0][i] = counter[i];
        words[1][i] = 0;
        words[2][i] = c2;
        words[3][i] = c3;
    }
    uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < Count; i++) {
            const uint64_t a = static_cast<uint64_t>(words[0][i]) * 0xd2511f53u;
            const uint64_t b = static_cast<uint64_t>(words[2][i]) * 0xcd9e8d57u;
            const uint32_t x1 = words[1][i], x3 = words[3][i];
            words[0][i] = static_cast<uint32_t>(b >> 32) ^ x1 ^ k0;
            words[1][i] = static_cast<uint32_t>(b);
            words[2][i] = static_cast<uint32_t>(a >> 32) ^ x3 ^ k1;
            words[3][i] = static_cast<uint32_t>(a);
        }
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
}

} // namespace nlm::cpu
