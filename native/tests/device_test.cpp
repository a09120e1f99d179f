#include "fixture.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

using namespace nlm::tests;

namespace {

// The last call failed with this status and left a message that contains the text.
bool failed_with(int32_t found, int32_t expected, const char* text) {
    return found == expected && std::strstr(nlm_last_error(), text) != nullptr;
}

nlm_device_options default_options() {
    nlm_device_options options{};
    options.size = sizeof options;
    return options;
}

} // namespace

TEST("An_open_device_describes_itself") {
    TestDevice device;
    nlm_device_info info{};
    info.size = sizeof info;
    CHECK(nlm_device_get_info(device.device(), &info) == NLM_OK, "%s", nlm_last_error());
    CHECK(info.backend == nlm_backend_kind());
    CHECK(info.memory_bytes_total > 0 && info.memory_bytes_free > 0 && info.memory_bytes_free <= info.memory_bytes_total);
    CHECK(info.name[0] != 0);
    CHECK((info.thread_count > 0) == on_cpu() && (info.isa > 0) == on_cpu());
    CHECK((info.compute_capability > 0) != on_cpu() && (info.multiprocessors > 0) != on_cpu());
}

TEST("Bad_device_arguments_return_a_status_and_a_message") {
    nlm_device_options options = default_options();
    nlm_device* device = nullptr;
    CHECK(failed_with(nlm_device_open(nullptr, &device), NLM_INVALID_ARGUMENT, "options"));
    CHECK(failed_with(nlm_device_open(&options, nullptr), NLM_INVALID_ARGUMENT, "device"));
    options.size = 4;
    CHECK(failed_with(nlm_device_open(&options, &device), NLM_INVALID_ARGUMENT, "size"));
    options = default_options();
    options.ordinal = 1000;
    CHECK(failed_with(nlm_device_open(&options, &device), NLM_INVALID_ARGUMENT, "ordinal"));
    options = default_options();
    options.thread_count = -1;
    CHECK(failed_with(nlm_device_open(&options, &device), NLM_INVALID_ARGUMENT, "thread_count"));
    options = default_options();
    options.isa = 99;
    CHECK(failed_with(nlm_device_open(&options, &device), NLM_INVALID_ARGUMENT, "isa"));
    CHECK(failed_with(nlm_device_close(nullptr), NLM_INVALID_ARGUMENT, "device"));
    CHECK(nlm_isa_supported(-1) == 0 && nlm_isa_supported(99) == 0);
}

TEST("Memory_is_zero_aligned_and_writable_to_its_last_byte") {
    TestDevice device;
    for (const int64_t bytes : {int64_t{1}, int64_t{64}, int64_t{4097}, int64_t{5} << 20}) {
        void* memory = nullptr;
        CHECK(nlm_memory_allocate(device.device(), bytes, NLM_MEMORY_DEVICE, &memory) == NLM_OK, "%s", nlm_last_error());
        CHECK(reinterpret_cast<uintptr_t>(memory) % 64 == 0);
        std::vector<unsigned char> host(static_cast<size_t>(bytes), 7);
        CHECK(nlm_copy(device.stream(), host.data(), memory, bytes, NLM_COPY_TO_HOST) == NLM_OK, "%s", nlm_last_error());
        device.synchronize();
        CHECK(std::count(host.begin(), host.end(), 0) == bytes, "fresh memory is zero");
        CHECK(nlm_fill(device.stream(), memory, 7, bytes) == NLM_OK, "%s", nlm_last_error());
        device.synchronize();
        CHECK(nlm_memory_free(device.device(), memory) == NLM_OK);
    }
}

TEST("Memory_that_cannot_be_had_or_is_not_ours_is_refused") {
    TestDevice device;
    void* memory = nullptr;
    CHECK(failed_with(nlm_memory_allocate(device.device(), 0, NLM_MEMORY_DEVICE, &memory), NLM_INVALID_ARGUMENT, "bytes"));
    CHECK(failed_with(nlm_memory_allocate(device.device(), -5, NLM_MEMORY_DEVICE, &memory), NLM_INVALID_ARGUMENT, "bytes"));
    CHECK(
        failed_with(nlm_memory_allocate(device.device(), INT64_MAX, NLM_MEMORY_DEVICE, &memory), NLM_INVALID_ARGUMENT, "bytes"));
    CHECK(failed_with(nlm_memory_allocate(device.device(), int64_t{1} << 47, NLM_MEMORY_DEVICE, &memory), NLM_OUT_OF_MEMORY,
                      "refused"));
    CHECK(failed_with(nlm_memory_allocate(device.device(), 64, 2, &memory), NLM_INVALID_ARGUMENT, "kind"));
    CHECK(failed_with(nlm_memory_allocate(nullptr, 64, 0, &memory), NLM_INVALID_ARGUMENT, "device"));
    CHECK(failed_with(nlm_memory_allocate(device.device(), 64, 0, nullptr), NLM_INVALID_ARGUMENT, "memory"));
    int local = 0;
    CHECK(failed_with(nlm_memory_free(device.device(), &local), NLM_INVALID_ARGUMENT, "not allocated"));
    CHECK(nlm_memory_free(device.device(), nullptr) == NLM_OK);
}

TEST("A_device_in_use_does_not_close") {
    nlm_device_options options = default_options();
    nlm_device* device = nullptr;
    nlm_stream* stream = nullptr;
    void* memory = nullptr;
    CHECK(nlm_device_open(&options, &device) == NLM_OK);
    CHECK(nlm_stream_create(device, &stream) == NLM_OK);
    CHECK(nlm_memory_allocate(device, 64, NLM_MEMORY_PINNED, &memory) == NLM_OK);
    CHECK(failed_with(nlm_device_close(device), NLM_INVALID_ARGUMENT, "still open"));
    CHECK(nlm_stream_destroy(stream) == NLM_OK);
    CHECK(nlm_memory_free(device, memory) == NLM_OK);
    CHECK(nlm_device_close(device) == NLM_OK, "%s", nlm_last_error());
}

TEST("Copies_and_fills_move_exactly_their_bytes") {
    TestDevice device;
    Buffer<unsigned char> buffer(device, 300);
    std::vector<unsigned char> host(300);
    for (size_t i = 0; i < host.size(); ++i) host[i] = static_cast<unsigned char>(i);
    CHECK(nlm_copy(device.stream(), buffer.data() + 1, host.data(), 100, NLM_COPY_TO_DEVICE) == NLM_OK);
    std::vector<unsigned char> found = buffer.read();
    CHECK(found[0] == 0 && found[1] == 0 && found[100] == 99 && found[101] == 0);
    CHECK(nlm_copy(device.stream(), buffer.data() + 200, buffer.data() + 1, 100, NLM_COPY_ON_DEVICE) == NLM_OK);
    found = buffer.read();
    CHECK(std::memcmp(found.data() + 200, host.data(), 100) == 0);
    CHECK(nlm_fill(device.stream(), buffer.data() + 10, 0xff, 5) == NLM_OK);
    found = buffer.read();
    CHECK(found[9] == 8 && found[10] == 0xff && found[14] == 0xff && found[15] == 14);
    CHECK(nlm_copy(device.stream(), nullptr, nullptr, 0, NLM_COPY_TO_HOST) == NLM_OK);
    CHECK(failed_with(nlm_copy(device.stream(), nullptr, host.data(), 4, 0), NLM_INVALID_ARGUMENT, "destination"));
    CHECK(failed_with(nlm_copy(device.stream(), buffer.data(), host.data(), -1, 0), NLM_INVALID_ARGUMENT, "bytes"));
    CHECK(failed_with(nlm_copy(device.stream(), buffer.data(), host.data(), 4, 9), NLM_INVALID_ARGUMENT, "kind"));
    CHECK(failed_with(nlm_copy(nullptr, buffer.data(), host.data(), 4, 0), NLM_INVALID_ARGUMENT, "stream"));
    CHECK(failed_with(nlm_fill(device.stream(), buffer.data(), 256, 4), NLM_INVALID_ARGUMENT, "value"));
}

TEST("Events_are_complete_once_recorded") {
    TestDevice device;
    nlm_event* event = nullptr;
    int32_t done = 0;
    CHECK(nlm_event_create(device.device(), &event) == NLM_OK);
    CHECK(nlm_event_record(event, device.stream()) == NLM_OK);
    CHECK(nlm_event_synchronize(event) == NLM_OK);
    CHECK(nlm_event_query(event, &done) == NLM_OK && done == 1);
    CHECK(failed_with(nlm_event_query(event, nullptr), NLM_INVALID_ARGUMENT, "done"));
    CHECK(failed_with(nlm_event_record(event, nullptr), NLM_INVALID_ARGUMENT, "stream"));
    CHECK(nlm_event_destroy(event) == NLM_OK);
    CHECK(failed_with(nlm_event_destroy(nullptr), NLM_INVALID_ARGUMENT, "handle"));
    CHECK(failed_with(nlm_stream_synchronize(nullptr), NLM_INVALID_ARGUMENT, "stream"));
}

TEST("A_success_keeps_the_message_of_the_last_failure_and_never_null") {
    CHECK(nlm_last_error() != nullptr);
    CHECK(nlm_device_close(nullptr) == NLM_INVALID_ARGUMENT);
    const std::string message = nlm_last_error();
    CHECK(message.rfind("nlm_device_close: ", 0) == 0, "%s", message.c_str());
    CHECK(nlm_abi_version() == 1);
    CHECK(message == nlm_last_error());
}
