// Activations of one instruction family; see activate.cpp.
#pragma once

#include "activations.h"

namespace nlm::cpu::NLM_FAMILY {

template <typename T, int32_t Kind> void activate_row(const nlm_activate_args& args, int64_t row) {
    constexpr bool Gated = Kind == NLM_EPILOGUE_SILU_MUL || Kind == NLM_EPILOGUE_GELU_TANH_MUL;
    const int64_t columns = args.columns;
    const T* x = static_cast<const T*>(args.x) + row * columns * (Gated ? 2 : 1);
    T* out = static_cast<T*>(args.out) + row * columns;
    int64_t i = 0;
    for (; i + 16 <= columns; i += 16) {
        Lanes y = activation<Kind>(load(x + i));
        if constexpr (Gated) y = y * load(x + columns + i);
        store(out + i, y);
    }
    if (i < columns) {
        const int count = static_cast<int>(columns - i);
        Lanes y = activation<Kind>(load_first(x + i, count));
        if constexpr (Gated) y = y * load_first(x + columns + i, count);
        store_first(out + i, y, count);
    }
}

template <typename T> void activate_typed(const nlm_activate_args& args, int64_t row) {
    switch (args.kind) {
    case NLM_EPILOGUE_SILU_MUL:
        return activate_row<T, NLM_EPILOGUE_SILU_MUL>(args, row);
    case NLM_EPILOGUE_RELU:
        return activate_row<T, NLM_EPILOGUE_RELU>(args, row);
    case NLM_EPILOGUE_GELU:
        return activate_row<T, NLM_EPILOGUE_GELU>(args, row);
    case NLM_EPILOGUE_GELU_TANH:
        return activate_row<T, NLM_EPILOGUE_GELU_TANH>(args, row);
    default:
        return activate_row<T, NLM_EPILOGUE_GELU_TANH_MUL>(args, row);
    }
}

void activate_rows(const nlm_activate_args& args, int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row++) {
        switch (args.type) {
        case NLM_BF16:
            activate_typed<Bf16>(args, row);
            break;
        case NLM_F16:
            activate_typed<F16>(args, row);
            break;
        default:
            activate_typed<float>(args, row);
        }
    }
}

} // namespace nlm::cpu::NLM_FAMILY
