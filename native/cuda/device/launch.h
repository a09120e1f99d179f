// Launching a kernel from host code, on the device or the emulator.
#pragma once

#include "error.h"

namespace nlm::simt {

// Shape of a launch: one-dimensional blocks of whole warps.
struct Launch {
    int64_t grid_x = 1, grid_y = 1;
    int block = warp_size;
    size_t shared_bytes = 0;
};

// Throws Error for a CUDA status other than success; defined in runtime.cu.
void check_cuda(cudaError_t status, const char* what);

constexpr size_t default_shared_limit = 48 << 10; // more has to be asked for

// Queues kernel<<<grid, block, shared, stream>>>(arguments). Arguments convert to the kernel's parameter types. A grid without
// blocks launches nothing.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), const Launch& shape, cudaStream_t stream, Arguments&&... arguments) {
    static_assert(sizeof...(Parameters) == sizeof...(Arguments), "the kernel takes another number of arguments");
    NLM_REQUIRE(shape.grid_x >= 0 && shape.grid_x <= INT32_MAX && shape.grid_y >= 0 && shape.grid_y <= 65535,
                "grid: expected up to 2^31 - 1 by 65535 blocks, found %lld by %lld", static_cast<long long>(shape.grid_x),
                static_cast<long long>(shape.grid_y));
    if (shape.grid_x == 0 || shape.grid_y == 0) return;
    std::tuple<std::decay_t<Parameters>...> values{static_cast<std::decay_t<Parameters>>(std::forward<Arguments>(arguments))...};
#if defined(__CUDACC__)
    if (shape.shared_bytes > default_shared_limit)
        check_cuda(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        static_cast<int>(shape.shared_bytes)),
                   "shared memory of a kernel");
    const dim3 grid(static_cast<unsigned>(shape.grid_x), static_cast<unsigned>(shape.grid_y));
    std::apply(
        [&](auto&... value) {
            void* pointers[] = {&value..., nullptr};
            check_cuda(cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, dim3(static_cast<unsigned>(shape.block)),
                                        pointers, shape.shared_bytes, stream),
                       "kernel launch");
        },
        values);
#else
    const emulation::Shape emulated{static_cast<int>(shape.grid_x), static_cast<int>(shape.grid_y), shape.block,
                                    shape.shared_bytes};
    check_cuda(emulation::launch(stream, emulated, [kernel, values] { std::apply(kernel, values); }), "kernel launch");
#endif
}

} // namespace nlm::simt
