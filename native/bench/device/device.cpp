#include "device.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>
#include <stdexcept>
#include <utility>

namespace nlm::bench {

void require(int32_t status) {
    if (status != NLM_OK) throw std::runtime_error(nlm_last_error());
}

Device::Device(bool sm90a) {
    nlm_device_options options{};
    options.size = sizeof options;
    // The switch is read when a device opens.
    if (sm90a) setenv("NATIVELM_SM90A", "1", 1);
    const int32_t status = nlm_device_open(&options, &device_);
    if (sm90a) unsetenv("NATIVELM_SM90A");
    require(status);
    require(nlm_stream_create(device_, &stream_));
    info_.size = sizeof info_;
    require(nlm_device_get_info(device_, &info_));
}

Device::~Device() {
    nlm_stream_destroy(stream_);
    nlm_device_close(device_);
}

int64_t Device::free_bytes() const {
    nlm_device_info info{};
    info.size = sizeof info;
    require(nlm_device_get_info(device_, &info));
    return info.memory_bytes_free;
}

Memory::Memory(const Device& device, int64_t bytes, nlm_memory kind) : device_(device.handle()), bytes_(bytes) {
    void* memory = nullptr;
    require(nlm_memory_allocate(device_, bytes, kind, &memory));
    data_ = static_cast<char*>(memory);
}

Memory::~Memory() {
    if (data_ != nullptr) nlm_memory_free(device_, data_);
}

Memory::Memory(Memory&& other) noexcept
    : device_(other.device_), data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Memory upload_bytes(const Device& device, const void* source, int64_t bytes) {
    Memory memory(device, std::max<int64_t>(bytes, 1));
    if (bytes > 0) require(nlm_copy(device.stream(), memory.data(), source, bytes, NLM_COPY_TO_DEVICE));
    device.synchronize();
    return memory;
}

namespace {

// Fills memory with repetitions of `piece`: the part already filled is the source of the next, larger copy.
Memory repeated(const Device& device, const std::vector<char>& piece, int64_t bytes) {
    Memory memory(device, bytes);
    int64_t filled = std::min(bytes, static_cast<int64_t>(piece.size()));
    require(nlm_copy(device.stream(), memory.data(), piece.data(), filled, NLM_COPY_TO_DEVICE));
    while (filled < bytes) {
        const int64_t next = std::min(filled, bytes - filled);
        require(nlm_copy(device.stream(), memory.data() + filled, memory.data(), next, NLM_COPY_ON_DEVICE));
        filled += next;
    }
    device.synchronize();
    return memory;
}

constexpr int64_t piece_bytes = int64_t{16} << 20;

// `Value` elements made from 32 random bits each.
template <typename Value, typename Make> std::vector<char> random_piece(int64_t bytes, Make make) {
    std::mt19937 random(20230912);
    std::vector<char> piece(static_cast<size_t>(std::min(bytes, piece_bytes)));
    for (size_t i = 0; i + sizeof(Value) <= piece.size(); i += sizeof(Value)) {
        const Value value = make(static_cast<uint32_t>(random()));
        std::memcpy(&piece[i], &value, sizeof value);
    }
    return piece;
}

} // namespace

Memory random_bf16(const Device& device, int64_t bytes) {
    // Exponent of 1/16, random sign and fraction.
    const auto make = [](uint32_t bits) { return static_cast<uint16_t>(0x3d80u | (bits & 0x807fu)); };
    return repeated(device, random_piece<uint16_t>(bytes, make), bytes);
}

Memory random_logits(const Device& device, int64_t bytes) {
    const auto make = [](uint32_t bits) { return static_cast<float>(static_cast<int32_t>(bits)) * 0x1p-28f; };
    return repeated(device, random_piece<float>(bytes, make), bytes);
}

} // namespace nlm::bench
