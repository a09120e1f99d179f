// A device with a stream, device buffers that free themselves, and the list of families this machine can run.
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

private:
    nlm_device* device_ = nullptr;
    nlm_stream* stream_ = nullptr;
};

// Device memory; on the cpu backend the host may read and write it.
template <typename T> class Buffer {
public:
    Buffer(const TestDevice& device, size_t count) : device_(device.device()), count_(count) {
        void* memory = nullptr;
        require_ok(
            nlm_memory_allocate(device_, static_cast<int64_t>((count > 0 ? count : 1) * sizeof(T)), NLM_MEMORY_DEVICE, &memory),
            "nlm_memory_allocate");
        data_ = static_cast<T*>(memory);
    }
    Buffer(const TestDevice& device, const std::vector<T>& values) : Buffer(device, values.size()) {
        if (!values.empty()) std::memcpy(data_, values.data(), values.size() * sizeof(T));
    }
    ~Buffer() { nlm_memory_free(device_, data_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    T* data() const { return data_; }
    size_t size() const { return count_; }
    T& operator[](size_t index) const { return data_[index]; }
    std::vector<T> copy() const { return std::vector<T>(data_, data_ + count_); }

private:
    nlm_device* device_;
    T* data_ = nullptr;
    size_t count_;
};

// Every family this machine can run, lowest first.
inline std::vector<nlm_isa> supported_families() {
    std::vector<nlm_isa> families;
    for (const nlm_isa isa : {NLM_ISA_SCALAR, NLM_ISA_AVX2, NLM_ISA_AVX512, NLM_ISA_AVX512_BF16, NLM_ISA_AMX})
        if (nlm_isa_supported(isa)) families.push_back(isa);
    return families;
}

inline const char* family_name(nlm_isa isa) {
    static const char* const names[] = {"auto", "scalar", "avx2", "avx512", "avx512_bf16", "amx"};
    return names[isa];
}

} // namespace nlm::tests
