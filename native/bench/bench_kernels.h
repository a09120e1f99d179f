// Exports of the device libraries (cuda, emulated) beside the ABI, for benchmarks only: the ceilings a kernel is judged against,
// and times of graphs taken by the device itself.
#pragma once

#include "nativelm.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Reads, writes or copies `bytes` (a positive multiple of 16) once, with `blocks_per_multiprocessor` blocks (1 to 16) of 256
 * threads on each multiprocessor. The best of several such numbers is the bandwidth ceiling. `sink` is 4 bytes of device memory
 * that keep the loads alive.
 */
NLM_API int32_t nlm_bench_read(nlm_stream* stream, const void* source, int64_t bytes, int32_t blocks_per_multiprocessor,
                               void* sink);
NLM_API int32_t nlm_bench_write(nlm_stream* stream, void* destination, int64_t bytes, int32_t blocks_per_multiprocessor);
NLM_API int32_t nlm_bench_copy(nlm_stream* stream, void* destination, const void* source, int64_t bytes,
                               int32_t blocks_per_multiprocessor);

/*
 * mma.sync m16n8k16 on registers alone, `repeats` rounds (1 to 2^24) of 8 independent products in every warp of
 * `blocks_per_multiprocessor` blocks of 128 threads. type is BF16 or F16. operations becomes the floating point operations done
 * by one call, a multiply-add counting two.
 */
NLM_API int32_t nlm_bench_multiply(nlm_stream* stream, int32_t type, int32_t repeats, int32_t blocks_per_multiprocessor,
                                   void* sink, double* operations);

/*
 * Launches every graph once to warm it, then all of them in turn `rounds` times without waiting in between, and waits.
 * milliseconds [rounds, graph_count] (host) are the times between events around each launch: graphs that are compared are
 * interleaved, and the host's own time is hidden while a graph lasts longer than a launch. Graphs may belong to another opened
 * device of the same card. At most 65536 launches. Emulated, time does not pass: all are 0.
 */
NLM_API int32_t nlm_bench_replay(nlm_stream* stream, nlm_graph* const* graphs, int32_t graph_count, int32_t rounds,
                                 float* milliseconds);

#ifdef __cplusplus
}
#endif
