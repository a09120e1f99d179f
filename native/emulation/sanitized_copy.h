// The few copies that sanitizers must see in the running kernel's name, although the emulator is not instrumented for races.
#pragma once

namespace nlm::emulation {

void sanitized_copy16(void* destination, const void* source);
void sanitized_fill16(void* destination, unsigned char value);

} // namespace nlm::emulation
