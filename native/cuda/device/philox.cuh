// philox4x32-10 (Salmon et al. 2011): a counter-based generator, so a draw needs no state but its name. The words are those of
// the CPU backend bit for bit.
#pragma once

#include "simt.cuh"

namespace nlm::simt {

struct PhiloxWords {
    uint32_t word[4];
};

// Four random words for the counter (counter, 0, c2, 0) under the key.
NLM_DEVICE PhiloxWords philox(uint64_t key, uint32_t counter, uint32_t c2) {
    uint32_t x0 = counter, x1 = 0, x2 = c2, x3 = 0;
    uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
        const uint64_t a = static_cast<uint64_t>(x0) * 0xd2511f53u, b = static_cast<uint64_t>(x2) * 0xcd9e8d57u;
        x0 = static_cast<uint32_t>(b >> 32) ^ x1 ^ k0;
        x1 = static_cast<uint32_t>(b);
        x2 = static_cast<uint32_t>(a >> 32) ^ x3 ^ k1;
        x3 = static_cast<uint32_t>(a);
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    return {{x0, x1, x2, x3}};
}

} // namespace nlm::simt
