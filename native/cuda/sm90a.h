// The kernels in sm90a/, which need the target sm_90a (compute capability 9.0 and no other), and their switch.
#pragma once

#include "device/gemm_parameters.cuh"
#include "runtime.h"

namespace nlm::sm90a {

// Whether this library holds them: built with nvcc 12 or newer, or emulated.
bool compiled();

// Read when a device opens: NATIVELM_SM90A=1 turns them on, 0 or nothing leaves them off. They have not run on hardware, so
// nothing else does. Throws NLM_UNSUPPORTED where they are asked for and cannot run.
bool switched_on(int compute_capability);

// The linear layer of 16-bit types for every row count. Rows of x are aligned to 16 bytes and k is a multiple of 8.
template <typename T> void gemm(const simt::GemmParameters& p, const nlm_device& device, cudaStream_t stream);

} // namespace nlm::sm90a
