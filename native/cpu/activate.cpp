// nlm_activate: elementwise and gated activations that no gemm epilogue could take.
#include "arguments.h"
#include "family.h"
#include "graph.h"
#include "row_args.h"

namespace nlm::cpu {

NLM_DECLARE_FAMILIES(void activate_rows(const nlm_activate_args& args, int64_t first, int64_t last))

} // namespace nlm::cpu

NLM_API int32_t nlm_activate(nlm_stream* stream, const nlm_activate_args* args) {
    using namespace nlm;
    using namespace nlm::cpu;
    return guard("nlm_activate", [&] {
        check_call(stream, args);
        if (args->rows_max == 0) return;
        check(*args);
        submit(stream, [device = stream->device, call = *args] {
            const auto activate_rows = NLM_FAMILY_FUNCTION(device->isa, activate_rows);
            run_rows(device->pool, true_count(call.rows, call.rows_max), call.columns,
                     [&](int64_t first, int64_t last) { activate_rows(call, first, last); });
        });
    });
}
