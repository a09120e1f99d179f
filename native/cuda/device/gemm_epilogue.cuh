// The tail of every linear layer: from fp32 sums to stored outputs. All gemm kernels end here, so they agree bit for bit.
#pragma once

#include "activations.cuh"
#include "gemm_parameters.cuh"
#include "segment.cuh"

namespace nlm::simt {

// out = activation(sum + bias) [* (up + bias)] + residual, rounded once. T: type of x and bias. Which activation and which type
// of output is chosen once per segment: a kernel holds each once, not all their combinations.
template <typename T, bool Gated> struct Epilogue {
    static constexpr int inputs = Gated ? 2 * segment : segment; // columns of the product behind a segment

    const GemmParameters& p;

    // sums: packed columns of the segment that starts at output `column`. Columns past the last are computed, not stored.
    NLM_DEVICE void operator()(int row, int column, float (&sums)[inputs]) const {
        const int columns = Gated ? p.n / 2 : p.n;
        if (p.bias != nullptr) add_bias(column, columns, sums);
        float values[segment];
        activate(sums, values);
        if (std::is_same_v<T, float> || p.out_is_float)
            finish<float>(row, column, columns, values);
        else
            finish<T>(row, column, columns, values);
    }

private:
    NLM_DEVICE float bias(int column, int columns) const {
        return to_float(load(static_cast<const T*>(p.bias) + (column < columns ? column : columns - 1)));
    }
    NLM_DEVICE void add_bias(int column, int columns, float (&sums)[inputs]) const {
#pragma unroll
        for (int j = 0; j < segment; ++j) {
            if constexpr (Gated) {
                sums[2 * j] += bias(column + j, columns);
                sums[2 * j + 1] += bias(columns + column + j, 2 * columns);
            } else {
                sums[j] += bias(column + j, columns);
            }
        }
    }

    template <int32_t Kind> NLM_DEVICE static void activate_as(const float (&sums)[inputs], float (&values)[segment]) {
#pragma unroll
        for (int j = 0; j < segment; ++j)
            values[j] = Gated ? activation<Kind>(sums[2 * j]) * sums[2 * j + 1] : activation<Kind>(sums[j]);
    }
    NLM_DEVICE void activate(const float (&sums)[inputs], float (&values)[segment]) const {
        if constexpr (Gated) {
            if (p.epilogue == NLM_EPILOGUE_SILU_MUL) return activate_as<NLM_EPILOGUE_SILU_MUL>(sums, values);
            return activate_as<NLM_EPILOGUE_GELU_TANH_MUL>(sums, values);
        } else {
            if (p.epilogue == NLM_EPILOGUE_RELU) return activate_as<NLM_EPILOGUE_RELU>(sums, values);
            if (p.epilogue == NLM_EPILOGUE_GELU) return activate_as<NLM_EPILOGUE_GELU>(sums, values);
            if (p.epilogue == NLM_EPILOGUE_GELU_TANH) return activate_as<NLM_EPILOGUE_GELU_TANH>(sums, values);
            return activate_as<NLM_EPILOGUE_NONE>(sums, values);
        }
    }

    template <typename Out> NLM_DEVICE void finish(int row, int column, int columns, float (&values)[segment]) const {
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

    template <typename Out> NLM_DEVICE static void add_residual(const Out* residual, float (&values)[segment]) {
        float added[segment];
        load_segment(residual, added);
#pragma unroll
        for (int j = 0; j < segment; ++j) values[j] += added[j];
    }

    template <typename Out>
    NLM_DEVICE static void store_each(Out* out, const Out* residual, const float (&values)[segment], int count) {
#pragma unroll
        for (int j = 0; j < segment; ++j) {
            if (j >= count) continue;
            const float value = residual == nullptr ? values[j] : values[j] + to_float(load(residual + j));
            store(out + j, from_float<Out>(value));
        }
    }
};

// Runs body with the call's epilogue.
template <typename T, typename Body> NLM_DEVICE void with_epilogue(const GemmParameters& p, const Body& body) {
    if (is_gated(p.epilogue))
        body(Epilogue<T, true>{p});
    else
        body(Epilogue<T, false>{p});
}

} // namespace nlm::simt
