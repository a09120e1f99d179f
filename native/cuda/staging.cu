#include "staging.h"

namespace nlm::cuda {

using simt::check_cuda;

Staging::Half& Staging::next() {
    Half& half = halves_[next_];
    if (half.pinned == nullptr) check_cuda(cudaHostAlloc(&half.pinned, half_bytes, cudaHostAllocDefault), "cudaHostAlloc");
    if (half.device == nullptr) check_cuda(cudaMalloc(&half.device, half_bytes), "cudaMalloc");
    if (half.used == nullptr)
        check_cuda(cudaEventCreateWithFlags(&half.used, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    check_cuda(cudaEventSynchronize(half.used), "cudaEventSynchronize");
    next_ = 1 - next_;
    return half;
}

void Staging::release() noexcept {
    for (Half& half : halves_) {
        if (half.used != nullptr) cudaEventSynchronize(half.used), cudaEventDestroy(half.used);
        if (half.device != nullptr) cudaFree(half.device);
        if (half.pinned != nullptr) cudaFreeHost(half.pinned);
        half = {};
    }
}

} // namespace nlm::cuda
