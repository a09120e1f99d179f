// nlm_feed_tokens: the tokens of the step before become ids of this one.
#include "device/simt.cuh"
#include "row_args.h"
#include "runtime.h"

namespace nlm::simt {
namespace {

constexpr int feed_threads = 128;

NLM_KERNEL NLM_LAUNCH_BOUNDS(feed_threads, 8) feed_rows(nlm_feed_tokens_args args) {
    const int64_t row = static_cast<int64_t>(block_index()) * feed_threads + thread_index();
    if (row >= true_count(args.rows, args.rows_max)) return;
    const int32_t source = load(args.sources + row);
    if (source < 0 || source >= args.result_rows) return;
    const int32_t token = load(&args.results[source].token);
    store(args.ids + row, token >= 0 && token < args.vocabulary ? token : 0);
}

} // namespace
} // namespace nlm::simt

NLM_API int32_t nlm_feed_tokens(nlm_stream* stream, const nlm_feed_tokens_args* args) {
    using namespace nlm;
    return guard("nlm_feed_tokens", [&] {
        check_call(stream, args);
        if (args->rows_max == 0) return;
        check(*args);
        const int64_t blocks = simt::ceil_div(int64_t{args->rows_max}, int64_t{simt::feed_threads});
        simt::launch(simt::feed_rows, {blocks, 1, simt::feed_threads}, cuda_stream(stream), *args);
    });
}
