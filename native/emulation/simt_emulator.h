// The SIMT emulator: runs kernels written against cuda/device/simt.cuh on the host, one block at a time, one fiber per CUDA
// thread.
//
// What it checks: every collective is reached by every lane of its mask, every barrier by every thread at one place; shared
// memory is exactly as large as launched and poisoned before each block; every wrapped global access lies in a live allocation
// and is aligned; asynchronous copies show poison until they are waited for; thread and block orders vary, so that a result which
// depends on order differs from run to run. A failure ends the launch with an error and a report that names block, thread and
// place; it never aborts. Only warp_barrier and block_barrier order memory for the race detector (a build with
// -fsanitize=thread).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "cuda_runtime_subset.h"

namespace nlm::emulation {

struct Site {
    const char* file;
    int line;
};

struct Shape {
    int grid_x = 1, grid_y = 1, block = 32;
    size_t shared_bytes = 0;
};

// What a kernel asks about itself.
struct ThreadContext {
    int thread = 0, block_x = 0, block_y = 0;
    const Shape* shape = nullptr;
};

extern ThreadContext* running_thread; // of the launch under way: one at a time in a process
inline ThreadContext& current_thread() {
    return *running_thread;
}

// Ends the running launch with a report. Never returns to the kernel.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

// ---- collectives ----

constexpr size_t lane_bytes = 64; // most that a lane gives to or takes from a collective

// Operands and results of the 32 lanes, in the emulator's own memory.
class Lanes {
public:
    Lanes(unsigned char (*in)[lane_bytes], unsigned char (*out)[lane_bytes]) : in_(in), out_(out) {}
    template <typename T> const T& in(int lane) const { return *reinterpret_cast<const T*>(in_[lane]); }
    template <typename T> T& out(int lane) const { return *reinterpret_cast<T*>(out_[lane]); }

private:
    unsigned char (*in_)[lane_bytes];
    unsigned char (*out_)[lane_bytes];
};

// Each lane of the mask brings its operand; the last to arrive computes every lane's result. Orders no memory.
void collective(uint32_t mask, const char* name, Site site, const void* in, size_t in_bytes, void* out, size_t out_bytes,
                void (*compute)(const Lanes&));
void warp_barrier(uint32_t mask, Site site);
void block_barrier(Site site);

// ---- memory ----

void* block_shared_memory(size_t bytes);
void check_global(const void* p, size_t bytes, size_t alignment, const char* what);
// In shared or global memory.
void check_atomic(const void* p, size_t bytes);

void cp_async16(void* shared, const void* global, bool valid);
void cp_async_commit();
void cp_async_wait(int pending);

// ---- matrix fragments: layouts in ptx.cuh ----

void ldmatrix(uint32_t* r, int count, const void* row, bool transposed, Site site);
float value_of_bf16(uint16_t bits);
float value_of_f16(uint16_t bits);
void mma_m16n8k16(float* d, const uint32_t* a, const uint32_t* b, bool half_precision,
                  Site site = {__builtin_FILE(), __builtin_LINE()});

// ---- launches ----

// Queues a kernel whose body runs once in each thread.
cudaError_t launch(cudaStream_t stream, const Shape& shape, std::function<void()> kernel);

} // namespace nlm::emulation
