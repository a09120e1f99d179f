// The CUDA device behind the ABI: what the runtime's files share, and what every op's host code asks of it.
#pragma once

#include "check.h"
#include "device/simt.cuh"
#include "staging.h"

#include <atomic>
#include <cstddef>
#include <map>
#include <mutex>
#include <string>

struct nlm_device {
    int ordinal = 0;
    int compute_capability = 0; // 90 is 9.0
    int multiprocessors = 0;
    int shared_memory_limit = 0;    // bytes a block may ask for
    bool sm90a = false;             // kernels of cuda/sm90a run where there is one: an engine constant
    cudaStream_t zeroing = nullptr; // fills new memory
    nlm::cuda::Staging staging;     // of weights on their way to the device

    struct Allocation {
        size_t bytes;
        nlm_memory kind;
    };
    std::mutex memory_lock;
    std::map<const void*, Allocation> allocations; // by first address
    std::atomic<int> open_handles{0};              // streams, events and graphs

    // Set once, by the first sticky error; every later call on the device returns NLM_DEVICE_LOST with that error's text.
    std::atomic<bool> lost{false};
    std::mutex loss_lock;
    std::string loss;
};

struct nlm_stream {
    nlm_device* device;
    cudaStream_t stream;
};

struct nlm_event {
    nlm_device* device;
    cudaEvent_t event;
};

struct nlm_graph {
    nlm_device* device;
    cudaGraphExec_t executable;
};

namespace nlm {

// ---- for ops ----

// Makes the stream's device this thread's current one. Throws for a null handle and for a lost device.
nlm_device& use_device(const nlm_stream* stream);

// The stream to launch into, its device made current.
cudaStream_t cuda_stream(const nlm_stream* stream);

// ---- for the runtime's own files ----

void use_device(nlm_device& device);

// Throws NLM_DEVICE_LOST with the first sticky error's text if there was one.
void require_not_lost(nlm_device& device);

// For calls that come before a device is known or outlive it: no device is marked by this thread's next error.
void use_no_device();

// Throws the error a failed CUDA call stands for and clears CUDA's own record of it; a sticky error marks the device that this
// thread made current as lost. `what` names the CUDA function.
using simt::check_cuda;

// While this thread records a graph (where a stream is given: into that stream), `what` is an error that ends the recording.
void refuse_in_capture(const char* what, const nlm_stream* stream = nullptr);

// While this thread records into the stream, memory must be the device's own: a graph outlives the caller's.
void check_recordable(const nlm_stream* stream, const void* memory, int64_t bytes, const char* name);
bool is_recording(const nlm_stream* stream);

template <typename Handle> void check_handle(const Handle* handle, const char* name) {
    NLM_REQUIRE(handle != nullptr, "%s: expected a handle, found null", name);
}

} // namespace nlm
