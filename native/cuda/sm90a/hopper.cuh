// What only Hopper (compute capability 9.0, target sm_90a) has: mbarriers, tensor copies, warp-group matrix instructions. Beside
// ptx.cuh the only file with inline PTX; each wrapper has a device body and an emulated one (native/emulation/hopper_emulator.h).
//
// The emulated bodies follow the PTX manual as we read it. Nothing that includes this file has run on hardware yet.
#pragma once

#include "../device/simt.cuh"

#if !defined(__CUDACC__)
#include "hopper_emulator.h"
#endif

namespace nlm::sm90a {

using simt::bf16;
using simt::f16;

constexpr int group_threads = 128;       // a warp group: four warps, the first at a multiple of four
constexpr int swizzle_row_bytes = 128;   // one row of a tile in shared memory
constexpr int swizzle_atom_bytes = 1024; // the swizzle repeats every eight rows; tiles begin at a multiple
constexpr int tile_rows_limit = 256;     // of one tensor copy

// Which rows and columns of a matrix of 16-bit elements in global memory a tensor copy takes. Passed to kernels by value as
// `const NLM_GRID_CONSTANT TensorMap`.
#if defined(__CUDACC__)
#define NLM_GRID_CONSTANT __grid_constant__
struct alignas(64) TensorMap {
    uint64_t words[16]; // the driver's own format
};
#else
#define NLM_GRID_CONSTANT
using TensorMap = emulation::TensorMap;
#endif

// A matrix [rows, columns] cut into tiles of tile_rows by 64 columns. Elements past its end read as zero. Throws Error where the
// hardware cannot address it: base and row stride must be multiples of 16 bytes. Defined in tensor_map.cu.
TensorMap make_tensor_map(int32_t type, const void* base, int64_t rows, int64_t columns, int64_t row_stride, int tile_rows);

// An mbarrier object in shared memory. A phase ends when all arrivals have come and all expected bytes have landed.
struct Barrier {
    uint64_t opaque;
};

// How long L2 keeps what a tensor copy reads.
enum class Keep { normal, evict_first };

// The block's dynamic shared memory as one struct, aligned for swizzled tiles.
#if defined(__CUDACC__)
extern __shared__ __align__(swizzle_atom_bytes) unsigned char swizzled_shared_memory[];
template <typename T> NLM_DEVICE T& shared_memory() {
    static_assert(alignof(T) <= swizzle_atom_bytes, "alignment of dynamic shared memory");
    return *reinterpret_cast<T*>(swizzled_shared_memory);
}
#else
template <typename T> T& shared_memory() {
    return simt::shared_memory<T>();
}
#endif

#if defined(__CUDACC__)

// ---- barriers ----

NLM_DEVICE void barrier_init(Barrier& barrier, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(simt::shared_address(&barrier)), "r"(arrivals) : "memory");
}
// After a thread's ordinary writes to shared memory, barrier_init among them, and before the copy engine or the tensor cores,
// told to by any thread behind a barrier, touch the same bytes.
NLM_DEVICE void fence_async_proxy() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
NLM_DEVICE void barrier_arrive(Barrier& barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(simt::shared_address(&barrier)) : "memory");
}
// Announces bytes that tensor copies will bring in this phase, then arrives.
NLM_DEVICE void barrier_arrive_expect(Barrier& barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(simt::shared_address(&barrier)), "r"(bytes)
                 : "memory");
}
// Returns once the phase of this parity has ended. The first phase has parity 0; the one before it counts as ended, with 1.
NLM_DEVICE void barrier_wait(Barrier& barrier, int parity) {
    uint32_t done;
    do {
        asm volatile("{\n.reg .pred p;\n"
                     "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
                     "selp.u32 %0, 1, 0, p;\n}"
                     : "=r"(done)
                     : "r"(simt::shared_address(&barrier)), "r"(parity)
                     : "memory");
    } while (done == 0);
}

// ---- tensor copies ----

// Starts the copy of the map's tile at element (row, column) to shared memory, 128-byte swizzled; its bytes (those past the end
// of the matrix too) count towards the barrier's phase. By one thread.
template <Keep Policy> NLM_DEVICE void tensor_load(void* tile, const TensorMap& map, int row, int column, Barrier& barrier) {
    if constexpr (Policy == Keep::evict_first)
        asm volatile("{\n.reg .b64 policy;\n"
                     "createpolicy.fractional.L2::evict_first.b64 policy, 1.0;\n"
                     "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
                     "[%0], [%1, {%2, %3}], [%4], policy;\n}" ::"r"(simt::shared_address(tile)),
                     "l"(&map), "r"(column), "r"(row), "r"(simt::shared_address(&barrier))
                     : "memory");
    else
        asm volatile(
            "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
                simt::shared_address(tile)),
            "l"(&map), "r"(column), "r"(row), "r"(simt::shared_address(&barrier))
            : "memory");
}
NLM_DEVICE void prefetch_map(const TensorMap& map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

// ---- registers ----

// Registers per thread from here on, by every warp of a group: a multiple of 8 from 24 to 256.
template <int Count> NLM_DEVICE void shrink_registers() {
    static_assert(Count % 8 == 0 && Count >= 24 && Count <= 256, "register count");
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count));
}
template <int Count> NLM_DEVICE void grow_registers() {
    static_assert(Count % 8 == 0 && Count >= 24 && Count <= 256, "register count");
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count));
}

// ---- matrix instructions ----

// Names a swizzled tile of shared memory to the tensor cores: rows of 64 elements along k, eight rows to the next atom.
NLM_DEVICE uint64_t tile_descriptor(const void* tile) {
    constexpr uint64_t swizzle_128 = uint64_t{1} << 62, atom_stride = uint64_t{swizzle_atom_bytes / 16} << 32;
    return swizzle_128 | atom_stride | (uint64_t{1} << 16) | ((simt::shared_address(tile) & 0x3ffffu) >> 4);
}

// Orders this thread's accesses to accumulators before the matrix instructions that follow.
NLM_DEVICE void wgmma_fence() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
NLM_DEVICE void wgmma_commit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// Waits until at most Pending of the warp group's newest committed groups are still under way.
template <int Pending> NLM_DEVICE void wgmma_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
}
// Waits for everything and hands the accumulators back: only now may the thread read them. Naming each register keeps the
// compiler from reading it before the wait.
template <int Count> NLM_DEVICE void wgmma_finish(float (&d)[Count]) {
    wgmma_wait<0>();
#pragma unroll
    for (int i = 0; i < Count; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

#define NLM_OUT4(i) "+f"(d[i]), "+f"(d[(i) + 1]), "+f"(d[(i) + 2]), "+f"(d[(i) + 3])
#define NLM_OUT8(i) NLM_OUT4(i), NLM_OUT4((i) + 4)
#define NLM_OUT16(i) NLM_OUT8(i), NLM_OUT8((i) + 8)
#define NLM_OUT32(i) NLM_OUT16(i), NLM_OUT16((i) + 16)
#define NLM_OUT64(i) NLM_OUT32(i), NLM_OUT32((i) + 32)
#define NLM_OUT128(i) NLM_OUT64(i), NLM_OUT64((i) + 64)
#define NLM_NAMES4 "%0, %1, %2, %3"
#define NLM_NAMES8 NLM_NAMES4 ", %4, %5, %6, %7"
#define NLM_NAMES16 NLM_NAMES8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define NLM_NAMES32 NLM_NAMES16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define NLM_NAMES64                                                                                                              \
    NLM_NAMES32 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, "    \
                "%53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define NLM_NAMES128                                                                                                             \
    NLM_NAMES64 ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, "    \
                "%85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, %104, "      \
                "%105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, "   \
                "%123, %124, %125, %126, %127"
// a and b are the operands behind the accumulators; after them: accumulate, neither side negated, both with k innermost.
#define NLM_WGMMA_TYPED(shape, type, count, a, b)                                                                                \
    asm volatile("wgmma.mma_async.sync.aligned." #shape ".f32." #type "." #type " {" NLM_NAMES##count "}, %" #a ", %" #b         \
                                                                                                      ", 1, 1, 1, 0, 0;"         \
                 : NLM_OUT##count(0)                                                                                             \
                 : "l"(left), "l"(right))
#define NLM_WGMMA(columns, count, a, b)                                                                                          \
    if constexpr (Columns == columns && std::is_same_v<T, bf16>) NLM_WGMMA_TYPED(m64n##columns##k16, bf16, count, a, b);         \
    if constexpr (Columns == columns && std::is_same_v<T, f16>) NLM_WGMMA_TYPED(m64n##columns##k16, f16, count, a, b)

// Starts d += left · rightᵀ for 64 rows of left and `Columns` rows of right, 16 elements of k each, in fp32. Both operands
// are read from shared memory and d is written until a wgmma_wait covers the group. With w = warp % 4, g = lane / 4 and
// t = lane % 4, d[4 j + i] is element (16 w + g + 8 (i / 2), 8 j + 2 t + i % 2) as (row of left, row of right).
template <typename T, int Columns> NLM_DEVICE void wgmma(float (&d)[Columns / 2], uint64_t left, uint64_t right) {
    NLM_WGMMA(8, 4, 4, 5);
    NLM_WGMMA(16, 8, 8, 9);
    NLM_WGMMA(32, 16, 16, 17);
    NLM_WGMMA(64, 32, 32, 33);
    NLM_WGMMA(128, 64, 64, 65);
    NLM_WGMMA(256, 128, 128, 129);
}

#else // emulated

inline void barrier_init(Barrier& barrier, int arrivals) {
    emulation::barrier_init(&barrier, arrivals);
}
inline void fence_async_proxy() {
    emulation::fence_async_proxy();
}
inline void barrier_arrive(Barrier& barrier, NLM_CALLER) {
    emulation::barrier_arrive(&barrier, 0, {file, line});
}
inline void barrier_arrive_expect(Barrier& barrier, int bytes, NLM_CALLER) {
    emulation::barrier_arrive(&barrier, bytes, {file, line});
}
inline void barrier_wait(Barrier& barrier, int parity, NLM_CALLER) {
    emulation::barrier_wait(&barrier, parity, {file, line});
}
template <Keep Policy> void tensor_load(void* tile, const TensorMap& map, int row, int column, Barrier& barrier, NLM_CALLER) {
    emulation::tensor_load(tile, map, row, column, &barrier, {file, line});
}
inline void prefetch_map(const TensorMap&) {}
template <int Count> void shrink_registers() {
    static_assert(Count % 8 == 0 && Count >= 24 && Count <= 256, "register count");
}
template <int Count> void grow_registers() {
    static_assert(Count % 8 == 0 && Count >= 24 && Count <= 256, "register count");
}
inline uint64_t tile_descriptor(const void* tile) {
    return emulation::tile_descriptor(tile);
}
inline void wgmma_fence() {
    emulation::wgmma_fence();
}
inline void wgmma_commit() {
    emulation::wgmma_commit();
}
template <int Pending> void wgmma_wait(NLM_CALLER) {
    emulation::wgmma_wait(Pending, {file, line});
}
template <int Count> void wgmma_finish(float (&)[Count], NLM_CALLER) {
    emulation::wgmma_wait(0, {file, line});
}
template <typename T, int Columns> void wgmma(float (&d)[Columns / 2], uint64_t left, uint64_t right, NLM_CALLER) {
    static_assert(Columns % 8 == 0 && Columns >= 8 && Columns <= 256, "columns of a matrix instruction");
    emulation::wgmma(d, Columns, left, right, std::is_same_v<T, bf16> ? emulation::value_of_bf16 : emulation::value_of_f16,
                     {file, line});
}

#endif

// The descriptor `step` matrix instructions (16 elements of k) further along the rows: the swizzle works on addresses, so the
// start just moves.
NLM_DEVICE uint64_t advance(uint64_t descriptor, int step) {
    return descriptor + static_cast<uint64_t>(step * 32 / 16);
}

} // namespace nlm::sm90a
