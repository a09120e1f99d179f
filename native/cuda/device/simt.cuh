// The one vocabulary of the kernels: real CUDA under nvcc, the SIMT emulator under a plain C++ compiler. Kernels include this
// header and ptx.cuh, nothing else of CUDA, so that every line of a kernel runs, is checked and is raced on machines without a
// GPU.
//
// Rules that keep both readings equal: one-dimensional blocks of whole warps; full-warp collectives unless a branch is uniform
// over the warp; every thread reaches every sync_threads; shared memory is one struct per kernel whose arrays are Array<T, N>;
// global memory is touched through load, store and the atomics below; no communication between blocks but counters that reset
// themselves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#define NLM_KERNEL __global__ void
#define NLM_DEVICE __device__ __forceinline__
#define NLM_HOST_DEVICE __host__ __device__ __forceinline__
#define NLM_LAUNCH_BOUNDS(threads, blocks_per_multiprocessor) __launch_bounds__(threads, blocks_per_multiprocessor)
#else
#include "simt_emulator.h"
#define NLM_KERNEL void
#define NLM_DEVICE inline
#define NLM_HOST_DEVICE inline
#define NLM_LAUNCH_BOUNDS(threads, blocks_per_multiprocessor)
#endif

namespace nlm::simt {

constexpr int warp_size = 32;
constexpr uint32_t full_mask = 0xffffffffu;

// ---- values ----

// 16-bit storage types; arithmetic is in float.
struct bf16 {
    uint16_t bits;
};
struct f16 {
    uint16_t bits;
};

// N elements that move by one access of 2, 4, 8 or 16 bytes.
template <typename Element, int N> struct alignas(sizeof(Element) * N) Vec {
    static_assert(sizeof(Element) * N <= 16, "the widest access is 16 bytes");
    Element v[N];
    NLM_HOST_DEVICE Element& operator[](int i) { return v[i]; }
    NLM_HOST_DEVICE const Element& operator[](int i) const { return v[i]; }
};

// An array in shared memory, bounds-checked when emulated.
template <typename T, int N> struct Array {
    T values[N];
    static constexpr int size() { return N; }
    NLM_DEVICE T* data() { return values; }
#if defined(__CUDACC__)
    NLM_DEVICE T& operator[](int i) {
        return values[i];
    }
#else
    NLM_DEVICE T& operator[](int i) {
        if (i < 0 || i >= N) emulation::fail("shared array of %d elements: index %d", N, i);
        return values[i];
    }
#endif
};

NLM_HOST_DEVICE int ceil_div(int a, int b) {
    return (a + b - 1) / b;
}
NLM_HOST_DEVICE int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

template <typename To, typename From> NLM_HOST_DEVICE To bit_cast(const From& from) {
    static_assert(sizeof(To) == sizeof(From), "bit_cast keeps the size");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

#if defined(__CUDACC__)

// ---- where a thread is ----

NLM_DEVICE int thread_index() {
    return static_cast<int>(threadIdx.x);
}
NLM_DEVICE int thread_count() {
    return static_cast<int>(blockDim.x);
}
NLM_DEVICE int block_index() {
    return static_cast<int>(blockIdx.x);
}
NLM_DEVICE int block_index_y() {
    return static_cast<int>(blockIdx.y);
}
NLM_DEVICE int block_count() {
    return static_cast<int>(gridDim.x);
}
NLM_DEVICE int block_count_y() {
    return static_cast<int>(gridDim.y);
}

// ---- order and exchange ----

NLM_DEVICE void sync_threads() {
    __syncthreads();
}
NLM_DEVICE void sync_warp(uint32_t mask = full_mask) {
    __syncwarp(mask);
}
NLM_DEVICE void thread_fence() {
    __threadfence();
}
template <typename T> NLM_DEVICE T shuffle(T value, int source_lane) {
    return __shfl_sync(full_mask, value, source_lane);
}
template <typename T> NLM_DEVICE T shuffle_xor(T value, int mask) {
    return __shfl_xor_sync(full_mask, value, mask);
}
template <typename T> NLM_DEVICE T shuffle_up(T value, int delta) {
    return __shfl_up_sync(full_mask, value, static_cast<unsigned>(delta));
}
template <typename T> NLM_DEVICE T shuffle_down(T value, int delta) {
    return __shfl_down_sync(full_mask, value, static_cast<unsigned>(delta));
}
NLM_DEVICE uint32_t ballot(bool predicate) {
    return __ballot_sync(full_mask, predicate);
}
NLM_DEVICE bool any(bool predicate) {
    return __any_sync(full_mask, predicate) != 0;
}
NLM_DEVICE bool all(bool predicate) {
    return __all_sync(full_mask, predicate) != 0;
}
NLM_DEVICE int count_bits(uint32_t word) {
    return __popc(word);
}
NLM_DEVICE int leading_zeros(uint32_t word) {
    return __clz(static_cast<int>(word));
}
// Position of the lowest set bit, counted from 1; 0 for 0.
NLM_DEVICE int first_bit(uint32_t word) {
    return __ffs(static_cast<int>(word));
}

// ---- memory ----

extern __shared__ uint4 dynamic_shared_memory[];
template <typename T> NLM_DEVICE T& shared_memory() {
    return *reinterpret_cast<T*>(dynamic_shared_memory);
}

namespace detail {
template <size_t Bytes> struct Word;
template <> struct Word<1> { using type = unsigned char; };
template <> struct Word<2> { using type = unsigned short; };
template <> struct Word<4> { using type = unsigned int; };
template <> struct Word<8> { using type = uint2; };
template <> struct Word<16> { using type = uint4; };
template <typename T> using word_of = typename Word<sizeof(T)>::type;
} // namespace detail

// One access as wide as the value; the address must be aligned to it. The word passes through a variable: a bit_cast straight
// from memory compiles to one access per byte.
template <typename T> NLM_DEVICE T load(const T* p) {
    const detail::word_of<T> word = *reinterpret_cast<const detail::word_of<T>*>(p);
    return bit_cast<T>(word);
}
template <typename T> NLM_DEVICE void store(T* p, std::common_type_t<T> value) {
    const auto word = bit_cast<detail::word_of<T>>(value);
    *reinterpret_cast<detail::word_of<T>*>(p) = word;
}
// Of memory that no thread writes during the kernel.
template <typename T> NLM_DEVICE T load_readonly(const T* p) {
    return bit_cast<T>(__ldg(reinterpret_cast<const detail::word_of<T>*>(p)));
}

template <typename T> NLM_DEVICE T atomic_add(T* p, std::common_type_t<T> value) {
    static_assert(std::is_integral_v<T>, "float atomics depend on order");
    if constexpr (sizeof(T) == 8)
        return static_cast<T>(atomicAdd(reinterpret_cast<unsigned long long*>(p), static_cast<unsigned long long>(value)));
    else
        return atomicAdd(p, value);
}
template <typename T> NLM_DEVICE T atomic_max(T* p, std::common_type_t<T> value) {
    static_assert(std::is_integral_v<T>, "float atomics depend on order");
    if constexpr (sizeof(T) == 8 && std::is_unsigned_v<T>)
        return static_cast<T>(atomicMax(reinterpret_cast<unsigned long long*>(p), static_cast<unsigned long long>(value)));
    else if constexpr (sizeof(T) == 8)
        return static_cast<T>(atomicMax(reinterpret_cast<long long*>(p), static_cast<long long>(value)));
    else
        return atomicMax(p, value);
}
NLM_DEVICE uint32_t atomic_or(uint32_t* p, uint32_t value) {
    return atomicOr(p, value);
}
NLM_DEVICE uint32_t atomic_and(uint32_t* p, uint32_t value) {
    return atomicAnd(p, value);
}
NLM_DEVICE uint32_t atomic_exchange(uint32_t* p, uint32_t value) {
    return atomicExch(p, value);
}
NLM_DEVICE uint32_t atomic_cas(uint32_t* p, uint32_t expected, uint32_t value) {
    return atomicCAS(p, expected, value);
}

#else // emulated

inline int thread_index() {
    return emulation::current_thread().thread;
}
inline int thread_count() {
    return emulation::current_thread().shape->block;
}
inline int block_index() {
    return emulation::current_thread().block_x;
}
inline int block_index_y() {
    return emulation::current_thread().block_y;
}
inline int block_count() {
    return emulation::current_thread().shape->grid_x;
}
inline int block_count_y() {
    return emulation::current_thread().shape->grid_y;
}

// Default arguments name the caller's line: a barrier met at two places is reported with both.
inline void sync_threads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    emulation::block_barrier({file, line});
}
inline void sync_warp(uint32_t mask = full_mask, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    emulation::warp_barrier(mask, {file, line});
}
inline void thread_fence() {}

namespace detail {
// Exchanges values between lanes; orders no memory, as on the device.
template <typename T> T shuffle_from(T value, int source, emulation::Site site) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
    struct Operand {
        T value;
        int source;
    } operand{value, source};
    T result;
    emulation::collective(full_mask, "shuffle", site, &operand, sizeof operand, &result, sizeof result,
                          [](const emulation::Lanes& lanes) {
                              for (int lane = 0; lane < warp_size; ++lane) {
                                  const auto& own = lanes.in<Operand>(lane);
                                  lanes.out<T>(lane) = lanes.in<Operand>(own.source & 31).value;
                              }
                          });
    return result;
}
inline uint32_t vote(bool predicate, emulation::Site site) {
    const uint32_t operand = predicate;
    uint32_t result = 0;
    emulation::collective(full_mask, "vote", site, &operand, sizeof operand, &result, sizeof result,
                          [](const emulation::Lanes& lanes) {
                              uint32_t bits = 0;
                              for (int lane = 0; lane < warp_size; ++lane) bits |= (lanes.in<uint32_t>(lane) & 1u) << lane;
                              for (int lane = 0; lane < warp_size; ++lane) lanes.out<uint32_t>(lane) = bits;
                          });
    return result;
}
} // namespace detail

#define NLM_CALLER const char *file = __builtin_FILE(), int line = __builtin_LINE()
template <typename T> T shuffle(T value, int source_lane, NLM_CALLER) {
    return detail::shuffle_from(value, source_lane, {file, line});
}
template <typename T> T shuffle_xor(T value, int mask, NLM_CALLER) {
    return detail::shuffle_from(value, (thread_index() % warp_size) ^ mask, {file, line});
}
template <typename T> T shuffle_up(T value, int delta, NLM_CALLER) {
    const int lane = thread_index() % warp_size;
    return detail::shuffle_from(value, lane - delta < 0 ? lane : lane - delta, {file, line});
}
template <typename T> T shuffle_down(T value, int delta, NLM_CALLER) {
    const int lane = thread_index() % warp_size;
    return detail::shuffle_from(value, lane + delta > 31 ? lane : lane + delta, {file, line});
}
inline uint32_t ballot(bool predicate, NLM_CALLER) {
    return detail::vote(predicate, {file, line});
}
inline bool any(bool predicate, NLM_CALLER) {
    return detail::vote(predicate, {file, line}) != 0;
}
inline bool all(bool predicate, NLM_CALLER) {
    return detail::vote(predicate, {file, line}) == full_mask;
}
inline int count_bits(uint32_t word) {
    return __builtin_popcount(word);
}
inline int leading_zeros(uint32_t word) {
    return word == 0 ? 32 : __builtin_clz(word);
}
inline int first_bit(uint32_t word) {
    return __builtin_ffs(static_cast<int>(word));
}

template <typename T> T& shared_memory() {
    return *static_cast<T*>(emulation::block_shared_memory(sizeof(T)));
}

template <typename T> T load(const T* p) {
    emulation::check_global(p, sizeof(T), sizeof(T), "load");
    return *p;
}
template <typename T> void store(T* p, std::common_type_t<T> value) {
    emulation::check_global(p, sizeof(T), sizeof(T), "store");
    *p = value;
}
template <typename T> T load_readonly(const T* p) {
    return load(p);
}

// Blocks run one after the other and fibers switch only at collectives, so plain updates are atomic.
template <typename T> T atomic_add(T* p, std::common_type_t<T> value) {
    static_assert(std::is_integral_v<T>, "float atomics depend on order");
    emulation::check_atomic(p, sizeof(T));
    return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
}
template <typename T> T atomic_max(T* p, std::common_type_t<T> value) {
    static_assert(std::is_integral_v<T>, "float atomics depend on order");
    emulation::check_atomic(p, sizeof(T));
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);
    if (value > old) __atomic_store_n(p, value, __ATOMIC_RELAXED);
    return old;
}
inline uint32_t atomic_or(uint32_t* p, uint32_t value) {
    emulation::check_atomic(p, 4);
    return __atomic_fetch_or(p, value, __ATOMIC_RELAXED);
}
inline uint32_t atomic_and(uint32_t* p, uint32_t value) {
    emulation::check_atomic(p, 4);
    return __atomic_fetch_and(p, value, __ATOMIC_RELAXED);
}
inline uint32_t atomic_exchange(uint32_t* p, uint32_t value) {
    emulation::check_atomic(p, 4);
    return __atomic_exchange_n(p, value, __ATOMIC_RELAXED);
}
inline uint32_t atomic_cas(uint32_t* p, uint32_t expected, uint32_t value) {
    emulation::check_atomic(p, 4);
    __atomic_compare_exchange_n(p, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return expected;
}

#endif

NLM_DEVICE int lane_index() {
    return thread_index() % warp_size;
}
NLM_DEVICE int warp_index() {
    return thread_index() / warp_size;
}

template <typename V> NLM_DEVICE V load_vector(const void* p) {
    return load(static_cast<const V*>(p));
}
template <typename V> NLM_DEVICE void store_vector(void* p, V value) {
    store(static_cast<V*>(p), value);
}

// True row count of a step: the device count where given, within 0 and the launch's limit.
NLM_DEVICE int true_count(const int32_t* device_count, int limit) {
    if (device_count == nullptr) return limit;
    const int count = load(device_count);
    return count < 0 ? 0 : count < limit ? count : limit;
}

} // namespace nlm::simt

#include "launch.h"
#include "ptx.cuh"
