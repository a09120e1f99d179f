// Hash of the ABI model of nativelm.h, written by the binding generator.
#pragma once

#include <cstdint>

constexpr uint64_t nlm_abi_hash_value = 0;
