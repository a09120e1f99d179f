// The paths of a linear layer. Which one runs follows the shape and the row limit and never changes a bit.
#pragma once

#include "device/gemm_parameters.cuh"
#include "runtime.h"
#include "sm90a.h"

namespace nlm::cuda {

// Rows that the skinny kernel takes: one matrix fragment.
constexpr int32_t skinny_rows_max = 16;
// Up to here one block per split may compute a tile: their sums wait in the workspace.
constexpr int32_t split_block_rows_max = 256;
// Floats of running sums of the blocks that work at the same time: 160 of the widest tile.
constexpr int64_t running_sums_max = int64_t{160} * 128 * 256;

// How the parts of k that a call may be cut into are counted: a function of the weight's shape alone.
int32_t split_count(int32_t n, int32_t k_tiles);

// Call of 16-bit types whose rows of x are aligned to 16 bytes and whose k is a multiple of 8.
template <typename T> void gemm_skinny(const simt::GemmParameters& p, cudaStream_t stream);
template <typename T> void gemm_tiled(const simt::GemmParameters& p, const nlm_device& device, cudaStream_t stream);
// The last step of a call whose blocks computed one split each: adds their sums in order and finishes the outputs.
template <typename T> void add_partials(const simt::GemmParameters& p, cudaStream_t stream);

void gemm_f32(const simt::GemmParameters& p, cudaStream_t stream);

} // namespace nlm::cuda
