// Activations in fp32: shared by nlm_activate and the gemm epilogues, so fused and unfused layers agree bit for bit.
#pragma once

#include "simt.cuh"

namespace nlm::simt {

NLM_DEVICE float silu(float x) {
    return x / (1.0f + expf(-x));
}
NLM_DEVICE float gelu_erf(float x) {
    return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
}
// x / 2 (1 + tanh u) written as x · sigmoid(2 u): nothing cancels where tanh nears -1.
NLM_DEVICE float gelu_tanh(float x) {
    const float doubled = 1.59576912160573071f * fmaf(0.044715f * x * x, x, x);
    return x / (1.0f + expf(-doubled));
}
// Keeps NaN, which fmaxf would hide.
NLM_DEVICE float relu(float x) {
    return x < 0.0f ? 0.0f : x;
}

constexpr bool is_gated(int32_t kind) {
    return kind == NLM_EPILOGUE_SILU_MUL || kind == NLM_EPILOGUE_GELU_TANH_MUL;
}

// The function that an nlm_epilogue applies to x, or to the gate.
template <int32_t Kind> NLM_DEVICE float activation(float x) {
    if constexpr (Kind == NLM_EPILOGUE_SILU_MUL) return silu(x);
    if constexpr (Kind == NLM_EPILOGUE_RELU) return relu(x);
    if constexpr (Kind == NLM_EPILOGUE_GELU) return gelu_erf(x);
    if constexpr (Kind == NLM_EPILOGUE_GELU_TANH || Kind == NLM_EPILOGUE_GELU_TANH_MUL) return gelu_tanh(x);
    return x;
}

} // namespace nlm::simt
