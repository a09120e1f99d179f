// nlm_gemm: argument checks and the choice of the instruction family.
#include "gemm.h"

#include "graph.h"
#include "linear_args.h"
#include "weight_layout.h"

using namespace nlm;
using namespace nlm::cpu;

namespace {

void run(nlm_device& device, const nlm_gemm_args& args) {
    const GemmCall call{args, true_count(args.rows, args.rows_max), device.pool};
    if (call.rows == 0) return;
    if (device.isa == NLM_ISA_AMX && args.type_weight == NLM_BF16) return amx::gemm(call);
    if (device.isa == NLM_ISA_AVX512_BF16 && args.type_weight == NLM_BF16) return avx512_bf16::gemm(call);
    if (device.isa >= NLM_ISA_AVX512) return avx512::gemm(call);
    if (device.isa == NLM_ISA_AVX2) return avx2::gemm(call);
    return scalar::gemm(call);
}

} // namespace

namespace nlm::cpu {

// Activations become at most 4 bytes each; AMX pads rows to 16 and k to 32.
int64_t gemm_workspace_bytes(int32_t rows, int32_t k) {
    const int64_t padded_rows = (static_cast<int64_t>(rows) + 15) / 16 * 16;
    return checked_product(padded_rows, padded_k(NLM_BF16, k) * 4, "workspace");
}

} // namespace nlm::cpu

extern "C" int64_t nlm_gemm_workspace_bytes(const nlm_gemm_args* args) {
    int64_t bytes = -1;
    guard("nlm_gemm_workspace_bytes", [&] {
        check_args(args);
        check_shape(*args);
        bytes = gemm_workspace_bytes(args->rows_max, args->k);
    });
    return bytes;
}

extern "C" int32_t nlm_gemm(nlm_stream* stream, const nlm_gemm_args* args) {
    return guard("nlm_gemm", [&] {
        check_call(stream, args);
        check_shape(*args);
        check_types(*args);
        if (args->rows_max == 0) return;
        check(*args, gemm_workspace_bytes(args->rows_max, args->k));
        submit(stream, [device = stream->device, call = *args] { run(*device, call); });
    });
}
