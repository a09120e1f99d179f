#include "models.h"

#include <stdexcept>

namespace nlm::bench {

const std::vector<Model>& models(bool rehearsal) {
    static const std::vector<Model> products{
        {"llama-3.1-8b", 32, 4096, 32, 8, 128, 14336, 128256, NLM_EPILOGUE_SILU_MUL},
        {"llama-2-13b", 40, 5120, 40, 40, 128, 13824, 32000, NLM_EPILOGUE_SILU_MUL},
        {"qwen3-0.6b", 28, 1024, 16, 8, 128, 3072, 151936, NLM_EPILOGUE_SILU_MUL},
        {"qwen3-8b", 36, 4096, 32, 8, 128, 12288, 151936, NLM_EPILOGUE_SILU_MUL},
        {"opt-13b", 40, 5120, 40, 40, 128, 20480, 50272, NLM_EPILOGUE_RELU},
    };
    static const std::vector<Model> tiny{{"tiny", 2, 128, 4, 2, 64, 192, 640, NLM_EPILOGUE_SILU_MUL}};
    return rehearsal ? tiny : products;
}

const Model& model_named(const std::string& name, bool rehearsal) {
    std::string known;
    for (const Model& model : models(rehearsal)) {
        if (model.name == name) return model;
        known += std::string(known.empty() ? "" : ", ") + model.name;
    }
    throw std::runtime_error("unknown model " + name + "; expected one of " + known);
}

std::vector<Linear> linear_layers(const Model& model) {
    const int32_t q_columns = model.q_heads * model.head_dim;
    const bool gated = model.mlp_epilogue == NLM_EPILOGUE_SILU_MUL;
    return {{"qkv", model.qkv_rows(), model.hidden, NLM_EPILOGUE_NONE, NLM_BF16, model.layers},
            {"o", model.hidden, q_columns, NLM_EPILOGUE_NONE, NLM_BF16, model.layers},
            {gated ? "gate_up" : "fc1", model.mlp_rows(), model.hidden, model.mlp_epilogue, NLM_BF16, model.layers},
            {gated ? "down" : "fc2", model.hidden, model.mlp, NLM_EPILOGUE_NONE, NLM_BF16, model.layers},
            {"lm_head", model.vocabulary, model.hidden, NLM_EPILOGUE_NONE, NLM_F32, 1}};
}

} // namespace nlm::bench
