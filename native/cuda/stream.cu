// Streams, events, copies and fills.
#include "runtime.h"

#include <memory>

using namespace nlm;

namespace {

cudaMemcpyKind copy_kind(int32_t kind) {
    return kind == NLM_COPY_TO_DEVICE ? cudaMemcpyHostToDevice
           : kind == NLM_COPY_TO_HOST ? cudaMemcpyDeviceToHost
                                      : cudaMemcpyDeviceToDevice;
}

// Checks and clears the result, counts the new handle.
template <typename Handle, typename Create> void create(nlm_device* device, Handle** handle, Create&& body) {
    NLM_REQUIRE(handle != nullptr, "result: expected a pointer, found null");
    *handle = nullptr;
    check_handle(device, "device");
    use_device(*device);
    auto created = std::make_unique<Handle>();
    created->device = device;
    body(*created);
    device->open_handles.fetch_add(1);
    *handle = created.release();
}

// The handle is gone in any case; a lost device is reported after that.
template <typename Handle, typename Destroy> void destroy(Handle* handle, const char* what, const char* call, Destroy&& body) {
    NLM_REQUIRE(handle != nullptr, "expected a handle, found null");
    refuse_in_capture(what);
    const std::unique_ptr<Handle> destroyed(handle);
    destroyed->device->open_handles.fetch_sub(1);
    const cudaError_t error = body(*destroyed);
    use_device(*destroyed->device);
    check_cuda(error, call);
}

void check_same_device(const nlm_event* event, const nlm_stream* stream) {
    NLM_REQUIRE(event->device == stream->device, "event and stream belong to different devices");
}

} // namespace

extern "C" int32_t nlm_stream_create(nlm_device* device, nlm_stream** stream) {
    return guard("nlm_stream_create", [&] {
        create(device, stream, [](nlm_stream& created) {
            check_cuda(cudaStreamCreateWithFlags(&created.stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
        });
    });
}

extern "C" int32_t nlm_stream_destroy(nlm_stream* stream) {
    return guard("nlm_stream_destroy", [&] {
        destroy(stream, "destroying a stream", "cudaStreamDestroy", [](nlm_stream& s) { return cudaStreamDestroy(s.stream); });
    });
}

extern "C" int32_t nlm_stream_synchronize(nlm_stream* stream) {
    return guard("nlm_stream_synchronize", [&] {
        const cudaStream_t queue = cuda_stream(stream);
        refuse_in_capture("synchronising a stream");
        check_cuda(cudaStreamSynchronize(queue), "cudaStreamSynchronize");
    });
}

extern "C" int32_t nlm_event_create(nlm_device* device, nlm_event** event) {
    return guard("nlm_event_create", [&] {
        create(device, event, [](nlm_event& created) {
            check_cuda(cudaEventCreateWithFlags(&created.event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
        });
    });
}

extern "C" int32_t nlm_event_destroy(nlm_event* event) {
    return guard("nlm_event_destroy", [&] {
        destroy(event, "destroying an event", "cudaEventDestroy", [](nlm_event& e) { return cudaEventDestroy(e.event); });
    });
}

extern "C" int32_t nlm_event_record(nlm_event* event, nlm_stream* stream) {
    return guard("nlm_event_record", [&] {
        check_handle(event, "event");
        const cudaStream_t queue = cuda_stream(stream);
        check_same_device(event, stream);
        refuse_in_capture("recording an event", stream);
        check_cuda(cudaEventRecord(event->event, queue), "cudaEventRecord");
    });
}

extern "C" int32_t nlm_event_synchronize(nlm_event* event) {
    return guard("nlm_event_synchronize", [&] {
        check_handle(event, "event");
        use_device(*event->device);
        refuse_in_capture("synchronising an event");
        check_cuda(cudaEventSynchronize(event->event), "cudaEventSynchronize");
    });
}

extern "C" int32_t nlm_event_query(nlm_event* event, int32_t* done) {
    return guard("nlm_event_query", [&] {
        check_handle(event, "event");
        NLM_REQUIRE(done != nullptr, "done: expected a pointer, found null");
        use_device(*event->device);
        refuse_in_capture("asking for an event");
        const cudaError_t error = cudaEventQuery(event->event);
        if (error == cudaErrorNotReady)
            cudaGetLastError(); // an answer, not an error
        else
            check_cuda(error, "cudaEventQuery");
        *done = error == cudaSuccess ? 1 : 0;
    });
}

extern "C" int32_t nlm_stream_wait_event(nlm_stream* stream, nlm_event* event) {
    return guard("nlm_stream_wait_event", [&] {
        const cudaStream_t queue = cuda_stream(stream);
        check_handle(event, "event");
        check_same_device(event, stream);
        refuse_in_capture("waiting for an event", stream);
        check_cuda(cudaStreamWaitEvent(queue, event->event, 0), "cudaStreamWaitEvent");
    });
}

extern "C" int32_t nlm_copy(nlm_stream* stream, void* destination, const void* source, int64_t bytes, int32_t kind) {
    return guard("nlm_copy", [&] {
        const cudaStream_t queue = cuda_stream(stream);
        NLM_REQUIRE(kind >= NLM_COPY_TO_DEVICE && kind <= NLM_COPY_ON_DEVICE, "kind: expected 0 to 2, found %d", kind);
        check_range(bytes, 0, INT64_MAX, "bytes");
        if (bytes == 0) return;
        check_pointer(destination, "destination", 1);
        check_pointer(source, "source", 1);
        check_recordable(stream, destination, bytes, "destination");
        check_recordable(stream, source, bytes, "source");
        check_cuda(cudaMemcpyAsync(destination, source, static_cast<size_t>(bytes), copy_kind(kind), queue), "cudaMemcpyAsync");
    });
}

extern "C" int32_t nlm_fill(nlm_stream* stream, void* destination, int32_t value, int64_t bytes) {
    return guard("nlm_fill", [&] {
        const cudaStream_t queue = cuda_stream(stream);
        check_range(value, 0, 255, "value");
        check_range(bytes, 0, INT64_MAX, "bytes");
        if (bytes == 0) return;
        check_pointer(destination, "destination", 1);
        check_recordable(stream, destination, bytes, "destination");
        check_cuda(cudaMemsetAsync(destination, value, static_cast<size_t>(bytes), queue), "cudaMemsetAsync");
    });
}
