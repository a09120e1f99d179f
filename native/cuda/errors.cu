// CUDA errors as statuses: which of them the process survives, and what a reader can do about each.
#include "runtime.h"

using namespace nlm;

namespace {

thread_local nlm_device* current_device = nullptr;

// Errors after which CUDA answers every call in this process with the same error.
bool is_sticky(cudaError_t error) {
    switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorIllegalInstruction:
    case cudaErrorInvalidPc:
    case cudaErrorHardwareStackError:
    case cudaErrorAssert:
    case cudaErrorLaunchTimeout:
    case cudaErrorLaunchFailure:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorUnknown:
        return true;
    default:
        return false;
    }
}

nlm_status status_of(cudaError_t error) {
    switch (error) {
    case cudaErrorMemoryAllocation:
        return NLM_OUT_OF_MEMORY;
    case cudaErrorInvalidValue:
        return NLM_INVALID_ARGUMENT;
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorNoKernelImageForDevice:
        return NLM_UNSUPPORTED;
    default:
        return NLM_DEVICE_ERROR;
    }
}

const char* advice_for(cudaError_t error) {
    switch (error) {
    case cudaErrorNoKernelImageForDevice:
        return "; this library has no code for the device's compute capability: build it with CMAKE_CUDA_ARCHITECTURES that "
               "include it";
    case cudaErrorDevicesUnavailable:
        return "; another process holds the device in exclusive mode: end it or choose another device";
    case cudaErrorMemoryAllocation:
        return "; use a smaller model or KV cache, or free memory";
    default:
        return "";
    }
}

void mark_lost(nlm_device& device, const std::string& text) {
    const std::lock_guard<std::mutex> lock(device.loss_lock);
    if (device.lost.load()) return;
    device.loss = text;
    device.lost.store(true);
}

} // namespace

void nlm::require_not_lost(nlm_device& device) {
    if (!device.lost.load()) return;
    const std::lock_guard<std::mutex> lock(device.loss_lock);
    throw Error(NLM_DEVICE_LOST, "%s", device.loss.c_str());
}

void nlm::use_device(nlm_device& device) {
    require_not_lost(device);
    current_device = &device;
    check_cuda(cudaSetDevice(device.ordinal), "cudaSetDevice");
}

nlm_device& nlm::use_device(const nlm_stream* stream) {
    check_handle(stream, "stream");
    use_device(*stream->device);
    return *stream->device;
}

cudaStream_t nlm::cuda_stream(const nlm_stream* stream) {
    use_device(stream);
    return stream->stream;
}

void nlm::use_no_device() {
    current_device = nullptr;
}

void nlm::simt::check_cuda(cudaError_t error, const char* what) {
    if (error == cudaSuccess) return;
    cudaGetLastError(); // else the next launch would report this error as its own
    const std::string text = std::string(what) + " returned " + cudaGetErrorName(error) + " (" + cudaGetErrorString(error) + ")";
    if (!is_sticky(error)) throw Error(status_of(error), "%s%s", text.c_str(), advice_for(error));
    const std::string loss = text + "; the device is lost to this process, which must be restarted";
    if (current_device != nullptr) mark_lost(*current_device, loss);
    throw Error(NLM_DEVICE_LOST, "%s", loss.c_str());
}
