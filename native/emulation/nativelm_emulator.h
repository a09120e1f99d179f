// Exports of libnativelm_emulated beside the ABI, for tests: how threads are ordered, faults on demand, what was counted.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Settings as "name=value" separated by ";", each optional, also read once from $NATIVELM_EMULATOR:
 *   threads=forward|reverse|random:SEED   order in which threads of a block run between collectives
 *   blocks=forward|reverse                order of the blocks of a grid
 *   streams=eager|deferred                deferred: work runs only when somebody waits for it
 *   memory=BYTES                          size of the emulated device (default 2 GiB)
 *   fault=FAULT                           as nlm_emulator_inject: for a process that nobody calls into
 * Returns 0, or 1 for a setting that is not understood (then nothing changes).
 */
__attribute__((visibility("default"))) int32_t nlm_emulator_configure(const char* settings);

/*
 * Makes the device misbehave, as "fault" or "fault:N": the N-th call from now on (1 if not given).
 *   no-device, no-driver, old-driver, capability:70   when a device is opened
 *   malloc:N, host-malloc:N                           that allocation fails with out of memory
 *   launch:N                                          that kernel launch is an illegal address: sticky, as on hardware
 *   copy:N                                            that copy fails with a sticky error
 * "" clears faults and sticky errors. Returns 0, or 1 for a fault that is not understood.
 */
__attribute__((visibility("default"))) int32_t nlm_emulator_inject(const char* fault);

/* Counters since the process began: launches, blocks, collectives, ldmatrix_conflicts, allocations, live_allocations, live_bytes;
 * -1 for another name. */
__attribute__((visibility("default"))) int64_t nlm_emulator_counter(const char* name);

/* The report of the last failed launch; never null. */
__attribute__((visibility("default"))) const char* nlm_emulator_report(void);

#ifdef __cplusplus
}
#endif
