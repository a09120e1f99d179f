// nlm_norm: RMSNorm and LayerNorm with the residual sum in front. One job takes whole rows.
#include "arguments.h"
#include "family.h"
#include "graph.h"

namespace nlm::cpu {

NLM_DECLARE_FAMILIES(void norm_rows(const nlm_norm_args& args, int64_t first, int64_t last))

namespace {

void check(const nlm_norm_args& args) {
    check_range(args.kind, NLM_NORM_RMS, NLM_NORM_LAYER, "kind");
    check_floating_type(args.type, "type");
    check_range(args.columns, 1, count_limit, "columns");
    check_range(args.rows_max, 0, count_limit, "rows_max");
    check_range(args.x_stride, args.columns, std::numeric_limits<int64_t>::max(), "x_stride");
    check_range(args.out_stride, args.columns, std::numeric_limits<int64_t>::max(), "out_stride");
    const int64_t bytes = type_bytes(args.type);
    check_extent(args.rows_max, args.x_stride, bytes, "x");
    check_extent(args.rows_max, args.out_stride, bytes, "out");
    check_pointer(args.out, "out", bytes);
    NLM_REQUIRE(args.x || args.residual_in, "x and residual_in: expected at least one of them, found null and null");
    check_optional_pointer(args.x, "x", bytes);
    check_optional_pointer(args.residual_in, "residual_in", bytes);
    check_optional_pointer(args.residual_out, "residual_out", bytes);
    check_optional_pointer(args.weight, "weight", bytes);
    check_optional_pointer(args.bias, "bias", bytes);
    check_optional_pointer(args.rows, "rows", 4);
    NLM_REQUIRE(args.epsilon >= 0, "epsilon: expected 0 or more, found %g", static_cast<double>(args.epsilon));
}

} // namespace
} // namespace nlm::cpu

NLM_API int32_t nlm_norm(nlm_stream* stream, const nlm_norm_args* args) {
    using namespace nlm;
    using namespace nlm::cpu;
    return guard("nlm_norm", [&] {
        check_call(stream, args);
        if (args->rows_max == 0) return;
        check(*args);
        submit(stream, [device = stream->device, call = *args] {
            const auto norm_rows = NLM_FAMILY_FUNCTION(device->isa, norm_rows);
            run_rows(device->pool, true_count(call.rows, call.rows_max), call.columns,
                     [&](int64_t first, int64_t last) { norm_rows(call, first, last); });
        });
    });
}
