// The ceilings a kernel is judged against, measured in the same run: reading memory, and multiplying without it.
#pragma once

#include <cstdint>

// Reads every byte once and returns a value that depends on them.
#define NLM_DECLARE_READ_LOOP(family)                                                                                            \
    namespace nlm::bench::family {                                                                                               \
    float read_loop(const void* memory, int64_t bytes);                                                                          \
    }
// Runs the family's matrix instruction on registers alone; returns the floating point operations done. `sink` keeps them alive.
#define NLM_DECLARE_PEAK_LOOP(family)                                                                                            \
    namespace nlm::bench::family {                                                                                               \
    double peak_loop(int64_t repeats, float* sink);                                                                              \
    }

NLM_DECLARE_READ_LOOP(scalar)
NLM_DECLARE_READ_LOOP(avx2)
NLM_DECLARE_READ_LOOP(avx512)
NLM_DECLARE_READ_LOOP(amx)
NLM_DECLARE_PEAK_LOOP(scalar)
NLM_DECLARE_PEAK_LOOP(avx2)
NLM_DECLARE_PEAK_LOOP(avx512)
NLM_DECLARE_PEAK_LOOP(avx512_bf16)
NLM_DECLARE_PEAK_LOOP(amx)
