// The subset of CUDA's runtime API: memory, streams, events, graphs.
//
// A stream is a queue of closures. Eager streams run work as it comes; deferred ones only when somebody waits, which is as late
// as a device may be: host code that reuses a buffer too early shows itself. Copies from memory that is not pinned take their
// bytes at the call, and copies to such memory wait, as CUDA's do.
#include "emulator_state.h"
#include "sanitizers.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

using Work = std::function<cudaError_t()>;

struct EmulatedGraph {
    std::vector<Work> work;
};

struct EmulatedGraphExec {
    std::vector<Work> work;
};

struct EmulatedStream {
    std::deque<Work> queue;
    int64_t given = 0, done = 0; // pieces of work ever queued and finished
    EmulatedGraph* capture = nullptr;
    bool capture_broken = false;
};

struct EmulatedEvent {
    EmulatedStream* stream = nullptr; // of the last record
    int64_t position = 0;             // done when the stream has done this much
};

namespace nlm::emulation {

namespace {

constexpr int runtime_version = 12040;
constexpr int old_driver_version = 11040;
constexpr size_t device_alignment = 256;
// Behind an allocation lies memory of none, so that the byte past its end is out of bounds. The address sanitizer sees to that
// itself, to the byte.
constexpr size_t gap_bytes = NLM_ADDRESS_SANITIZER ? 0 : device_alignment;

struct Allocation {
    size_t bytes;
    bool pinned;
};

struct Runtime {
    std::map<uintptr_t, Allocation> allocations;
    std::set<EmulatedStream*> streams;
    size_t device_bytes = 0;
    cudaError_t last = cudaSuccess;
    cudaError_t sticky = cudaSuccess;
};

Runtime& runtime() {
    static Runtime instance;
    return instance;
}

// Every call ends here. An illegal address answers all later calls, as on hardware. A failed check does not, so that one broken
// kernel does not fail every later test of a process; the backend itself gives the device up after either.
cudaError_t finish(cudaError_t status) {
    Runtime& r = runtime();
    if (status == cudaErrorIllegalAddress) r.sticky = status;
    if (status != cudaSuccess && status != cudaErrorNotReady) r.last = status;
    return status;
}

const std::pair<const uintptr_t, Allocation>* find(const void* p, size_t bytes) {
    const auto address = reinterpret_cast<uintptr_t>(p);
    const auto& allocations = runtime().allocations;
    auto next = allocations.upper_bound(address);
    if (next == allocations.begin()) return nullptr;
    --next;
    return address + bytes <= next->first + next->second.bytes ? &*next : nullptr;
}

bool is_pinned(const void* p, size_t bytes) {
    const auto* found = find(p, bytes);
    return found != nullptr && found->second.pinned;
}

bool is_device(const void* p, size_t bytes) {
    const auto* found = find(p, bytes);
    return found != nullptr && !found->second.pinned;
}

cudaError_t run_until(EmulatedStream& stream, int64_t position) {
    cudaError_t status = cudaSuccess;
    while (stream.done < position && !stream.queue.empty()) {
        const Work work = std::move(stream.queue.front());
        stream.queue.pop_front();
        ++stream.done;
        const cudaError_t result = runtime().sticky != cudaSuccess ? runtime().sticky : work();
        if (result != cudaSuccess) status = finish(result);
    }
    return status;
}

cudaError_t submit(cudaStream_t stream, Work work) {
    if (runtime().streams.count(stream) == 0) return finish(cudaErrorInvalidResourceHandle);
    if (stream->capture != nullptr) {
        stream->capture->work.push_back(std::move(work));
        return cudaSuccess;
    }
    stream->queue.push_back(std::move(work));
    ++stream->given;
    return settings().streams_deferred ? cudaSuccess : run_until(*stream, stream->given);
}

// A call that may not stand between the begin and the end of a capture breaks it.
bool breaks_capture(cudaStream_t stream) {
    if (stream->capture == nullptr) return false;
    stream->capture_broken = true;
    return true;
}

cudaError_t run_everything() {
    cudaError_t status = cudaSuccess;
    for (EmulatedStream* stream : runtime().streams) {
        const cudaError_t result = run_until(*stream, stream->given);
        if (result != cudaSuccess) status = result;
    }
    return status;
}

cudaError_t allocate(void** memory, size_t bytes, bool pinned) {
    Runtime& r = runtime();
    if (memory == nullptr || bytes == 0) return finish(cudaErrorInvalidValue);
    *memory = nullptr;
    if (fault_strikes(pinned ? Fault::host_malloc : Fault::malloc)) return finish(cudaErrorMemoryAllocation);
    if (!pinned && r.device_bytes + bytes > settings().memory_bytes) return finish(cudaErrorMemoryAllocation);
    void* fresh = nullptr;
    if (posix_memalign(&fresh, device_alignment, bytes + gap_bytes) != 0) return finish(cudaErrorMemoryAllocation);
    std::memset(fresh, 0xff, bytes); // NaN: what nobody wrote shows
    r.allocations[reinterpret_cast<uintptr_t>(fresh)] = {bytes, pinned};
    if (!pinned) r.device_bytes += bytes;
    count(Counter::allocations);
    count(Counter::live_allocations);
    count(Counter::live_bytes, static_cast<int64_t>(bytes));
    *memory = fresh;
    return cudaSuccess;
}

cudaError_t release(void* memory, bool pinned) {
    if (memory == nullptr) return cudaSuccess;
    Runtime& r = runtime();
    run_everything(); // freeing waits for the device
    const auto found = r.allocations.find(reinterpret_cast<uintptr_t>(memory));
    if (found == r.allocations.end() || found->second.pinned != pinned) return finish(cudaErrorInvalidValue);
    if (!pinned) r.device_bytes -= found->second.bytes;
    count(Counter::live_allocations, -1);
    count(Counter::live_bytes, -static_cast<int64_t>(found->second.bytes));
    r.allocations.erase(found);
    std::free(memory);
    return cudaSuccess;
}

cudaError_t device_status() {
    switch (pending_fault()) {
    case Fault::no_device:
        return cudaErrorNoDevice;
    case Fault::no_driver:
    case Fault::old_driver:
        return cudaErrorInsufficientDriver;
    default:
        return runtime().sticky;
    }
}

} // namespace

void clear_sticky_error() {
    runtime().sticky = runtime().last = cudaSuccess;
}

bool is_device_accessible(const void* p, size_t bytes) {
    return find(p, bytes) != nullptr;
}

cudaError_t launch(cudaStream_t stream, const Shape& shape, std::function<void()> kernel) {
    const std::lock_guard lock(emulator_lock());
    if (runtime().sticky != cudaSuccess) return finish(runtime().sticky);
    return submit(stream, [shape, kernel = std::move(kernel)] {
        if (fault_strikes(Fault::launch)) {
            set_report("an illegal memory access was injected");
            return cudaErrorIllegalAddress;
        }
        return run_grid(shape, kernel);
    });
}

} // namespace nlm::emulation

using namespace nlm::emulation;

#define NLM_LOCKED const std::lock_guard lock(emulator_lock())
#define NLM_LIVE                                                                                                                 \
    NLM_LOCKED;                                                                                                                  \
    if (runtime().sticky != cudaSuccess) return finish(runtime().sticky)

// ---- device ----

cudaError_t cudaGetDeviceCount(int* count) {
    NLM_LOCKED;
    *count = device_status() == cudaSuccess ? 1 : 0;
    return finish(device_status());
}

cudaError_t cudaSetDevice(int device) {
    NLM_LIVE;
    return finish(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
    NLM_LIVE;
    const int capability = pending_fault() == Fault::capability ? fault_value() : 90;
    switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
        *value = 4; // few, so that persistent kernels take several rounds
        return cudaSuccess;
    case cudaDevAttrL2CacheSize:
        *value = 50 << 20;
        return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
        *value = capability / 10;
        return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
        *value = capability % 10;
        return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
        *value = 228 << 10;
        return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = 227 << 10;
        return cudaSuccess;
    }
    return finish(cudaErrorInvalidValue);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
    NLM_LIVE;
    std::snprintf(properties->name, sizeof properties->name, "SIMT emulator");
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
    NLM_LIVE;
    return run_everything();
}

cudaError_t cudaDriverGetVersion(int* version) {
    NLM_LOCKED;
    *version = pending_fault() == Fault::no_driver    ? 0
               : pending_fault() == Fault::old_driver ? old_driver_version
                                                      : runtime_version;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
    NLM_LOCKED;
    *version = runtime_version;
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
    NLM_LIVE;
    *total = settings().memory_bytes;
    *free = *total - std::min(*total, runtime().device_bytes);
    return cudaSuccess;
}

// ---- memory ----

cudaError_t cudaMalloc(void** memory, size_t bytes) {
    NLM_LIVE;
    return allocate(memory, bytes, false);
}

cudaError_t cudaFree(void* memory) {
    NLM_LOCKED;
    return release(memory, false);
}

cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
    NLM_LIVE;
    return allocate(memory, bytes, true);
}

cudaError_t cudaFreeHost(void* memory) {
    NLM_LOCKED;
    return release(memory, true);
}

cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
    NLM_LIVE;
    *device = host;
    return finish(is_pinned(host, 1) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaMemcpyAsync(void* destination, const void* source, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    return cudaMemcpy2DAsync(destination, bytes, source, bytes, bytes, 1, kind, stream);
}

cudaError_t cudaMemcpy2DAsync(void* destination, size_t destination_pitch, const void* source, size_t source_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
    NLM_LIVE;
    if (width == 0 || height == 0) return cudaSuccess;
    const size_t destination_bytes = destination_pitch * (height - 1) + width, source_bytes = source_pitch * (height - 1) + width;
    const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if ((to_device && !is_device(destination, destination_bytes)) || (from_device && !is_device(source, source_bytes)))
        return finish(cudaErrorInvalidValue);
    // Memory that is not pinned: its bytes are taken at the call.
    std::string taken;
    const bool staged = !from_device && !is_pinned(source, source_bytes);
    if (staged) taken.assign(static_cast<const char*>(source), source_bytes);
    const bool waits = !to_device && !is_pinned(destination, destination_bytes);
    if (waits && breaks_capture(stream)) return finish(cudaErrorStreamCaptureUnsupported);
    const cudaError_t status = submit(stream, [=, taken = std::move(taken)] {
        if (fault_strikes(Fault::copy)) {
            set_report("a failed copy was injected");
            return cudaErrorIllegalAddress;
        }
        const char* from = staged ? taken.data() : static_cast<const char*>(source);
        for (size_t row = 0; row < height; ++row)
            std::memmove(static_cast<char*>(destination) + row * destination_pitch, from + row * source_pitch, width);
        return cudaSuccess;
    });
    return status == cudaSuccess && waits ? run_until(*stream, stream->given) : status;
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
    NLM_LIVE;
    if (bytes == 0) return cudaSuccess;
    if (!is_device_accessible(memory, bytes)) return finish(cudaErrorInvalidValue);
    return submit(stream, [=] {
        std::memset(memory, value, bytes);
        return cudaSuccess;
    });
}

// ---- streams and events ----

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
    NLM_LIVE;
    *stream = new EmulatedStream;
    runtime().streams.insert(*stream);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    NLM_LOCKED;
    if (runtime().streams.count(stream) == 0) return finish(cudaErrorInvalidResourceHandle);
    run_until(*stream, stream->given);
    runtime().streams.erase(stream);
    delete stream->capture;
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    NLM_LIVE;
    if (runtime().streams.count(stream) == 0) return finish(cudaErrorInvalidResourceHandle);
    if (breaks_capture(stream)) return finish(cudaErrorStreamCaptureUnsupported);
    return run_until(*stream, stream->given);
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
    NLM_LIVE;
    return finish(stream->done < stream->given ? cudaErrorNotReady : cudaSuccess);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
    NLM_LIVE;
    *event = new EmulatedEvent;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    NLM_LOCKED;
    delete event;
    return cudaSuccess;
}

namespace {

// Runs the work that the event stands for. A stream that is gone has done all of it.
cudaError_t wait_for(const EmulatedEvent& event) {
    if (event.stream == nullptr || runtime().streams.count(event.stream) == 0) return cudaSuccess;
    return run_until(*event.stream, event.position);
}

} // namespace

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    NLM_LIVE;
    if (breaks_capture(stream))
        return finish(cudaErrorStreamCaptureUnsupported); // this backend records events outside graphs only
    event->stream = stream;
    event->position = stream->given;
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    NLM_LIVE;
    return wait_for(*event);
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    NLM_LIVE;
    const bool pending =
        event->stream != nullptr && runtime().streams.count(event->stream) > 0 && event->stream->done < event->position;
    if (!pending) return cudaSuccess;
    // A device gets on with its work while the host asks: the next question finds one piece more done.
    const cudaError_t status = run_until(*event->stream, event->stream->done + 1);
    return status != cudaSuccess ? status : cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) {
    NLM_LIVE;
    *milliseconds = 0; // time does not pass here
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
    NLM_LIVE;
    if (breaks_capture(stream)) return finish(cudaErrorStreamCaptureUnsupported);
    const EmulatedEvent recorded = *event;
    return submit(stream, [recorded] { return wait_for(recorded); });
}

// ---- graphs ----

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    NLM_LIVE;
    if (stream->capture != nullptr) return finish(cudaErrorInvalidValue);
    stream->capture = new EmulatedGraph;
    stream->capture_broken = false;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    NLM_LIVE;
    *graph = nullptr;
    if (stream->capture == nullptr) return finish(cudaErrorInvalidValue);
    EmulatedGraph* captured = stream->capture;
    stream->capture = nullptr;
    if (stream->capture_broken) {
        delete captured;
        return finish(cudaErrorStreamCaptureInvalidated);
    }
    *graph = captured;
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
    NLM_LOCKED;
    *status = stream->capture == nullptr ? cudaStreamCaptureStatusNone
              : stream->capture_broken   ? cudaStreamCaptureStatusInvalidated
                                         : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
    NLM_LIVE;
    *executable = new EmulatedGraphExec{graph->work};
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    NLM_LIVE;
    for (const Work& work : executable->work) {
        const cudaError_t status = submit(stream, work);
        if (status != cudaSuccess) return status;
    }
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    NLM_LOCKED;
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    NLM_LOCKED;
    run_everything();
    delete executable;
    return cudaSuccess;
}

// ---- errors ----

cudaError_t cudaGetLastError() {
    NLM_LOCKED;
    const cudaError_t last = runtime().last;
    runtime().last = runtime().sticky;
    return last;
}

cudaError_t cudaPeekAtLastError() {
    NLM_LOCKED;
    return runtime().last;
}

const char* cudaGetErrorName(cudaError_t error) {
    switch (error) {
    case cudaSuccess:
        return "cudaSuccess";
    case cudaErrorInvalidValue:
        return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
        return "cudaErrorMemoryAllocation";
    case cudaErrorInsufficientDriver:
        return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
        return "cudaErrorNoDevice";
    case cudaErrorIllegalAddress:
        return "cudaErrorIllegalAddress";
    case cudaErrorLaunchFailure:
        return "cudaErrorLaunchFailure";
    case cudaErrorStreamCaptureUnsupported:
        return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
        return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorNotReady:
        return "cudaErrorNotReady";
    default:
        return "cudaError";
    }
}

const char* cudaGetErrorString(cudaError_t error) {
    switch (error) {
    case cudaErrorLaunchFailure:
    case cudaErrorIllegalAddress:
        return last_report();
    case cudaErrorInvalidValue:
        return last_report()[0] != 0 ? last_report() : "invalid argument";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorInsufficientDriver:
        return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
        return "no CUDA-capable device is detected";
    case cudaErrorStreamCaptureUnsupported:
        return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
        return "operation failed due to a previous error during capture";
    default:
        return cudaGetErrorName(error);
    }
}
