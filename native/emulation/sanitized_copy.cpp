#include "sanitized_copy.h"

#include <cstdint>

namespace nlm::emulation {

// Words, not memcpy: the sanitizers intercept that in every library, but know these accesses' lines only here.
void sanitized_copy16(void* destination, const void* source) {
    auto* to = static_cast<uint64_t*>(destination);
    const auto* from = static_cast<const uint64_t*>(source);
    to[0] = from[0];
    to[1] = from[1];
}

void sanitized_fill16(void* destination, unsigned char value) {
    auto* to = static_cast<uint64_t*>(destination);
    const uint64_t word = 0x0101010101010101ull * value;
    to[0] = word;
    to[1] = word;
}

} // namespace nlm::emulation
