// Argument checks of packed weights, linear layers and embeddings: one text for every backend.
#pragma once

#include "check.h"

namespace nlm {

// Largest n or k of a packed weight; keeps every index into one in 64 bits with room.
constexpr int32_t weight_dimension_limit = 1 << 28;
constexpr int32_t gemm_row_limit = 1 << 24;

inline void check_weight_shape(int32_t type, int32_t n, int32_t k) {
    check_floating_type(type, "type");
    check_range(n, 1, weight_dimension_limit, "n");
    check_range(k, 1, weight_dimension_limit, "k");
}

inline void check(const nlm_pack_weight_args& args) {
    check_weight_shape(args.type, args.n, args.k);
    check_floating_type(args.type_source, "type_source");
    check_range(args.role, NLM_ROLE_PLAIN, NLM_ROLE_UP, "role");
    check_range(args.source_rows, 0, args.n, "source_rows");
    NLM_REQUIRE(args.role == NLM_ROLE_PLAIN || args.n % 2 == 0, "n: gate and up together need an even count, found %d", args.n);
    const int32_t part_rows = args.role == NLM_ROLE_PLAIN ? args.n : args.n / 2;
    check_range(args.row_offset, 0, static_cast<int64_t>(part_rows) - args.source_rows, "row_offset");
    NLM_REQUIRE(nlm_packed_weight_bytes(args.type, args.n, args.k) > 0, "n, k: the packed weight of %d x %d overflows 64 bits",
                args.n, args.k);
    if (args.source_rows == 0) return;
    check_pointer(args.packed, "packed", buffer_alignment);
    check_pointer(args.source, "source", 1);
}

// ---- gemm ----

inline bool has_gate(const nlm_gemm_args& args) {
    return args.epilogue == NLM_EPILOGUE_SILU_MUL || args.epilogue == NLM_EPILOGUE_GELU_TANH_MUL;
}
inline int32_t out_columns(const nlm_gemm_args& args) {
    return has_gate(args) ? args.n / 2 : args.n;
}

inline void check_shape(const nlm_gemm_args& args) {
    check_range(args.rows_max, 0, gemm_row_limit, "rows_max");
    check_range(args.n, 1, weight_dimension_limit, "n");
    check_range(args.k, 1, weight_dimension_limit, "k");
}

inline void check_types(const nlm_gemm_args& args) {
    check_floating_type(args.type_weight, "type_weight");
    NLM_REQUIRE(args.type_x == args.type_weight, "type_x: a weight of %s needs x of the same type, found %s",
                type_name(args.type_weight), type_name(args.type_x));
    NLM_REQUIRE(args.type_out == args.type_x || args.type_out == NLM_F32, "type_out: expected %s or f32, found %s",
                type_name(args.type_x), type_name(args.type_out));
    check_range(args.epilogue, NLM_EPILOGUE_NONE, NLM_EPILOGUE_GELU_TANH_MUL, "epilogue");
    NLM_REQUIRE(!has_gate(args) || args.n % 2 == 0, "n: a gated epilogue needs gate and up, an even count, found %d", args.n);
}

inline void check(const nlm_gemm_args& args, int64_t workspace_bytes) {
    const auto x_bytes = static_cast<uintptr_t>(type_bytes(args.type_x)),
               out_bytes = static_cast<uintptr_t>(type_bytes(args.type_out));
    check_pointer(args.out, "out", out_bytes);
    check_pointer(args.x, "x", x_bytes);
    check_pointer(args.weight, "weight", buffer_alignment);
    check_optional_pointer(args.bias, "bias", x_bytes);
    check_optional_pointer(args.residual, "residual", out_bytes);
    check_optional_pointer(args.rows, "rows", 4);
    check_range(args.x_stride, args.k, INT64_MAX, "x_stride");
    check_range(args.out_stride, out_columns(args), INT64_MAX, "out_stride");
    check_extent(args.rows_max, args.x_stride, 4, "x");
    check_extent(args.rows_max, args.out_stride, 4, "out");
    check_workspace(args.workspace, args.workspace_bytes, workspace_bytes);
}

// ---- embed ----

inline void check(const nlm_embed_args& args) {
    check_floating_type(args.type_out, "type_out");
    check_floating_type(args.type_table, "type_table");
    check_range(args.rows_max, 0, INT32_MAX, "rows_max");
    check_range(args.vocabulary, 1, weight_dimension_limit, "vocabulary");
    check_range(args.columns, 1, weight_dimension_limit, "columns");
    if (args.rows_max == 0) return;
    check_pointer(args.out, "out", static_cast<uintptr_t>(type_bytes(args.type_out)));
    check_pointer(args.ids, "ids", 4);
    check_pointer(args.table, "table", buffer_alignment);
    check_optional_pointer(args.rows, "rows", 4);
    if (args.position_table == nullptr) return;
    check_pointer(args.position_table, "position_table", static_cast<uintptr_t>(type_bytes(args.type_table)));
    check_pointer(args.positions, "positions", 4);
    check_range(args.position_rows, 1, weight_dimension_limit, "position_rows");
}

} // namespace nlm
