// nlm_count_tokens: rebuilds one row of the penalty state.
#include "arguments.h"
#include "graph.h"
#include "row_args.h"

#include <algorithm>

NLM_API int32_t nlm_count_tokens(nlm_stream* stream, const nlm_count_tokens_args* args) {
    using namespace nlm;
    using namespace nlm::cpu;
    return guard("nlm_count_tokens", [&] {
        check_call(stream, args);
        check(*args);
        refuse_while_recording(stream);
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
