// Bounded memory through which the host's data reaches kernels: two halves, so that one is filled while the other travels.
#pragma once

#include "device/simt.cuh"

#include <cstddef>
#include <mutex>

namespace nlm::cuda {

class Staging {
public:
    static constexpr size_t half_bytes = size_t{4} << 20;

    struct Half {
        void* pinned = nullptr;
        void* device = nullptr;
        cudaEvent_t used = nullptr; // record it behind the last work that reads the half
    };

    std::mutex lock; // held by whoever fills halves

    // The half that has waited longest, allocated on first use. Waits until the work that used it last is done.
    Half& next();

    // Gives everything back; errors of a lost device are ignored.
    void release() noexcept;

private:
    Half halves_[2];
    int next_ = 0;
};

} // namespace nlm::cuda
