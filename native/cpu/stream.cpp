// Streams and events of the CPU device. Work is synchronous, so an event is complete as soon as it is recorded.
#include "graph.h"

#include <cstring>

using namespace nlm;
using namespace nlm::cpu;

namespace {

template <typename Handle> void create(nlm_device* device, Handle** handle) {
    NLM_REQUIRE(handle != nullptr, "result: expected a pointer, found null");
    *handle = nullptr;
    NLM_REQUIRE(device != nullptr, "device: expected a handle, found null");
    *handle = new Handle{device};
    device->open_handles.fetch_add(1);
}

template <typename Handle> void destroy(Handle* handle) {
    NLM_REQUIRE(handle != nullptr, "expected a handle, found null");
    handle->device->open_handles.fetch_sub(1);
    delete handle;
}

template <typename Handle> void check_handle(Handle* handle, const char* name) {
    NLM_REQUIRE(handle != nullptr, "%s: expected a handle, found null", name);
}

// A graph may be launched long after the caller's own memory is gone.
void check_recordable(const nlm_stream* stream, const void* memory, int64_t bytes, const char* name) {
    if (!is_recording(stream)) return;
    nlm_device& device = *stream->device;
    const std::lock_guard lock(device.memory_lock);
    auto found = device.allocations.upper_bound(const_cast<void*>(memory));
    const auto address = reinterpret_cast<uintptr_t>(memory);
    const bool is_ours = found != device.allocations.begin() && [&] {
        --found;
        const uintptr_t offset = address - reinterpret_cast<uintptr_t>(found->first);
        return offset <= found->second && static_cast<uintptr_t>(bytes) <= found->second - offset;
    }();
    NLM_REQUIRE(is_ours, "%s: a graph may only name device and pinned memory, found %p", name, memory);
}

} // namespace

extern "C" int32_t nlm_stream_create(nlm_device* device, nlm_stream** stream) {
    return guard("nlm_stream_create", [&] { create(device, stream); });
}

extern "C" int32_t nlm_stream_destroy(nlm_stream* stream) {
    return guard("nlm_stream_destroy", [&] {
        NLM_REQUIRE(stream == nullptr || !is_recording(stream), "stream: it records; end the graph first");
        destroy(stream);
    });
}

extern "C" int32_t nlm_stream_synchronize(nlm_stream* stream) {
    return guard("nlm_stream_synchronize", [&] {
        check_handle(stream, "stream");
        refuse_while_recording(stream);
    });
}

extern "C" int32_t nlm_event_create(nlm_device* device, nlm_event** event) {
    return guard("nlm_event_create", [&] { create(device, event); });
}

extern "C" int32_t nlm_event_destroy(nlm_event* event) {
    return guard("nlm_event_destroy", [&] { destroy(event); });
}

extern "C" int32_t nlm_event_record(nlm_event* event, nlm_stream* stream) {
    return guard("nlm_event_record", [&] {
        check_handle(event, "event");
        check_handle(stream, "stream");
        NLM_REQUIRE(event->device == stream->device, "event and stream belong to different devices");
        refuse_while_recording(stream);
    });
}

extern "C" int32_t nlm_stream_wait_event(nlm_stream* stream, nlm_event* event) {
    return guard("nlm_stream_wait_event", [&] {
        check_handle(stream, "stream");
        check_handle(event, "event");
        NLM_REQUIRE(event->device == stream->device, "event and stream belong to different devices");
        refuse_while_recording(stream);
    });
}

extern "C" int32_t nlm_event_synchronize(nlm_event* event) {
    return guard("nlm_event_synchronize", [&] { check_handle(event, "event"); });
}

extern "C" int32_t nlm_event_query(nlm_event* event, int32_t* done) {
    return guard("nlm_event_query", [&] {
        check_handle(event, "event");
        NLM_REQUIRE(done != nullptr, "done: expected a pointer, found null");
        *done = 1;
    });
}

extern "C" int32_t nlm_copy(nlm_stream* stream, void* destination, const void* source, int64_t bytes, int32_t kind) {
    return guard("nlm_copy", [&] {
        check_handle(stream, "stream");
        NLM_REQUIRE(kind >= NLM_COPY_TO_DEVICE && kind <= NLM_COPY_ON_DEVICE, "kind: expected 0 to 2, found %d", kind);
        check_range(bytes, 0, INT64_MAX, "bytes");
        if (bytes == 0) return;
        check_pointer(destination, "destination", 1);
        check_pointer(source, "source", 1);
        check_recordable(stream, destination, bytes, "destination");
        check_recordable(stream, source, bytes, "source");
        submit(stream, [=] { std::memmove(destination, source, static_cast<size_t>(bytes)); });
    });
}

extern "C" int32_t nlm_fill(nlm_stream* stream, void* destination, int32_t value, int64_t bytes) {
    return guard("nlm_fill", [&] {
        check_handle(stream, "stream");
        check_range(value, 0, 255, "value");
        check_range(bytes, 0, INT64_MAX, "bytes");
        if (bytes == 0) return;
        check_pointer(destination, "destination", 1);
        check_recordable(stream, destination, bytes, "destination");
        submit(stream, [=] { std::memset(destination, value, static_cast<size_t>(bytes)); });
    });
}
