// What the parts of the emulator share: settings, counters, the last report, live allocations. Under the emulator's lock.
#pragma once

#include "simt_emulator.h"

#include <mutex>

namespace nlm::emulation {

enum class ThreadOrder { forward, reverse, random };

struct Settings {
    ThreadOrder threads = ThreadOrder::forward;
    uint64_t seed = 0;
    bool blocks_reversed = false;
    bool streams_deferred = false;
    size_t memory_bytes = size_t{2} << 30;
};

extern Settings current_settings;
inline const Settings& settings() {
    return current_settings;
}

enum class Counter { launches, blocks, collectives, ldmatrix_conflicts, allocations, live_allocations, live_bytes, total };
extern int64_t counters[static_cast<size_t>(Counter::total)];
inline void count(Counter counter, int64_t amount = 1) {
    counters[static_cast<size_t>(counter)] += amount;
}

// The text behind cudaErrorLaunchFailure.
void set_report(const char* format, ...) __attribute__((format(printf, 1, 2)));
const char* last_report();

// Whether the bytes lie in one live allocation that a kernel may touch: device memory or pinned host memory.
bool is_device_accessible(const void* p, size_t bytes);

// Faults on demand: true if this call is the one that shall fail.
enum class Fault { none, no_device, no_driver, old_driver, capability, malloc, host_malloc, launch, copy };
bool fault_strikes(Fault fault);
Fault pending_fault();
int fault_value();

// Runs all blocks of a grid now.
cudaError_t run_grid(const Shape& shape, const std::function<void()>& kernel);

// Everything here and the whole runtime API hold this: launches are one at a time in a process.
std::recursive_mutex& emulator_lock();

} // namespace nlm::emulation
