// Device memory and pinned host memory.
#include "runtime.h"

#include <cstring>

using namespace nlm;

namespace {

void* allocate_on_device(const nlm_device& device, size_t bytes) {
    void* memory = nullptr;
    const cudaError_t error = cudaMalloc(&memory, bytes);
    if (error == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        size_t free = 0, total = 0;
        check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
        throw Error(NLM_OUT_OF_MEMORY,
                    "the device refused %zu bytes: %zu of its %zu are free; use a smaller model or KV cache, or free memory",
                    bytes, free, total);
    }
    check_cuda(error, "cudaMalloc");
    // Streams do not wait for one another, so the zeros must be there before anyone sees the address.
    cudaError_t filled = cudaMemsetAsync(memory, 0, bytes, device.zeroing);
    if (filled == cudaSuccess) filled = cudaStreamSynchronize(device.zeroing);
    if (filled != cudaSuccess) {
        cudaFree(memory);
        check_cuda(filled, "cudaMemsetAsync");
    }
    return memory;
}

void* allocate_pinned(size_t bytes) {
    void* memory = nullptr;
    const cudaError_t error = cudaHostAlloc(&memory, bytes, cudaHostAllocDefault);
    if (error == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        throw Error(NLM_OUT_OF_MEMORY,
                    "the system refused %zu bytes of pinned host memory; use a smaller swap space, or free memory", bytes);
    }
    check_cuda(error, "cudaHostAlloc");
    std::memset(memory, 0, bytes);
    return memory;
}

cudaError_t release(void* memory, nlm_memory kind) {
    return kind == NLM_MEMORY_PINNED ? cudaFreeHost(memory) : cudaFree(memory);
}

nlm_memory forget(nlm_device& device, const void* memory) {
    const std::lock_guard<std::mutex> lock(device.memory_lock);
    const auto found = device.allocations.find(memory);
    NLM_REQUIRE(found != device.allocations.end(), "memory: %p was not allocated by this device or is already free", memory);
    const nlm_memory kind = found->second.kind;
    device.allocations.erase(found);
    return kind;
}

} // namespace

void nlm::check_recordable(const nlm_stream* stream, const void* memory, int64_t bytes, const char* name) {
    if (!is_recording(stream)) return;
    nlm_device& device = *stream->device;
    const std::lock_guard<std::mutex> lock(device.memory_lock);
    auto found = device.allocations.upper_bound(memory);
    const bool is_ours = found != device.allocations.begin() && [&] {
        --found;
        const uintptr_t offset = reinterpret_cast<uintptr_t>(memory) - reinterpret_cast<uintptr_t>(found->first);
        return offset <= found->second.bytes && static_cast<uintptr_t>(bytes) <= found->second.bytes - offset;
    }();
    NLM_REQUIRE(is_ours, "%s: a graph may only name device and pinned memory, found %p", name, memory);
}

extern "C" int32_t nlm_memory_allocate(nlm_device* device, int64_t bytes, int32_t kind, void** memory) {
    return guard("nlm_memory_allocate", [&] {
        NLM_REQUIRE(memory != nullptr, "memory: expected a pointer, found null");
        *memory = nullptr;
        check_handle(device, "device");
        NLM_REQUIRE(kind == NLM_MEMORY_DEVICE || kind == NLM_MEMORY_PINNED, "kind: expected 0 (device) or 1 (pinned), found %d",
                    kind);
        check_range(bytes, 1, int64_t{1} << 47, "bytes"); // 2^47: the address space of a process
        refuse_in_capture("allocating memory");
        use_device(*device);
        const size_t size = static_cast<size_t>(bytes);
        const nlm_memory place = static_cast<nlm_memory>(kind);
        void* allocated = place == NLM_MEMORY_PINNED ? allocate_pinned(size) : allocate_on_device(*device, size);
        try {
            const std::lock_guard<std::mutex> lock(device->memory_lock);
            device->allocations.emplace(allocated, nlm_device::Allocation{size, place});
        } catch (...) {
            release(allocated, place);
            throw;
        }
        *memory = allocated;
    });
}

// On a lost device memory is given back as far as CUDA still does, and the call reports the loss.
extern "C" int32_t nlm_memory_free(nlm_device* device, void* memory) {
    return guard("nlm_memory_free", [&] {
        check_handle(device, "device");
        if (memory == nullptr) return;
        refuse_in_capture("freeing memory");
        const nlm_memory kind = forget(*device, memory);
        if (device->lost.load()) release(memory, kind);
        use_device(*device);
        check_cuda(release(memory, kind), "cudaFree");
    });
}
