// Argument checks of nlm_sample and nlm_beam_topk: one text for every backend. What rows in device memory refer to is checked
// where they can be read.
#pragma once

#include "check.h"

namespace nlm {

constexpr int32_t beam_count_max = 128;

inline void check_shape(const nlm_sample_args& args) {
    check_range(args.rows_max, 0, count_limit, "rows_max");
    check_range(args.vocabulary, 1, 1 << 28, "vocabulary");
}

inline void check(const nlm_sample_args& args, int64_t workspace_bytes) {
    check_shape(args);
    check_range(args.logits_stride, args.vocabulary, std::numeric_limits<int64_t>::max(), "logits_stride");
    check_range(args.count_rows, 0, count_limit, "count_rows");
    check_range(args.mask_rows, 0, count_limit, "mask_rows");
    check_range(args.bias_total, 0, count_limit, "bias_total");
    check_range(args.top_logprobs_max, 0, args.vocabulary, "top_logprobs_max");
    check_extent(args.rows_max, args.logits_stride, 4, "logits");
    check_extent(args.count_rows, args.vocabulary, 2, "token_counts");
    check_extent(args.rows_max, args.top_logprobs_max, 4, "top_ids");
    check_pointer(args.results, "results", 4);
    check_pointer(args.logits, "logits", 4);
    check_pointer(args.parameters, "parameters", 8);
    check_optional_pointer(args.top_ids, "top_ids", 4);
    check_optional_pointer(args.top_values, "top_values", 4);
    check_optional_pointer(args.processed, "processed", 4);
    check_optional_pointer(args.token_counts, "token_counts", 2);
    check_optional_pointer(args.prompt_mask, "prompt_mask", 4);
    check_optional_pointer(args.allowed_mask, "allowed_mask", 4);
    check_optional_pointer(args.bias_ids, "bias_ids", 4);
    check_optional_pointer(args.bias_values, "bias_values", 4);
    check_optional_pointer(args.rows, "rows", 4);
    check_workspace(args.workspace, args.workspace_bytes, workspace_bytes);
}

inline void check_shape(const nlm_beam_topk_args& args) {
    check_range(args.groups_max, 0, count_limit, "groups_max");
    check_range(args.rows_max, 0, count_limit, "rows_max");
    check_range(args.vocabulary, 1, 1 << 28, "vocabulary");
    check_range(args.count, 1, beam_count_max, "count");
}

inline void check(const nlm_beam_topk_args& args, int64_t workspace_bytes) {
    check_shape(args);
    check_range(args.logits_stride, args.vocabulary, std::numeric_limits<int64_t>::max(), "logits_stride");
    check_extent(args.rows_max, args.logits_stride, 4, "logits");
    check_pointer(args.candidates, "candidates", 4);
    check_pointer(args.flags, "flags", 4);
    check_pointer(args.logits, "logits", 4);
    check_pointer(args.row_starts, "row_starts", 4);
    check_pointer(args.cumulative, "cumulative", 4);
    check_optional_pointer(args.groups, "groups", 4);
    check_workspace(args.workspace, args.workspace_bytes, workspace_bytes);
}

} // namespace nlm
