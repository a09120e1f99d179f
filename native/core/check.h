// Checks shared by every op's argument block.
#pragma once

#include "error.h"

#include <cstdint>
#include <limits>

namespace nlm {

constexpr uintptr_t buffer_alignment = 64;
constexpr int64_t count_limit = std::numeric_limits<int32_t>::max();

// The args block exists and has the size this library was compiled with.
template <typename Args> void check_args(const Args* args, const char* name = "args") {
    NLM_REQUIRE(args != nullptr, "%s: expected a pointer, found null", name);
    NLM_REQUIRE(args->size == sizeof(Args),
                "%s.size: expected %zu bytes, found %u; caller and library were built from different headers", name, sizeof(Args),
                args->size);
}

// The stream is not null and the args block is as large as this library's.
template <typename Args> void check_call(const nlm_stream* stream, const Args* args) {
    NLM_REQUIRE(stream != nullptr, "stream: expected a stream, found null");
    check_args(args);
}

inline void check_pointer(const void* pointer, const char* name, uintptr_t alignment) {
    NLM_REQUIRE(pointer != nullptr, "%s: expected a pointer, found null", name);
    NLM_REQUIRE(reinterpret_cast<uintptr_t>(pointer) % alignment == 0, "%s: expected %zu-byte alignment, found address %p", name,
                static_cast<size_t>(alignment), pointer);
}

// May be null.
inline void check_optional_pointer(const void* pointer, const char* name, uintptr_t alignment) {
    if (pointer != nullptr) check_pointer(pointer, name, alignment);
}

inline void check_range(int64_t value, int64_t low, int64_t high, const char* name) {
    NLM_REQUIRE(value >= low && value <= high, "%s: expected %lld to %lld, found %lld", name, static_cast<long long>(low),
                static_cast<long long>(high), static_cast<long long>(value));
}

inline void check_workspace(const void* workspace, int64_t found, int64_t needed) {
    check_pointer(workspace, "workspace", buffer_alignment);
    NLM_REQUIRE(found >= needed, "workspace_bytes: expected at least %lld, found %lld", static_cast<long long>(needed),
                static_cast<long long>(found));
}

// Product of two sizes; refuses overflow.
inline int64_t checked_product(int64_t left, int64_t right, const char* name) {
    int64_t product = 0;
    NLM_REQUIRE(!__builtin_mul_overflow(left, right, &product), "%s: %lld x %lld overflows 64 bits", name,
                static_cast<long long>(left), static_cast<long long>(right));
    return product;
}

// rows · columns elements must be addressable.
inline void check_extent(int64_t rows, int64_t columns, int64_t element_bytes, const char* name) {
    checked_product(checked_product(rows, columns, name), element_bytes, name);
}

inline bool is_floating_type(int32_t type) {
    return type == NLM_F32 || type == NLM_BF16 || type == NLM_F16;
}

inline const char* type_name(int32_t type) {
    switch (type) {
    case NLM_F32:
        return "f32";
    case NLM_BF16:
        return "bf16";
    case NLM_F16:
        return "f16";
    case NLM_I32:
        return "i32";
    default:
        return "an unknown type";
    }
}

inline void check_floating_type(int32_t type, const char* name) {
    NLM_REQUIRE(is_floating_type(type), "%s: expected f32 (0), bf16 (1) or f16 (2), found %d", name, type);
}

// Bytes of one element of a floating type.
inline int64_t type_bytes(int32_t type) {
    return type == NLM_BF16 || type == NLM_F16 ? 2 : 4;
}

// True row count of a step: the device count where given, never more than the launch's limit and never negative.
inline int32_t true_count(const int32_t* device_count, int32_t limit) {
    if (device_count == nullptr) return limit;
    const int32_t count = *device_count;
    return count < 0 ? 0 : count < limit ? count : limit;
}

} // namespace nlm
