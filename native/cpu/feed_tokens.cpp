// nlm_feed_tokens: the tokens of the step before become ids of this one.
#include "arguments.h"
#include "graph.h"
#include "row_args.h"

namespace nlm::cpu {
namespace {

void run(const nlm_feed_tokens_args& args) {
    const int32_t rows = true_count(args.rows, args.rows_max);
    for (int32_t row = 0; row < rows; row++) {
        const int32_t source = args.sources[row];
        if (source < 0 || source >= args.result_rows) continue;
        const int32_t token = args.results[source].token;
        args.ids[row] = token >= 0 && token < args.vocabulary ? token : 0;
    }
}

} // namespace
} // namespace nlm::cpu

NLM_API int32_t nlm_feed_tokens(nlm_stream* stream, const nlm_feed_tokens_args* args) {
    using namespace nlm;
    using namespace nlm::cpu;
    return guard("nlm_feed_tokens", [&] {
        check_call(stream, args);
        if (args->rows_max == 0) return;
        check(*args);
        submit(stream, [call = *args] { run(call); });
    });
}
