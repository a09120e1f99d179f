// The tail of every linear layer: from fp32 sums to stored outputs. All gemm kernels end here, so they agree bit for bit.
#pragma once

#include "activations.cuh"
#include "gemm_parameters.cuh"
#include "segment.cuh"

namespace nlm::simt {

// out = activation(sum + bias) [* (up + bias)] + residual, rounded once. T: type of x and bias.
template <typename T, typename Out, int32_t Kind> struct Epilogue {
    static constexpr int inputs = is_gated(Kind) ? 2 * segment : segment; // columns of the product behind a segment

    const GemmParameters& p;

    // sums: packed columns of the segment that starts at output `column`. Columns past the last are computed, not stored.
    NLM_DEVICE void operator()(int row, int column, const float (&sums)[inputs]) const {
        const int columns = is_gated(Kind) ? p.n / 2 : p.n;
        float values[segment];
#pragma unroll
        for (int j = 0; j < segment; ++j) values[j] = value(sums, j, column + j, columns);
        const int64_t offset = row * p.out_stride + column;
        Out* out = static_cast<Out*>(p.out) + offset;
        const Out* residual = p.residual == nullptr ? nullptr : static_cast<const Out*>(p.residual) + offset;
        if (p.vector_out && column + segment <= columns) {
            if (residual != nullptr) add_residual(residual, values);
            store_segment(out, values);
        } else {
            store_each(out, residual, values, columns - column);
        }
    }

private:
    NLM_DEVICE float bias(int column, int columns) const {
        return to_float(load(static_cast<const T*>(p.bias) + (column < columns ? column : columns - 1)));
    }

    NLM_DEVICE float value(const float (&sums)[inputs], int j, int column, int columns) const {
        if constexpr (is_gated(Kind)) {
            float gate = sums[2 * j], up = sums[2 * j + 1];
            if (p.bias != nullptr) {
                gate += bias(column, columns);
                up += bias(columns + column, 2 * columns);
            }
            return activation<Kind>(gate) * up;
        } else {
            return activation<Kind>(p.bias == nullptr ? sums[j] : sums[j] + bias(column, columns));
        }
    }

    NLM_DEVICE static void add_residual(const Out* residual, float (&values)[segment]) {
        float added[segment];
        load_segment(residual, added);
#pragma unroll
        for (int j = 0; j < segment; ++j) values[j] += added[j];
    }

    NLM_DEVICE static void store_each(Out* out, const Out* residual, const float (&values)[segment], int count) {
#pragma unroll
        for (int j = 0; j < segment; ++j) {
            if (j >= count) continue;
            const float value = residual == nullptr ? values[j] : values[j] + to_float(load(residual + j));
            store(out + j, from_float<Out>(value));
        }
    }
};

template <typename T, typename Out, typename Body> NLM_DEVICE void with_kind(const GemmParameters& p, const Body& body) {
    switch (p.epilogue) {
    case NLM_EPILOGUE_SILU_MUL:
        return body(Epilogue<T, Out, NLM_EPILOGUE_SILU_MUL>{p});
    case NLM_EPILOGUE_RELU:
        return body(Epilogue<T, Out, NLM_EPILOGUE_RELU>{p});
    case NLM_EPILOGUE_GELU:
        return body(Epilogue<T, Out, NLM_EPILOGUE_GELU>{p});
    case NLM_EPILOGUE_GELU_TANH:
        return body(Epilogue<T, Out, NLM_EPILOGUE_GELU_TANH>{p});
    case NLM_EPILOGUE_GELU_TANH_MUL:
        return body(Epilogue<T, Out, NLM_EPILOGUE_GELU_TANH_MUL>{p});
    default:
        return body(Epilogue<T, Out, NLM_EPILOGUE_NONE>{p});
    }
}

// Runs body with the call's epilogue: one choice per tile, none per element.
template <typename T, typename Body> NLM_DEVICE void with_epilogue(const GemmParameters& p, const Body& body) {
    if constexpr (std::is_same_v<T, float>)
        with_kind<T, float>(p, body);
    else if (p.out_is_float)
        with_kind<T, float>(p, body);
    else
        with_kind<T, T>(p, body);
}

} // namespace nlm::simt
