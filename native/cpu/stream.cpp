// Streams and events of the CPU device. Work is synchronous, so an event is complete as soon as it is recorded.
#include "check.h"
#include "device.h"

#include <cstring>

using namespace nlm;

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

} // namespace

extern "C" int32_t nlm_stream_create(nlm_device* device, nlm_stream** stream) {
    return guard("nlm_stream_create", [&] { create(device, stream); });
}

extern "C" int32_t nlm_stream_destroy(nlm_stream* stream) {
    return guard("nlm_stream_destroy", [&] { destroy(stream); });
}

extern "C" int32_t nlm_stream_synchronize(nlm_stream* stream) {
    return guard("nlm_stream_synchronize", [&] { check_handle(stream, "stream"); });
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
        std::memmove(destination, source, static_cast<size_t>(bytes));
    });
}

extern "C" int32_t nlm_fill(nlm_stream* stream, void* destination, int32_t value, int64_t bytes) {
    return guard("nlm_fill", [&] {
        check_handle(stream, "stream");
        check_range(value, 0, 255, "value");
        check_range(bytes, 0, INT64_MAX, "bytes");
        if (bytes == 0) return;
        check_pointer(destination, "destination", 1);
        std::memset(destination, value, static_cast<size_t>(bytes));
    });
}
