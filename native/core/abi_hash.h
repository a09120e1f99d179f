// Generated from nativelm.h by tools/BindingGenerator. Do not edit: run scripts/bindings.sh.
#pragma once

#include <cstdint>

namespace nlm {

// What nlm_abi_version() and nlm_abi_hash() return; the C# side carries the same pair and compares at load.
constexpr int32_t abi_version = 1;
constexpr uint64_t abi_hash = 0x908a062c7d916264ull;

} // namespace nlm
