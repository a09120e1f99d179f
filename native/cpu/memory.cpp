// Device memory: anonymous mappings, so pages are zero and cost nothing until touched.
#include "graph.h"

#include <cerrno>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

using namespace nlm;

namespace {

constexpr size_t huge_page = size_t{2} << 20;

size_t round_up(size_t bytes, size_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

void* map(size_t bytes) {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        throw Error(NLM_OUT_OF_MEMORY, "the system refused %zu bytes (%s); use a smaller model or KV cache, or free memory",
                    bytes, std::strerror(errno));
    return memory;
}

// A mapping that starts on a huge page boundary and asks for huge pages: long weight streams then need few address translations.
void* map_huge(size_t bytes) {
    char* memory = static_cast<char*>(map(bytes + huge_page));
    char* aligned = reinterpret_cast<char*>(round_up(reinterpret_cast<uintptr_t>(memory), huge_page));
    const size_t head = static_cast<size_t>(aligned - memory);
    if (head > 0) munmap(memory, head);
    if (head < huge_page) munmap(aligned + bytes, huge_page - head);
    madvise(aligned, bytes, MADV_HUGEPAGE); // advice only: refused where transparent huge pages are off
    return aligned;
}

} // namespace

extern "C" int32_t nlm_memory_allocate(nlm_device* device, int64_t bytes, int32_t kind, void** memory) {
    return guard("nlm_memory_allocate", [&] {
        NLM_REQUIRE(memory != nullptr, "memory: expected a pointer, found null");
        *memory = nullptr;
        NLM_REQUIRE(device != nullptr, "device: expected a handle, found null");
        NLM_REQUIRE(kind == NLM_MEMORY_DEVICE || kind == NLM_MEMORY_PINNED, "kind: expected 0 (device) or 1 (pinned), found %d",
                    kind);
        check_range(bytes, 1, int64_t{1} << 47, "bytes"); // 2^47: the address space of a process
        const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
        const size_t size = round_up(static_cast<size_t>(bytes), page);
        void* mapping = size >= 2 * huge_page ? map_huge(size) : map(size);
        try {
            const std::lock_guard lock(device->memory_lock);
            device->allocations.emplace(mapping, size);
        } catch (...) {
            munmap(mapping, size);
            throw;
        }
        *memory = mapping;
    });
}

extern "C" int32_t nlm_memory_free(nlm_device* device, void* memory) {
    return guard("nlm_memory_free", [&] {
        NLM_REQUIRE(device != nullptr, "device: expected a handle, found null");
        if (memory == nullptr) return;
        size_t size = 0;
        if (nlm_graph* graph = device->recording.load()) {
            graph->is_void = true;
            throw Error(NLM_INVALID_ARGUMENT, "memory: freeing while a stream records a graph; what was recorded is void");
        }
        {
            const std::lock_guard lock(device->memory_lock);
            const auto found = device->allocations.find(memory);
            NLM_REQUIRE(found != device->allocations.end(), "memory: %p was not allocated by this device or is already free",
                        memory);
            size = found->second;
            device->allocations.erase(found);
        }
        munmap(memory, size);
    });
}
