// nlm_norm: RMSNorm and LayerNorm with the residual sum in front. One job takes whole rows.
#include "arguments.h"
#include "family.h"
#include "graph.h"
#include "row_args.h"

namespace nlm::cpu {

NLM_DECLARE_FAMILIES(void norm_rows(const nlm_norm_args& args, int64_t first, int64_t last))

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
