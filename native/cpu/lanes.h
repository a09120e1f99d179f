// Sixteen fp32 lanes, whatever the instruction family: one spelling for kernels that are compiled once per family.
// The family follows from the compiler flags of the including file; everything lives in a namespace named after it, so the
// linker can never mix code of two families. Multiplications and additions are separate unless fma is called.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
// GCC 12 takes its own undefined-vector idiom for a use of uninitialised memory.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

#if defined(NLM_FAMILY)
// Named by the including file.
#elif defined(__AVX512BF16__)
#define NLM_FAMILY avx512_bf16
#elif defined(__AVX512F__)
#define NLM_FAMILY avx512
#elif defined(__AVX2__)
#define NLM_FAMILY avx2
#else
#define NLM_FAMILY scalar
#endif

#define NLM_INLINE inline __attribute__((always_inline))

namespace nlm::cpu::NLM_FAMILY {

struct Bf16 {
    uint16_t bits;
};
struct F16 {
    uint16_t bits;
};

NLM_INLINE uint32_t bits_of(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}
NLM_INLINE float float_of(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

// Scalar conversions, to nearest even; NaN stays NaN.
NLM_INLINE float to_float(float value) {
    return value;
}
NLM_INLINE float to_float(Bf16 value) {
    return float_of(static_cast<uint32_t>(value.bits) << 16);
}
NLM_INLINE float to_float(F16 value) {
    const uint32_t sign = static_cast<uint32_t>(value.bits & 0x8000u) << 16;
    const uint32_t magnitude = value.bits & 0x7fffu;
    if (magnitude >= 0x7c00u) return float_of(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13); // infinity, NaN
    if (magnitude >= 0x400u) return float_of(sign | ((magnitude << 13) + 0x38000000u));
    const float small = static_cast<float>(magnitude) * 0x1p-24f;
    return sign ? -small : small;
}
template <typename T> NLM_INLINE T from_float(float value);
template <> NLM_INLINE float from_float<float>(float value) {
    return value;
}
template <> NLM_INLINE Bf16 from_float<Bf16>(float value) {
    const uint32_t bits = bits_of(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return Bf16{static_cast<uint16_t>(bits >> 16 | 0x40u)};
    return Bf16{static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}
template <> NLM_INLINE F16 from_float<F16>(float value) {
    const uint32_t bits = bits_of(value);
    const uint32_t sign = bits >> 16 & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    uint32_t half;
    if (magnitude > 0x7f800000u) {
        half = 0x7e00u | (magnitude >> 13 & 0x3ffu);
    } else if (magnitude >= 0x477ff000u) {
        half = 0x7c00u; // rounds past the largest half
    } else if (magnitude >= 0x38800000u) {
        half = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
    } else {
        // Adding 0.5 leaves the subnormal half, rounded to nearest even, in the low mantissa bits.
        half = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u;
    }
    return F16{static_cast<uint16_t>(sign | half)};
}

#if defined(__AVX512F__)

struct Lanes {
    __m512 v;
};
using LaneMask = __mmask16;

NLM_INLINE LaneMask first_lanes(int count) {
    return static_cast<LaneMask>(count >= 16 ? 0xffff : (1u << count) - 1u);
}
NLM_INLINE Lanes set(float value) {
    return {_mm512_set1_ps(value)};
}
NLM_INLINE Lanes load(const float* p) {
    return {_mm512_loadu_ps(p)};
}
NLM_INLINE Lanes load(const Bf16* p) {
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16))};
}
NLM_INLINE Lanes load(const F16* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
NLM_INLINE void store(float* p, Lanes x) {
    _mm512_storeu_ps(p, x.v);
}
NLM_INLINE __m256i round_bf16(Lanes x) {
    const __m512i bits = _mm512_castps_si512(x.v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    const __mmask16 nan = _mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q);
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_mov_epi32(rounded, nan, quiet), 16));
}
NLM_INLINE void store(Bf16* p, Lanes x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), round_bf16(x));
}
NLM_INLINE void store(F16* p, Lanes x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
// Lanes from count on are 0 and their memory is not touched.
NLM_INLINE Lanes load_first(const float* p, int count) {
    return {_mm512_maskz_loadu_ps(first_lanes(count), p)};
}
NLM_INLINE __m256i load_first_halves(const void* p, int count) {
    return _mm256_maskz_loadu_epi16(first_lanes(count), p);
}
NLM_INLINE Lanes load_first(const Bf16* p, int count) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load_first_halves(p, count)), 16))};
}
NLM_INLINE Lanes load_first(const F16* p, int count) {
    return {_mm512_cvtph_ps(load_first_halves(p, count))};
}
NLM_INLINE void store_first(float* p, Lanes x, int count) {
    _mm512_mask_storeu_ps(p, first_lanes(count), x.v);
}
NLM_INLINE void store_first(Bf16* p, Lanes x, int count) {
    _mm256_mask_storeu_epi16(p, first_lanes(count), round_bf16(x));
}
NLM_INLINE void store_first(F16* p, Lanes x, int count) {
    _mm256_mask_storeu_epi16(p, first_lanes(count), _mm512_cvtps_ph(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

NLM_INLINE Lanes operator+(Lanes a, Lanes b) {
    return {_mm512_add_ps(a.v, b.v)};
}
NLM_INLINE Lanes operator-(Lanes a, Lanes b) {
    return {_mm512_sub_ps(a.v, b.v)};
}
NLM_INLINE Lanes operator*(Lanes a, Lanes b) {
    return {_mm512_mul_ps(a.v, b.v)};
}
NLM_INLINE Lanes operator/(Lanes a, Lanes b) {
    return {_mm512_div_ps(a.v, b.v)};
}
NLM_INLINE Lanes fma(Lanes a, Lanes b, Lanes c) {
    return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
// b where a is NaN or b is NaN, as the instruction has it: put the value whose NaN must survive second.
NLM_INLINE Lanes max(Lanes a, Lanes b) {
    return {_mm512_max_ps(a.v, b.v)};
}
NLM_INLINE Lanes min(Lanes a, Lanes b) {
    return {_mm512_min_ps(a.v, b.v)};
}
NLM_INLINE Lanes round(Lanes x) {
    return {_mm512_roundscale_ps(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
// x · 2ⁿ for whole n in [-126, 127].
NLM_INLINE Lanes scale(Lanes x, Lanes n) {
    return {_mm512_scalef_ps(x.v, n.v)};
}
NLM_INLINE LaneMask lanes_between(int begin, int end) {
    return static_cast<LaneMask>(first_lanes(end < 0 ? 0 : end) & ~first_lanes(begin < 0 ? 0 : begin));
}
NLM_INLINE LaneMask less(Lanes a, Lanes b) {
    return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ);
}
NLM_INLINE Lanes select(LaneMask mask, Lanes yes, Lanes no) {
    return {_mm512_mask_mov_ps(no.v, mask, yes.v)};
}

NLM_INLINE LaneMask mask_of_bits(uint32_t bits) {
    return static_cast<LaneMask>(bits);
}
NLM_INLINE Lanes load_counts(const uint16_t* p) {
    return {_mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))))};
}
// For positive normal numbers: x = mantissa · 2^exponent, mantissa in [1, 2).
NLM_INLINE Lanes mantissa_of(Lanes x, Lanes& exponent) {
    exponent = {_mm512_getexp_ps(x.v)};
    return {_mm512_getmant_ps(x.v, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src)};
}

#elif defined(__AVX2__)

struct Lanes {
    __m256 a, b;
};
struct LaneMask {
    __m256 a, b;
};

NLM_INLINE Lanes set(float value) {
    return {_mm256_set1_ps(value), _mm256_set1_ps(value)};
}
NLM_INLINE Lanes load(const float* p) {
    return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
NLM_INLINE __m256 widen_bf16(__m128i half) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}
NLM_INLINE __m128i load_halves(const void* p) {
    return _mm_loadu_si128(static_cast<const __m128i*>(p));
}
NLM_INLINE Lanes load(const Bf16* p) {
    return {widen_bf16(load_halves(p)), widen_bf16(load_halves(p + 8))};
}
NLM_INLINE Lanes load(const F16* p) {
    return {_mm256_cvtph_ps(load_halves(p)), _mm256_cvtph_ps(load_halves(p + 8))};
}
NLM_INLINE void store(float* p, Lanes x) {
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
NLM_INLINE __m256i round_bf16(__m256 x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
}
NLM_INLINE void store(Bf16* p, Lanes x) {
    const __m256i packed = _mm256_packus_epi32(round_bf16(x.a), round_bf16(x.b)); // 64-bit groups a0 b0 a1 b1
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xd8));
}
NLM_INLINE void store(F16* p, Lanes x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
NLM_INLINE Lanes operator+(Lanes x, Lanes y) {
    return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}
NLM_INLINE Lanes operator-(Lanes x, Lanes y) {
    return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}
NLM_INLINE Lanes operator*(Lanes x, Lanes y) {
    return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
NLM_INLINE Lanes operator/(Lanes x, Lanes y) {
    return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}
NLM_INLINE Lanes fma(Lanes x, Lanes y, Lanes z) {
    return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
NLM_INLINE Lanes max(Lanes x, Lanes y) {
    return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
}
NLM_INLINE Lanes min(Lanes x, Lanes y) {
    return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)};
}
NLM_INLINE Lanes round(Lanes x) {
    return {_mm256_round_ps(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
            _mm256_round_ps(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
NLM_INLINE __m256 power_of_two(__m256 n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
NLM_INLINE Lanes scale(Lanes x, Lanes n) {
    return {_mm256_mul_ps(x.a, power_of_two(n.a)), _mm256_mul_ps(x.b, power_of_two(n.b))};
}
NLM_INLINE __m256 between(__m256i index, int begin, int end) {
    return _mm256_castsi256_ps(_mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(begin), index),
                                                   _mm256_cmpgt_epi32(_mm256_set1_epi32(end), index)));
}
NLM_INLINE LaneMask lanes_between(int begin, int end) {
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return {between(index, begin, end), between(_mm256_add_epi32(index, _mm256_set1_epi32(8)), begin, end)};
}
NLM_INLINE LaneMask less(Lanes x, Lanes y) {
    return {_mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ)};
}
NLM_INLINE Lanes select(LaneMask mask, Lanes yes, Lanes no) {
    return {_mm256_blendv_ps(no.a, yes.a, mask.a), _mm256_blendv_ps(no.b, yes.b, mask.b)};
}
NLM_INLINE LaneMask mask_of_bits(uint32_t bits) {
    const __m256i one = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i low = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), one);
    const __m256i high = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits >> 8)), one);
    return {_mm256_castsi256_ps(_mm256_cmpeq_epi32(low, one)), _mm256_castsi256_ps(_mm256_cmpeq_epi32(high, one))};
}
NLM_INLINE Lanes load_counts(const uint16_t* p) {
    return {_mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(load_halves(p))),
            _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(load_halves(p + 8)))};
}
NLM_INLINE __m256 exponent_of(__m256 x) {
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srli_epi32(_mm256_castps_si256(x), 23), _mm256_set1_epi32(127)));
}
NLM_INLINE __m256 mantissa_of(__m256 x) {
    const __m256i fraction = _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffff));
    return _mm256_castsi256_ps(_mm256_or_si256(fraction, _mm256_set1_epi32(0x3f800000)));
}
NLM_INLINE Lanes mantissa_of(Lanes x, Lanes& exponent) {
    exponent = {exponent_of(x.a), exponent_of(x.b)};
    return {mantissa_of(x.a), mantissa_of(x.b)};
}

#else

// The compiler's own vectors, four SSE registers each: arrays would be unrolled lane by lane, at a cost in speed and compile
// time.
typedef float LaneVector __attribute__((vector_size(64)));
typedef int32_t LaneIntegers __attribute__((vector_size(64)));
typedef uint32_t LaneBits __attribute__((vector_size(64)));
struct Lanes {
    LaneVector v;
};
struct LaneMask {
    LaneIntegers v; // -1 or 0
};

template <typename Function> NLM_INLINE Lanes each_lane(const Function& function) {
    Lanes result;
    for (int i = 0; i < 16; i++) result.v[i] = function(i);
    return result;
}
NLM_INLINE Lanes set(float value) {
    return {value - LaneVector{}}; // keeps -0
}
template <typename T> NLM_INLINE Lanes load(const T* p) {
    return each_lane([&](int i) { return to_float(p[i]); });
}
NLM_INLINE Lanes load(const float* p) {
    Lanes x;
    std::memcpy(&x, p, sizeof x);
    return x;
}
NLM_INLINE void store(float* p, Lanes x) {
    std::memcpy(p, &x, sizeof x);
}
template <typename T> NLM_INLINE void store(T* p, Lanes x) {
    for (int i = 0; i < 16; i++) p[i] = from_float<T>(x.v[i]);
}
NLM_INLINE Lanes operator+(Lanes a, Lanes b) {
    return {a.v + b.v};
}
NLM_INLINE Lanes operator-(Lanes a, Lanes b) {
    return {a.v - b.v};
}
NLM_INLINE Lanes operator*(Lanes a, Lanes b) {
    return {a.v * b.v};
}
NLM_INLINE Lanes operator/(Lanes a, Lanes b) {
    return {a.v / b.v};
}
// Two roundings: without hardware support a true fused operation would be a library call per lane.
NLM_INLINE Lanes fma(Lanes a, Lanes b, Lanes c) {
    return {a.v * b.v + c.v};
}
NLM_INLINE Lanes max(Lanes a, Lanes b) {
    return {a.v > b.v ? a.v : b.v};
}
NLM_INLINE Lanes min(Lanes a, Lanes b) {
    return {a.v < b.v ? a.v : b.v};
}
// To nearest even for |x| < 2²²: the sum drops the fraction.
NLM_INLINE Lanes round(Lanes x) {
    return {(x.v + 12582912.0f) - 12582912.0f};
}
NLM_INLINE Lanes scale(Lanes x, Lanes n) {
    const LaneBits exponent = (LaneBits) __builtin_convertvector(n.v, LaneIntegers); // anything for NaN: its product is NaN
    return {x.v * (LaneVector)((exponent + 127u) << 23)};
}
NLM_INLINE LaneMask lanes_between(int begin, int end) {
    const LaneIntegers index{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return {(index >= begin) & (index < end)};
}
NLM_INLINE LaneMask less(Lanes a, Lanes b) {
    return {a.v < b.v};
}
NLM_INLINE Lanes select(LaneMask mask, Lanes yes, Lanes no) {
    return {mask.v ? yes.v : no.v};
}
NLM_INLINE LaneMask mask_of_bits(uint32_t bits) {
    LaneMask mask;
    for (int i = 0; i < 16; i++) mask.v[i] = -static_cast<int32_t>(bits >> i & 1);
    return mask;
}
NLM_INLINE Lanes load_counts(const uint16_t* p) {
    return each_lane([&](int i) { return static_cast<float>(p[i]); });
}
NLM_INLINE Lanes mantissa_of(Lanes x, Lanes& exponent) {
    exponent = each_lane([&](int i) { return static_cast<float>(static_cast<int>(bits_of(x.v[i]) >> 23) - 127); });
    return each_lane([&](int i) { return float_of((bits_of(x.v[i]) & 0x7fffffu) | 0x3f800000u); });
}

#endif

#if !defined(__AVX512F__)
template <typename T> NLM_INLINE Lanes load_first(const T* p, int count) {
    T whole[16] = {};
    for (int i = 0; i < count && i < 16; i++) whole[i] = p[i];
    return load(whole);
}
template <typename T> NLM_INLINE void store_first(T* p, Lanes x, int count) {
    T whole[16];
    store(whole, x);
    for (int i = 0; i < count && i < 16; i++) p[i] = whole[i];
}
#endif

// One fixed tree: halves, quarters, pairs.
#if defined(__AVX2__)
NLM_INLINE float sum_of_eight(__m256 x) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
NLM_INLINE float max_of_eight(__m256 x) {
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}
#endif
#if defined(__AVX512F__)
NLM_INLINE __m256 upper_half(__m512 x) {
    return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1));
}
NLM_INLINE float sum_of(Lanes x) {
    return sum_of_eight(_mm256_add_ps(_mm512_castps512_ps256(x.v), upper_half(x.v)));
}
NLM_INLINE float max_of(Lanes x) {
    return max_of_eight(_mm256_max_ps(_mm512_castps512_ps256(x.v), upper_half(x.v)));
}
NLM_INLINE float first_lane(Lanes x) {
    return _mm512_cvtss_f32(x.v);
}
#elif defined(__AVX2__)
NLM_INLINE float sum_of(Lanes x) {
    return sum_of_eight(_mm256_add_ps(x.a, x.b));
}
NLM_INLINE float max_of(Lanes x) {
    return max_of_eight(_mm256_max_ps(x.a, x.b));
}
NLM_INLINE float first_lane(Lanes x) {
    return _mm256_cvtss_f32(x.a);
}
#else
NLM_INLINE float sum_of(Lanes x) {
    for (int half = 8; half > 0; half /= 2) {
        for (int i = 0; i < half; i++) x.v[i] = x.v[i] + x.v[i + half];
    }
    return x.v[0];
}
NLM_INLINE float max_of(Lanes x) {
    for (int half = 8; half > 0; half /= 2) {
        for (int i = 0; i < half; i++) x.v[i] = x.v[i] > x.v[i + half] ? x.v[i] : x.v[i + half];
    }
    return x.v[0];
}
NLM_INLINE float first_lane(Lanes x) {
    return x.v[0];
}
#endif

// 2ˣ with a relative error below 2⁻²²; exactly 0 below -126; NaN stays NaN.
NLM_INLINE Lanes exp2(Lanes x) {
    const Lanes low = set(-126.0f);
    const Lanes bounded = max(low, min(set(127.99999f), x)); // second operands keep NaN
    const Lanes whole = round(min(set(127.0f), bounded));
    const Lanes f = bounded - whole;
    Lanes p = set(1.535336188319500e-4f);
    p = fma(p, f, set(1.339887440266574e-3f));
    p = fma(p, f, set(9.618437357674640e-3f));
    p = fma(p, f, set(5.550332471162809e-2f));
    p = fma(p, f, set(2.402264791363012e-1f));
    p = fma(p, f, set(6.931472028550421e-1f));
    p = fma(p, f, set(1.0f));
    return select(less(x, low), set(0.0f), scale(p, whole));
}
NLM_INLINE Lanes exp(Lanes x) {
    return exp2(x * set(1.44269504088896341f));
}
NLM_INLINE Lanes tanh(Lanes x) {
    return set(1.0f) - set(2.0f) / (exp2(x * set(2.88539008177792681f)) + set(1.0f));
}

// Natural logarithm of positive normal numbers, relative error below 2⁻²².
NLM_INLINE Lanes log(Lanes x) {
    Lanes exponent;
    Lanes mantissa = mantissa_of(x, exponent);
    const LaneMask large = less(set(1.41421356f), mantissa);
    mantissa = select(large, mantissa * set(0.5f), mantissa);
    exponent = select(large, exponent + set(1.0f), exponent);
    const Lanes f = mantissa - set(1.0f), square = f * f;
    Lanes p = set(7.0376836292e-2f);
    p = fma(p, f, set(-1.1514610310e-1f));
    p = fma(p, f, set(1.1676998740e-1f));
    p = fma(p, f, set(-1.2420140846e-1f));
    p = fma(p, f, set(1.4249322787e-1f));
    p = fma(p, f, set(-1.6668057665e-1f));
    p = fma(p, f, set(2.0000714765e-1f));
    p = fma(p, f, set(-2.4999993993e-1f));
    p = fma(p, f, set(3.3333331174e-1f));
    p = p * f * square;
    p = fma(exponent, set(-2.12194440e-4f), p); // ln 2 in two parts
    p = fma(square, set(-0.5f), p);
    return fma(exponent, set(0.693359375f), f + p);
}

} // namespace nlm::cpu::NLM_FAMILY
