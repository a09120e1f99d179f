// The kernels behind nlm_paged_attention; each is launched from its own file.
#pragma once

#include "device/attention_call.cuh"
#include "runtime.h"

namespace nlm::simt {

// Fills the plan from the device's counts. Every kernel below reads it.
void launch_attention_plan(const AttentionCall& call, cudaStream_t stream);

// Splits as items, for up to query_rows rows of a sequence.
void launch_attention_decode(const AttentionCall& call, int query_rows, const nlm_device& device, cudaStream_t stream);
// Merges the states of sequences with several splits.
void launch_merge_states(const AttentionCall& call, const nlm_device& device, cudaStream_t stream);
// Everything else, splits one after the other.
void launch_attention_prefill(const AttentionCall& call, const nlm_device& device, cudaStream_t stream);
// Reference precision: fp32 throughout, any mix of types.
void launch_attention_plain(const AttentionCall& call, int32_t cache_type, const nlm_device& device, cudaStream_t stream);

// Blocks of a persistent grid.
inline int64_t persistent_blocks(int64_t items_max, int blocks_per_multiprocessor, const nlm_device& device) {
    const int64_t resident = int64_t{device.multiprocessors} * blocks_per_multiprocessor;
    return items_max < resident ? items_max : resident;
}

} // namespace nlm::simt
