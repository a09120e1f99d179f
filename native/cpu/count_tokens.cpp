// nlm_count_tokens: rebuilds one row of the penalty state.
#include "arguments.h"
#include "graph.h"

#include <algorithm>

namespace nlm::cpu {
namespace {

void check(const nlm_count_tokens_args& args) {
    check_range(args.vocabulary, 1, count_limit - 31, "vocabulary");
    check_range(args.count_rows, 1, count_limit, "count_rows");
    check_range(args.row, 0, args.count_rows - 1, "row");
    check_range(args.prompt_count, 0, count_limit, "prompt_count");
    check_range(args.output_count, 0, count_limit, "output_count");
    check_extent(args.count_rows, args.vocabulary, 2, "token_counts");
    check_pointer(args.token_counts, "token_counts", 2);
    check_pointer(args.prompt_mask, "prompt_mask", 4);
    if (args.prompt_count > 0) check_pointer(args.prompt, "prompt", 4);
    if (args.output_count > 0) check_pointer(args.output, "output", 4);
}

void check_ids(const char* name, const int32_t* ids, int32_t count, int32_t vocabulary) {
    for (int32_t i = 0; i < count; i++) {
        NLM_REQUIRE(ids[i] >= 0 && ids[i] < vocabulary, "%s[%d]: expected a token of 0 to %d, found %d", name, i, vocabulary - 1,
                    ids[i]);
    }
}

} // namespace
} // namespace nlm::cpu

NLM_API int32_t nlm_count_tokens(nlm_stream* stream, const nlm_count_tokens_args* args) {
    using namespace nlm;
    using namespace nlm::cpu;
    return guard("nlm_count_tokens", [&] {
        check_call(stream, args);
        check(*args);
        refuse_while_recording(stream);
        check_ids("prompt", args->prompt, args->prompt_count, args->vocabulary);
        check_ids("output", args->output, args->output_count, args->vocabulary);
        const int64_t words = (args->vocabulary + 31) / 32;
        uint16_t* counts = args->token_counts + static_cast<int64_t>(args->row) * args->vocabulary;
        uint32_t* mask = args->prompt_mask + args->row * words;
        std::fill_n(counts, args->vocabulary, uint16_t{0});
        std::fill_n(mask, words, 0u);
        for (int32_t i = 0; i < args->prompt_count; i++) mask[args->prompt[i] / 32] |= 1u << (args->prompt[i] % 32);
        for (int32_t i = 0; i < args->output_count; i++) {
            uint16_t& count = counts[args->output[i]];
            if (count < 0xffff) count++;
        }
    });
}
