// Opening, describing and closing the CPU device.
#include "device.h"

#include "check.h"
#include "cpu_count.h"
#include "isa.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>

using namespace nlm;

namespace {

constexpr int thread_count_limit = 1024;

int64_t meminfo_bytes(const std::string& key) {
    std::ifstream file("/proc/meminfo");
    for (std::string line; std::getline(file, line);)
        if (line.compare(0, key.size(), key) == 0) return std::stoll(line.substr(key.size())) * 1024;
    return 0;
}

// A number in a cgroup file, or the fallback where there is none ("max", or no such file).
int64_t cgroup_bytes(const char* path, int64_t fallback) {
    std::ifstream file(path);
    int64_t bytes = 0;
    return file >> bytes ? bytes : fallback;
}

// Page cache that the kernel drops when memory is asked for; a checkpoint just read would count as used otherwise.
int64_t cgroup_reclaimable_bytes() {
    std::ifstream file("/sys/fs/cgroup/memory.stat");
    std::string key;
    for (int64_t bytes = 0; file >> key >> bytes;)
        if (key == "inactive_file") return bytes;
    return 0;
}

void fill_memory(nlm_device_info& info) {
    info.memory_bytes_total = meminfo_bytes("MemTotal:");
    info.memory_bytes_free = meminfo_bytes("MemAvailable:");
    const int64_t limit = cgroup_bytes("/sys/fs/cgroup/memory.max", INT64_MAX);
    if (limit >= info.memory_bytes_total) return;
    const int64_t used = cgroup_bytes("/sys/fs/cgroup/memory.current", 0) - cgroup_reclaimable_bytes();
    info.memory_bytes_total = limit;
    info.memory_bytes_free = std::min(info.memory_bytes_free, std::max<int64_t>(0, limit - used));
}

} // namespace

extern "C" int32_t nlm_backend_kind(void) {
    return NLM_BACKEND_CPU;
}

extern "C" int32_t nlm_device_open(const nlm_device_options* options, nlm_device** device) {
    return guard("nlm_device_open", [&] {
        NLM_REQUIRE(device != nullptr, "device: expected a pointer, found null");
        *device = nullptr;
        check_args(options, "options");
        NLM_REQUIRE(options->ordinal == 0, "ordinal: the cpu backend has device 0 only, found %d", options->ordinal);
        check_range(options->thread_count, 0, thread_count_limit, "thread_count");
        const nlm_isa isa = cpu::choose_isa(options->isa);
        const int threads =
            options->thread_count > 0 ? options->thread_count : std::min(cpu::available_cpu_count(), thread_count_limit);
        *device = new nlm_device(threads, isa);
    });
}

extern "C" int32_t nlm_device_close(nlm_device* device) {
    return guard("nlm_device_close", [&] {
        NLM_REQUIRE(device != nullptr, "device: expected a handle, found null");
        const size_t buffers = device->allocations.size();
        const int handles = device->open_handles.load();
        NLM_REQUIRE(buffers == 0 && handles == 0,
                    "device: %zu allocations and %d streams and events are still open; free them first", buffers, handles);
        delete device;
    });
}

extern "C" int32_t nlm_device_get_info(nlm_device* device, nlm_device_info* info) {
    return guard("nlm_device_get_info", [&] {
        NLM_REQUIRE(device != nullptr, "device: expected a handle, found null");
        check_args(info, "info");
        *info = {};
        info->size = sizeof *info;
        info->backend = NLM_BACKEND_CPU;
        info->isa = device->isa;
        info->thread_count = device->pool.thread_count();
        fill_memory(*info);
        cpu::processor_name(info->name);
    });
}
