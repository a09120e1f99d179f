// The device under test, memory on it, and random bytes to fill that memory with.
#pragma once

#include "nativelm.h"

#include <cstdint>
#include <string>
#include <vector>

namespace nlm::bench {

// Throws the library's message for any status but NLM_OK.
void require(int32_t status);

class Device {
public:
    // `sm90a` switches on the kernels for sm_90a, which throws where there are none.
    explicit Device(bool sm90a = false);
    ~Device();
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    nlm_device* handle() const { return device_; }
    nlm_stream* stream() const { return stream_; }
    const nlm_device_info& info() const { return info_; }
    // On the emulator time does not pass: sizes are tiny and no figure comes out.
    bool is_emulated() const { return info_.backend == NLM_BACKEND_EMULATED; }
    int64_t free_bytes() const;
    void synchronize() const { require(nlm_stream_synchronize(stream_)); }

private:
    nlm_device* device_ = nullptr;
    nlm_stream* stream_ = nullptr;
    nlm_device_info info_{};
};

// Bytes on the device (or pinned on the host) that free themselves.
class Memory {
public:
    Memory(const Device& device, int64_t bytes, nlm_memory kind = NLM_MEMORY_DEVICE);
    ~Memory();
    Memory(Memory&& other) noexcept;
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    Memory& operator=(Memory&&) = delete;

    char* data() const { return data_; }
    int64_t bytes() const { return bytes_; }
    template <typename T> T* as() const { return reinterpret_cast<T*>(data_); }

private:
    nlm_device* device_;
    char* data_ = nullptr;
    int64_t bytes_;
};

// Copies host values to new device memory.
Memory upload_bytes(const Device& device, const void* source, int64_t bytes);
template <typename T> Memory upload(const Device& device, const std::vector<T>& values) {
    return upload_bytes(device, values.data(), static_cast<int64_t>(values.size() * sizeof(T)));
}

// Random values, never zeros, which run faster than real data: bf16 of both signs between 1/16 and 1/8, or fp32 logits between -8
// and 8. A 16 MiB piece is repeated; it has no period that a cache could use.
Memory random_bf16(const Device& device, int64_t bytes);
Memory random_logits(const Device& device, int64_t bytes);

} // namespace nlm::bench
