// The models whose shapes are measured: the linear layers and heads of one decoder each, with random weights.
#pragma once

#include "nativelm.h"

#include <string>
#include <vector>

namespace nlm::bench {

struct Model {
    const char* name;
    int32_t layers, hidden, q_heads, kv_heads, head_dim, mlp, vocabulary;
    int32_t mlp_epilogue; // SILU_MUL: gate and up are one weight of 2 mlp rows

    int32_t qkv_rows() const { return (q_heads + 2 * kv_heads) * head_dim; }
    int32_t mlp_rows() const { return mlp_epilogue == NLM_EPILOGUE_SILU_MUL ? 2 * mlp : mlp; }
    // K and V of one token in one layer, bf16.
    int64_t kv_bytes_per_layer() const { return int64_t{2} * kv_heads * head_dim * 2; }
};

// y [m, n] = x [m, k] · weight [n, k]ᵀ
struct Linear {
    const char* name;
    int32_t n, k, epilogue, type_out;
    int32_t count; // times in one step

    int32_t out_columns() const { return epilogue == NLM_EPILOGUE_SILU_MUL ? n / 2 : n; }
};

std::vector<Linear> linear_layers(const Model& model);

// The five product shapes; where nothing is timed, one tiny decoder with two layers.
const std::vector<Model>& models(bool rehearsal);

// Throws for a name that is none of them.
const Model& model_named(const std::string& name, bool rehearsal);

} // namespace nlm::bench
