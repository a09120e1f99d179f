// Opening, describing and closing a GPU.
#include "runtime.h"
#include "sm90a.h"

#include <cstdio>
#include <memory>

using namespace nlm;

namespace {

constexpr int compute_capability_needed = 80;
constexpr int thread_count_limit = 1024; // as on cpu, where the option has a meaning

// CUDA's version numbers: 11080 is 11.8.
struct Version {
    int number = 0;
    constexpr int major() const { return number / 1000; }
    constexpr int minor() const { return number % 1000 / 10; }
};

Version driver_version() {
    Version version;
    return cudaDriverGetVersion(&version.number) == cudaSuccess ? version : Version{};
}

// Of the runtime inside this library. Asking the runtime itself fails where there is no driver.
constexpr Version runtime{CUDART_VERSION};

// First driver branch that runs programs of a CUDA major version.
const char* driver_branch_needed() {
    return runtime.major() >= 13 ? "580" : runtime.major() == 12 ? "525" : "450";
}

// Throws unless there is a driver that this library's runtime works with and the device number exists.
void check_machine(int ordinal) {
    const Version driver = driver_version();
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess) cudaGetLastError();
    if (driver.number == 0)
        throw Error(
            NLM_UNSUPPORTED,
            "found no NVIDIA driver on this machine; this library (CUDA %d.%d) needs driver branch %s or newer; install one "
            "or choose the cpu backend",
            runtime.major(), runtime.minor(), driver_branch_needed());
    if (error == cudaErrorInsufficientDriver)
        throw Error(NLM_UNSUPPORTED,
                    "found a driver for CUDA %d.%d; this library (CUDA %d.%d) needs driver branch %s or newer; update the driver",
                    driver.major(), driver.minor(), runtime.major(), runtime.minor(), driver_branch_needed());
    if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
        throw Error(
            NLM_UNSUPPORTED,
            "the driver (CUDA %d.%d) shows no GPU to this process; check nvidia-smi and CUDA_VISIBLE_DEVICES, or choose the "
            "cpu backend",
            driver.major(), driver.minor());
    check_cuda(error, "cudaGetDeviceCount");
    NLM_REQUIRE(ordinal < count, "ordinal: this machine has devices 0 to %d, found %d", count - 1, ordinal);
}

int attribute(cudaDeviceAttr name, int ordinal) {
    int value = 0;
    check_cuda(cudaDeviceGetAttribute(&value, name, ordinal), "cudaDeviceGetAttribute");
    return value;
}

std::string device_name(int ordinal) {
    cudaDeviceProp properties{};
    check_cuda(cudaGetDeviceProperties(&properties, ordinal), "cudaGetDeviceProperties");
    return properties.name;
}

std::unique_ptr<nlm_device> describe(int ordinal) {
    auto device = std::make_unique<nlm_device>();
    device->ordinal = ordinal;
    device->compute_capability =
        attribute(cudaDevAttrComputeCapabilityMajor, ordinal) * 10 + attribute(cudaDevAttrComputeCapabilityMinor, ordinal);
    device->multiprocessors = attribute(cudaDevAttrMultiProcessorCount, ordinal);
    device->shared_memory_limit = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, ordinal);
    if (device->compute_capability < compute_capability_needed)
        throw Error(NLM_UNSUPPORTED, "device %d (%s) has compute capability %d.%d; %d.%d or newer is needed", ordinal,
                    device_name(ordinal).c_str(), device->compute_capability / 10, device->compute_capability % 10,
                    compute_capability_needed / 10, compute_capability_needed % 10);
    device->sm90a = sm90a::switched_on(device->compute_capability);
    return device;
}

} // namespace

extern "C" int32_t nlm_backend_kind(void) {
#ifdef NATIVELM_EMULATED
    return NLM_BACKEND_EMULATED;
#else
    return NLM_BACKEND_CUDA;
#endif
}

// Instruction families belong to the cpu backend: a GPU knows "auto" alone.
extern "C" int32_t nlm_isa_supported(int32_t isa) {
    return isa == NLM_ISA_AUTO ? 1 : 0;
}

extern "C" int32_t nlm_device_open(const nlm_device_options* options, nlm_device** device) {
    return guard("nlm_device_open", [&] {
        NLM_REQUIRE(device != nullptr, "device: expected a pointer, found null");
        *device = nullptr;
        check_args(options, "options");
        NLM_REQUIRE(options->ordinal >= 0, "ordinal: expected a device number from 0 on, found %d", options->ordinal);
        check_range(options->thread_count, 0, thread_count_limit, "thread_count");
        NLM_REQUIRE(options->isa >= NLM_ISA_AUTO && options->isa <= NLM_ISA_AMX, "isa: expected 0 (auto) to 5 (amx), found %d",
                    options->isa);
        if (options->isa != NLM_ISA_AUTO)
            throw Error(NLM_UNSUPPORTED, "isa: instruction families belong to the cpu backend; expected 0 (auto), found %d",
                        options->isa);
        use_no_device();
        check_machine(options->ordinal);
        std::unique_ptr<nlm_device> opened = describe(options->ordinal);
        check_cuda(cudaSetDevice(opened->ordinal), "cudaSetDevice");
        size_t free = 0, total = 0; // the first call that needs the device itself: fails here rather than in the first op
        check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
        check_cuda(cudaStreamCreateWithFlags(&opened->zeroing, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
        *device = opened.release();
    });
}

extern "C" int32_t nlm_device_close(nlm_device* device) {
    return guard("nlm_device_close", [&] {
        check_handle(device, "device");
        const size_t buffers = device->allocations.size();
        const int handles = device->open_handles.load();
        NLM_REQUIRE(buffers == 0 && handles == 0,
                    "device: %zu allocations and %d streams, events and graphs are still open; free them first", buffers,
                    handles);
        const std::unique_ptr<nlm_device> closed(device);
        device->staging.release();
        const cudaError_t error = cudaStreamDestroy(device->zeroing);
        require_not_lost(*device);
        use_no_device();
        check_cuda(error, "cudaStreamDestroy");
    });
}

extern "C" int32_t nlm_device_get_info(nlm_device* device, nlm_device_info* info) {
    return guard("nlm_device_get_info", [&] {
        check_handle(device, "device");
        check_args(info, "info");
        use_device(*device);
        *info = {};
        info->size = sizeof *info;
        info->backend = nlm_backend_kind();
        info->compute_capability = device->compute_capability;
        info->multiprocessors = device->multiprocessors;
        size_t free = 0, total = 0;
        check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
        info->memory_bytes_free = static_cast<int64_t>(free);
        info->memory_bytes_total = static_cast<int64_t>(total);
        std::snprintf(info->name, sizeof info->name, "%s", device_name(device->ordinal).c_str());
        const Version driver = driver_version();
        std::snprintf(info->driver, sizeof info->driver, "driver for CUDA %d.%d, runtime %d.%d%s", driver.major(), driver.minor(),
                      runtime.major(), runtime.minor(), device->sm90a ? ", kernels for sm_90a" : "");
    });
}
