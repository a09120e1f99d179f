// Activations on sixteen fp32 lanes: shared by nlm_activate and the gemm epilogues, so fused and unfused layers agree.
#pragma once

#include "lanes.h"
#include "nativelm.h"

namespace nlm::cpu::NLM_FAMILY {

NLM_INLINE Lanes silu(Lanes x) {
    return x / (set(1.0f) + exp(set(0.0f) - x));
}

// erf by formula 7.1.26 of Abramowitz and Stegun: absolute error below 2e-7.
NLM_INLINE Lanes erf(Lanes x) {
    const Lanes magnitude = max(x, set(0.0f) - x);
    const Lanes t = set(1.0f) / fma(magnitude, set(0.3275911f), set(1.0f));
    Lanes p = set(1.061405429f);
    p = fma(p, t, set(-1.453152027f));
    p = fma(p, t, set(1.421413741f));
    p = fma(p, t, set(-0.284496736f));
    p = fma(p, t, set(0.254829592f));
    const Lanes y = set(1.0f) - p * t * exp(set(0.0f) - magnitude * magnitude);
    return select(less(x, set(0.0f)), set(0.0f) - y, y);
}
NLM_INLINE Lanes gelu(Lanes x) {
    return set(0.5f) * x * (set(1.0f) + erf(x * set(0.70710678118654752f)));
}
NLM_INLINE Lanes gelu_tanh(Lanes x) {
    const Lanes inner = set(0.79788456080286536f) * fma(set(0.044715f) * x * x, x, x);
    return set(0.5f) * x * (set(1.0f) + tanh(inner));
}

template <int32_t Kind> NLM_INLINE Lanes activation(Lanes x) {
    if constexpr (Kind == NLM_EPILOGUE_SILU_MUL) return silu(x);
    if constexpr (Kind == NLM_EPILOGUE_RELU) return max(set(0.0f), x);
    if constexpr (Kind == NLM_EPILOGUE_GELU) return gelu(x);
    return gelu_tanh(x);
}

} // namespace nlm::cpu::NLM_FAMILY
