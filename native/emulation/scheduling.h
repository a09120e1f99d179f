// What emulated units beside the SIMT core (hopper_emulator.cpp) need of it: the running block's threads and shared memory.
#pragma once

#include "simt_emulator.h"

namespace nlm::emulation {

// The running thread waits until another wakes it. what and site stand in the report of a deadlock.
void park(const char* what, Site site);
// Makes parked threads of the running block ready.
void wake(const int* threads, int count);

// Offset of the bytes in the block's shared memory; fails unless they lie inside it and are aligned.
size_t shared_offset(const void* p, size_t bytes, size_t alignment, const char* what);
// The other way round.
unsigned char* shared_at(size_t offset, size_t bytes, const char* what);

} // namespace nlm::emulation
