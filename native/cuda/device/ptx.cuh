// The only file with inline PTX. Each wrapper has a device body and an emulated one that reproduces the lane layout of the PTX
// manual exactly, so a wrong index in a kernel gives a wrong result without a GPU too. Included by simt.cuh.
#pragma once

#include "simt.cuh"

#include <cmath>

namespace nlm::simt {

#if defined(__CUDACC__)
#define NLM_ON_DEVICE defined(__CUDA_ARCH__)
#endif

// ---- conversions: round to nearest even, NaN becomes the canonical NaN ----

namespace detail {

NLM_HOST_DEVICE uint16_t bf16_bits(float value) {
    const uint32_t bits = bit_cast<uint32_t>(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

NLM_HOST_DEVICE uint16_t f16_bits(float value) {
    const uint32_t bits = bit_cast<uint32_t>(value), sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return 0x7fff;
    if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u); // rounds past 65504
    // Below the normal numbers of f16: adding 1/2 rounds to its spacing of 2^-24.
    if (magnitude < 0x38800000u)
        return static_cast<uint16_t>(sign | (bit_cast<uint32_t>(bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u));
    const uint32_t rebased = magnitude - 0x38000000u;
    return static_cast<uint16_t>(sign | ((rebased + 0xfffu + ((rebased >> 13) & 1u)) >> 13));
}

NLM_HOST_DEVICE float f16_value(uint16_t half) {
    const uint32_t sign = (half & 0x8000u) << 16, exponent = (half >> 10) & 31u, fraction = half & 0x3ffu;
    if (exponent == 31) return bit_cast<float>(sign | 0x7f800000u | (fraction << 13));
    if (exponent != 0) return bit_cast<float>(sign | ((exponent + 112u) << 23) | (fraction << 13));
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
}

} // namespace detail

NLM_HOST_DEVICE float to_float(float value) {
    return value;
}
NLM_HOST_DEVICE float to_float(bf16 value) {
    return bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}
NLM_HOST_DEVICE float to_float(f16 value) {
#if defined(__CUDA_ARCH__)
    float result;
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
    return result;
#else
    return detail::f16_value(value.bits);
#endif
}

template <typename T> NLM_HOST_DEVICE T from_float(float value);
template <> NLM_HOST_DEVICE float from_float<float>(float value) {
    return value;
}
template <> NLM_HOST_DEVICE bf16 from_float<bf16>(float value) {
#if defined(__CUDA_ARCH__)
    bf16 result;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
    return result;
#else
    return {detail::bf16_bits(value)};
#endif
}
template <> NLM_HOST_DEVICE f16 from_float<f16>(float value) {
#if defined(__CUDA_ARCH__)
    f16 result;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
    return result;
#else
    return {detail::f16_bits(value)};
#endif
}

// Two values in one word, the first in the low half: the form of matrix fragments.
template <typename T> NLM_HOST_DEVICE uint32_t pack2(float low, float high) {
#if defined(__CUDA_ARCH__)
    uint32_t word;
    if constexpr (std::is_same_v<T, bf16>)
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    else
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
#else
    return from_float<T>(low).bits | (static_cast<uint32_t>(from_float<T>(high).bits) << 16);
#endif
}
template <typename T> NLM_HOST_DEVICE void unpack2(uint32_t word, float& low, float& high) {
    low = to_float(T{static_cast<uint16_t>(word & 0xffffu)});
    high = to_float(T{static_cast<uint16_t>(word >> 16)});
}

// 2^x within 2 ulp of float; subnormal results are zero.
NLM_DEVICE float exp2_approx(float x) {
#if defined(__CUDA_ARCH__)
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
#else
    const float result = std::exp2(x);
    return result < 0x1p-126f ? 0.0f : result;
#endif
}

// The value itself, but hidden from the compiler: what follows from it is computed again where it is used, instead of being kept
// in registers across a loop whose body needs them.
NLM_DEVICE int recomputed(int value) {
#if defined(__CUDA_ARCH__)
    asm volatile("" : "+r"(value));
#endif
    return value;
}

// ---- streamed loads: bytes read once, which should not push others out of the caches ----

template <typename V> NLM_DEVICE V load_vector_streaming(const void* p) {
    static_assert(sizeof(V) == 16, "streamed loads are 16 bytes wide");
#if defined(__CUDA_ARCH__)
    Vec<uint32_t, 4> words;
    asm volatile("{\n.reg .b64 policy;\n"
                 "createpolicy.fractional.L2::evict_first.b64 policy, 1.0;\n"
                 "ld.global.nc.L1::no_allocate.L2::cache_hint.v4.u32 {%0, %1, %2, %3}, [%4], policy;\n}"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "l"(p));
    return bit_cast<V>(words);
#else
    return load_vector<V>(p);
#endif
}

// ---- asynchronous copies of 16 bytes to shared memory ----

#if defined(__CUDACC__)
NLM_DEVICE uint32_t shared_address(const void* p) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}
#endif

// Starts a copy that is complete after a cp_async_wait that covers its group and a barrier. Not valid: writes zeros, reads
// nothing.
NLM_DEVICE void cp_async16(void* shared, const void* global, bool valid = true) {
#if defined(__CUDACC__)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(valid ? 16 : 0)
                 : "memory");
#else
    emulation::cp_async16(shared, global, valid);
#endif
}
// The same for bytes that are read once.
NLM_DEVICE void cp_async16_streaming(void* shared, const void* global, bool valid = true) {
#if defined(__CUDACC__)
    asm volatile("{\n.reg .b64 policy;\n"
                 "createpolicy.fractional.L2::evict_first.b64 policy, 1.0;\n"
                 "cp.async.cg.shared.global.L2::cache_hint [%0], [%1], 16, %2, policy;\n}" ::"r"(shared_address(shared)),
                 "l"(global), "r"(valid ? 16 : 0)
                 : "memory");
#else
    emulation::cp_async16(shared, global, valid);
#endif
}
NLM_DEVICE void cp_async_commit() {
#if defined(__CUDACC__)
    asm volatile("cp.async.commit_group;" ::: "memory");
#else
    emulation::cp_async_commit();
#endif
}
// Waits until at most Pending of this thread's newest groups are still under way.
template <int Pending> NLM_DEVICE void cp_async_wait() {
#if defined(__CUDACC__)
    asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
#else
    emulation::cp_async_wait(Pending);
#endif
}

// ---- matrix fragments ----

// Loads 8x8 matrices of 16-bit elements. Lane i gives the address of row i % 8 of matrix i / 8 (16 bytes, aligned); it receives
// from matrix m, in r[m], elements 2 (i % 4) and 2 (i % 4) + 1 of row i / 4; with _trans, of column i / 4. For x2 the addresses
// of lanes 16 and up are not used.
#if defined(__CUDACC__)
#define NLM_LDMATRIX_X4(suffix, modifier)                                                                                        \
    NLM_DEVICE void ldmatrix_x4##suffix(uint32_t(&r)[4], const void* row) {                                                      \
        asm volatile("ldmatrix.sync.aligned.m8n8.x4" modifier ".shared.b16 {%0, %1, %2, %3}, [%4];"                              \
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])                                                            \
                     : "r"(shared_address(row))                                                                                  \
                     : "memory");                                                                                                \
    }
#define NLM_LDMATRIX_X2(suffix, modifier)                                                                                        \
    NLM_DEVICE void ldmatrix_x2##suffix(uint32_t(&r)[2], const void* row) {                                                      \
        asm volatile("ldmatrix.sync.aligned.m8n8.x2" modifier ".shared.b16 {%0, %1}, [%2];"                                      \
                     : "=r"(r[0]), "=r"(r[1])                                                                                    \
                     : "r"(shared_address(row))                                                                                  \
                     : "memory");                                                                                                \
    }
NLM_LDMATRIX_X4(, "")
NLM_LDMATRIX_X4(_trans, ".trans")
NLM_LDMATRIX_X2(, "")
NLM_LDMATRIX_X2(_trans, ".trans")
#else
inline void ldmatrix_x4(uint32_t (&r)[4], const void* row, NLM_CALLER) {
    emulation::ldmatrix(r, 4, row, false, {file, line});
}
inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row, NLM_CALLER) {
    emulation::ldmatrix(r, 4, row, true, {file, line});
}
inline void ldmatrix_x2(uint32_t (&r)[2], const void* row, NLM_CALLER) {
    emulation::ldmatrix(r, 2, row, false, {file, line});
}
inline void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row, NLM_CALLER) {
    emulation::ldmatrix(r, 2, row, true, {file, line});
}
#endif

// d += a · b for 16x16 by 16x8, fp32 accumulation. With g = lane / 4 and t = lane % 4 a lane holds
//   a: {(g, 2t), (g, 2t+1)}, {(g+8, 2t), …}, {(g, 2t+8), …}, {(g+8, 2t+8), …}     (row, k)
//   b: {(2t, g), (2t+1, g)}, {(2t+8, g), …}                                        (k, column)
//   d: (g, 2t), (g, 2t+1), (g+8, 2t), (g+8, 2t+1)                                  (row, column)
template <typename T> NLM_DEVICE void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    static_assert(std::is_same_v<T, bf16> || std::is_same_v<T, f16>, "16-bit operands");
#if defined(__CUDACC__)
    if constexpr (std::is_same_v<T, bf16>)
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    else
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    emulation::mma_m16n8k16(d, a, b, std::is_same_v<T, f16>);
#endif
}

} // namespace nlm::simt
