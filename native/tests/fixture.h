// A device with a stream, device memory that frees itself, and the list of targets the loaded library offers on this machine.
#pragma once

#include "harness.h"
#include "nativelm.h"

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace nlm::tests {

// For calls that are not the test's subject: throws where the test could not go on.
inline void require_ok(int32_t status, const char* what) {
    if (status != NLM_OK) throw std::runtime_error(std::string(what) + ": " + nlm_last_error());
}

class TestDevice {
public:
    explicit TestDevice(nlm_isa isa = NLM_ISA_AUTO, int thread_count = 2) {
        nlm_device_options options{};
        options.size = sizeof options;
        options.thread_count = thread_count;
        options.isa = isa;
        require_ok(nlm_device_open(&options, &device_), "nlm_device_open");
        require_ok(nlm_stream_create(device_, &stream_), "nlm_stream_create");
    }
    ~TestDevice() {
        nlm_stream_destroy(stream_);
        nlm_device_close(device_);
    }
    TestDevice(const TestDevice&) = delete;
    TestDevice& operator=(const TestDevice&) = delete;

    nlm_device* device() const { return device_; }
    nlm_stream* stream() const { return stream_; }
    // Failures of work that was queued come out here.
    void synchronize() const { require_ok(nlm_stream_synchronize(stream_), "nlm_stream_synchronize"); }

private:
    nlm_device* device_ = nullptr;
    nlm_stream* stream_ = nullptr;
};

// Device memory, reached by the host through copies only. Reads and writes are complete when they return.
template <typename T> class Buffer {
public:
    Buffer(const TestDevice& device, size_t count) : device_(device.device()), stream_(device.stream()), count_(count) {
        void* memory = nullptr;
        require_ok(nlm_memory_allocate(device_, bytes(count > 0 ? count : 1), NLM_MEMORY_DEVICE, &memory), "nlm_memory_allocate");
        data_ = static_cast<T*>(memory);
    }
    Buffer(const TestDevice& device, const std::vector<T>& values) : Buffer(device, values.size()) { write(values); }
    ~Buffer() { nlm_memory_free(device_, data_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    // A device pointer: for arguments, never for the host to follow.
    T* data() const { return data_; }
    size_t size() const { return count_; }

    void write(const std::vector<T>& values, size_t first = 0) const {
        if (first > count_ || values.size() > count_ - first) throw std::out_of_range("written past the end of a buffer");
        if (values.empty()) return;
        require_ok(nlm_copy(stream_, data_ + first, values.data(), bytes(values.size()), NLM_COPY_TO_DEVICE), "nlm_copy");
        synchronize();
    }
    void fill(int byte) const {
        require_ok(nlm_fill(stream_, data_, byte, bytes(count_)), "nlm_fill");
        synchronize();
    }
    std::vector<T> read() const {
        std::vector<T> values(count_);
        if (values.empty()) return values;
        require_ok(nlm_copy(stream_, values.data(), data_, bytes(count_), NLM_COPY_TO_HOST), "nlm_copy");
        synchronize();
        note_result(values.data(), values.size() * sizeof(T));
        return values;
    }

private:
    static int64_t bytes(size_t count) { return static_cast<int64_t>(count * sizeof(T)); }
    void synchronize() const { require_ok(nlm_stream_synchronize(stream_), "nlm_stream_synchronize"); }

    nlm_device* device_;
    nlm_stream* stream_;
    T* data_ = nullptr;
    size_t count_;
};

// Device memory with a host copy beside it: fill in `host`, upload(), run, download(), look at `host`.
template <typename T> struct Mirror : Buffer<T> {
    Mirror(const TestDevice& device, size_t count) : Buffer<T>(device, count), host(count) {}

    T& operator[](size_t index) { return host[index]; }
    const T& operator[](size_t index) const { return host[index]; }
    void upload() const { this->write(host); }
    void download() { host = this->read(); }

    std::vector<T> host;
};

// Host memory that a device copies from and to.
class PinnedMemory {
public:
    PinnedMemory(const TestDevice& device, size_t bytes) : device_(device.device()), bytes_(bytes) {
        void* memory = nullptr;
        require_ok(nlm_memory_allocate(device_, static_cast<int64_t>(bytes), NLM_MEMORY_PINNED, &memory), "nlm_memory_allocate");
        data_ = static_cast<unsigned char*>(memory);
    }
    ~PinnedMemory() { nlm_memory_free(device_, data_); }
    PinnedMemory(const PinnedMemory&) = delete;
    PinnedMemory& operator=(const PinnedMemory&) = delete;

    unsigned char* data() const { return data_; }
    std::vector<unsigned char> copy() const {
        note_result(data_, bytes_);
        return {data_, data_ + bytes_};
    }

private:
    nlm_device* device_;
    unsigned char* data_ = nullptr;
    size_t bytes_;
};

inline bool refused_by_name(int32_t status, const char* name) {
    return status == NLM_INVALID_ARGUMENT && std::strstr(nlm_last_error(), name) != nullptr;
}

inline bool on_cpu() {
    return nlm_backend_kind() == NLM_BACKEND_CPU;
}

// Kernels run on an emulator: about a thousand times slower than on the processor, so sweeps take fewer and smaller shapes, which
// still cross every tile boundary.
inline bool on_emulator() {
    return nlm_backend_kind() == NLM_BACKEND_EMULATED;
}

// Numbers in device memory that are out of range: refused by name where the host can see them (cpu), elsewhere stepped over by
// the kernel, which neither fails nor touches anything outside its operands.
inline void check_refused_or_harmless(const TestDevice& device, int32_t status, const char* name) {
    if (on_cpu()) {
        CHECK(refused_by_name(status, name), "%s: status %d, %s", name, status, nlm_last_error());
    } else {
        CHECK(status == NLM_OK, "%s: status %d, %s", name, status, nlm_last_error());
        CHECK(nlm_stream_synchronize(device.stream()) == NLM_OK, "%s: %s", name, nlm_last_error());
    }
}

// What a test runs on: on cpu every family this machine can run, lowest first; elsewhere the one device.
inline std::vector<nlm_isa> targets() {
    if (!on_cpu()) return {NLM_ISA_AUTO};
    std::vector<nlm_isa> families;
    for (const nlm_isa isa : {NLM_ISA_SCALAR, NLM_ISA_AVX2, NLM_ISA_AVX512, NLM_ISA_AVX512_BF16, NLM_ISA_AMX})
        if (nlm_isa_supported(isa)) families.push_back(isa);
    return families;
}

inline const char* target_name(nlm_isa isa) {
    if (!on_cpu()) return on_emulator() ? "emulated" : "cuda";
    static const char* const names[] = {"auto", "scalar", "avx2", "avx512", "avx512_bf16", "amx"};
    return names[isa];
}

// Worker threads that a bit-for-bit comparison varies; a GPU has none to vary.
inline std::vector<int> thread_counts(std::vector<int> on_processor) {
    return on_cpu() ? on_processor : std::vector<int>{0};
}

} // namespace nlm::tests
