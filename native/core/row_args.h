// Argument checks of the row ops: one text for every backend.
#pragma once

#include "check.h"

namespace nlm {

inline void check(const nlm_norm_args& args) {
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

inline void check(const nlm_activate_args& args) {
    check_range(args.kind, NLM_EPILOGUE_SILU_MUL, NLM_EPILOGUE_GELU_TANH_MUL, "kind");
    check_floating_type(args.type, "type");
    check_range(args.columns, 1, count_limit, "columns");
    check_range(args.rows_max, 0, count_limit, "rows_max");
    const int64_t bytes = type_bytes(args.type);
    check_extent(args.rows_max, 2 * static_cast<int64_t>(args.columns), bytes, "x");
    check_pointer(args.out, "out", bytes);
    check_pointer(args.x, "x", bytes);
    check_optional_pointer(args.rows, "rows", 4);
}

inline void check(const nlm_gather_rows_args& args) {
    NLM_REQUIRE(is_floating_type(args.type) || args.type == NLM_I32, "type: expected f32, bf16, f16 or i32, found %d", args.type);
    check_range(args.rows_max, 0, count_limit, "rows_max");
    check_range(args.x_rows, 0, count_limit, "x_rows");
    check_range(args.columns, 1, count_limit, "columns");
    const int64_t bytes = type_bytes(args.type);
    check_extent(args.rows_max, args.columns, bytes, "out");
    check_extent(args.x_rows, args.columns, bytes, "x");
    check_pointer(args.out, "out", bytes);
    check_pointer(args.x, "x", bytes);
    check_pointer(args.indices, "indices", 4);
    check_optional_pointer(args.rows, "rows", 4);
}

inline void check(const nlm_feed_tokens_args& args) {
    check_range(args.rows_max, 0, count_limit, "rows_max");
    check_range(args.result_rows, 0, count_limit, "result_rows");
    check_range(args.vocabulary, 1, count_limit, "vocabulary");
    check_pointer(args.ids, "ids", 4);
    check_pointer(args.sources, "sources", 4);
    if (args.result_rows > 0) check_pointer(args.results, "results", 4);
    check_optional_pointer(args.rows, "rows", 4);
}

// Token ids in host memory.
inline void check_ids(const char* name, const int32_t* ids, int32_t count, int32_t vocabulary) {
    for (int32_t i = 0; i < count; i++) {
        NLM_REQUIRE(ids[i] >= 0 && ids[i] < vocabulary, "%s[%d]: expected a token of 0 to %d, found %d", name, i, vocabulary - 1,
                    ids[i]);
    }
}

inline void check(const nlm_count_tokens_args& args) {
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
    check_ids("prompt", args.prompt, args.prompt_count, args.vocabulary);
    check_ids("output", args.output, args.output_count, args.vocabulary);
}

} // namespace nlm
