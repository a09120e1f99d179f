// One checked linear layer call, and the entry of each instruction family.
#pragma once

#include "nativelm.h"
#include "thread_pool.h"

namespace nlm::cpu {

struct GemmCall {
    const nlm_gemm_args& args; // checked
    int32_t rows;              // true count, above 0
    ThreadPool& pool;
};

// fp32 multiply-adds; every weight type.
namespace scalar {
void gemm(const GemmCall& call);
}
namespace avx2 {
void gemm(const GemmCall& call);
}
namespace avx512 {
void gemm(const GemmCall& call);
}
// bf16 weights only.
namespace avx512_bf16 {
void gemm(const GemmCall& call);
}
namespace amx {
void gemm(const GemmCall& call);
}

// Bytes of packed activations a call with this many rows may need, in whichever family.
int64_t gemm_workspace_bytes(int32_t rows, int32_t k);

} // namespace nlm::cpu
