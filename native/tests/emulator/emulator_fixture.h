// Kernels of the test's own on the emulator: memory, launches whose report is the result, schedules.
#pragma once

#include "device/simt.cuh"
#include "harness.h"
#include "nativelm_emulator.h"

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace nlm::tests {

using namespace nlm::simt;

inline void require_success(cudaError_t status, const char* what) {
    if (status != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

class Stream {
public:
    Stream() { require_success(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }
    ~Stream() { cudaStreamDestroy(stream_); }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    operator cudaStream_t() const { return stream_; }
    void synchronize() const { require_success(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

private:
    cudaStream_t stream_ = nullptr;
};

// Memory of the emulated device, which is the host's too: tests look at it directly once the work is done.
template <typename T> class DeviceArray {
public:
    explicit DeviceArray(size_t count) : count_(count) {
        void* memory = nullptr;
        require_success(cudaMalloc(&memory, count * sizeof(T)), "cudaMalloc");
        data_ = static_cast<T*>(memory);
    }
    explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
        std::memcpy(static_cast<void*>(data_), values.data(), values.size() * sizeof(T));
    }
    ~DeviceArray() { cudaFree(data_); }
    DeviceArray(const DeviceArray&) = delete;
    DeviceArray& operator=(const DeviceArray&) = delete;

    T* data() const { return data_; }
    size_t size() const { return count_; }
    T& operator[](size_t index) const { return data_[index]; }
    void fill(T value) const {
        for (size_t i = 0; i < count_; ++i) data_[i] = value;
    }
    std::vector<T> copy() const { return {data_, data_ + count_}; }

private:
    T* data_ = nullptr;
    size_t count_;
};

// Settings of the emulator for the life of this object; then the defaults again.
class Settings {
public:
    explicit Settings(const std::string& settings) {
        if (nlm_emulator_configure(settings.c_str()) != 0) throw std::runtime_error("not understood: " + settings);
    }
    ~Settings() { nlm_emulator_configure("threads=forward;blocks=forward;streams=eager;memory=2147483648"); }
    Settings(const Settings&) = delete;
    Settings& operator=(const Settings&) = delete;
};

inline const std::vector<std::string>& schedules() {
    static const std::vector<std::string> all{"threads=forward;blocks=forward", "threads=reverse;blocks=reverse",
                                              "threads=random:1;blocks=forward", "threads=random:2;blocks=reverse"};
    return all;
}

// Runs a kernel to its end: "" or the text of its failure, which the device survives.
template <typename... Parameters, typename... Arguments>
std::string report_of(void (*kernel)(Parameters...), const Launch& shape, Arguments... arguments) {
    std::string report;
    const Stream stream;
    try {
        launch(kernel, shape, stream, arguments...);
        stream.synchronize();
    } catch (const std::exception& error) {
        report = error.what();
    }
    nlm_emulator_inject("");
    return report;
}

inline bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

inline int64_t counter(const char* name) {
    return nlm_emulator_counter(name);
}

} // namespace nlm::tests
