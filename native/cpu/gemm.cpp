// nlm_gemm: argument checks and the choice of the instruction family.
#include "gemm.h"

#include "graph.h"
#include "weight_layout.h"

using namespace nlm;
using namespace nlm::cpu;

namespace {

constexpr int32_t row_limit = 1 << 24;

bool is_gated(int32_t epilogue) {
    return epilogue == NLM_EPILOGUE_SILU_MUL || epilogue == NLM_EPILOGUE_GELU_TANH_MUL;
}

void check_shape(const nlm_gemm_args* args) {
    check_args(args);
    check_range(args->rows_max, 0, row_limit, "rows_max");
    check_range(args->n, 1, weight_dimension_limit, "n");
    check_range(args->k, 1, weight_dimension_limit, "k");
}

void check_types(const nlm_gemm_args& args) {
    check_floating_type(args.type_weight, "type_weight");
    NLM_REQUIRE(args.type_x == args.type_weight, "type_x: a weight of %s needs x of the same type, found %s",
                type_name(args.type_weight), type_name(args.type_x));
    NLM_REQUIRE(args.type_out == args.type_x || args.type_out == NLM_F32, "type_out: expected %s or f32, found %s",
                type_name(args.type_x), type_name(args.type_out));
    check_range(args.epilogue, NLM_EPILOGUE_NONE, NLM_EPILOGUE_GELU_TANH_MUL, "epilogue");
    NLM_REQUIRE(!is_gated(args.epilogue) || args.n % 2 == 0, "n: a gated epilogue needs gate and up, an even count, found %d",
                args.n);
}

void check_operands(const nlm_gemm_args& args) {
    const auto x_bytes = static_cast<uintptr_t>(type_bytes(args.type_x)),
               out_bytes = static_cast<uintptr_t>(type_bytes(args.type_out));
    check_pointer(args.out, "out", out_bytes);
    check_pointer(args.x, "x", x_bytes);
    check_pointer(args.weight, "weight", buffer_alignment);
    check_optional_pointer(args.bias, "bias", x_bytes);
    check_optional_pointer(args.residual, "residual", out_bytes);
    check_optional_pointer(args.rows, "rows", 4);
    const int32_t out_columns = is_gated(args.epilogue) ? args.n / 2 : args.n;
    check_range(args.x_stride, args.k, INT64_MAX, "x_stride");
    check_range(args.out_stride, out_columns, INT64_MAX, "out_stride");
    checked_product(checked_product(args.rows_max, args.x_stride, "x"), 4, "x");
    checked_product(checked_product(args.rows_max, args.out_stride, "out"), 4, "out");
    check_pointer(args.workspace, "workspace", buffer_alignment);
    const int64_t needed = gemm_workspace_bytes(args.rows_max, args.k);
    NLM_REQUIRE(args.workspace_bytes >= needed, "workspace_bytes: expected at least %lld, found %lld",
                static_cast<long long>(needed), static_cast<long long>(args.workspace_bytes));
}

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
        check_shape(args);
        bytes = gemm_workspace_bytes(args->rows_max, args->k);
    });
    return bytes;
}

extern "C" int32_t nlm_gemm(nlm_stream* stream, const nlm_gemm_args* args) {
    return guard("nlm_gemm", [&] {
        NLM_REQUIRE(stream != nullptr, "stream: expected a handle, found null");
        check_shape(args);
        check_types(*args);
        if (args->rows_max == 0) return;
        check_operands(*args);
        submit(stream, [device = stream->device, call = *args] { run(*device, call); });
    });
}
