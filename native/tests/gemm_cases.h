// A linear layer with everything around it, run through the ABI and through plain doubles.
#pragma once

#include "fixture.h"
#include "numbers.h"

#include <algorithm>
#include <memory>

namespace nlm::tests {

inline bool is_gated(int32_t epilogue) {
    return epilogue == NLM_EPILOGUE_SILU_MUL || epilogue == NLM_EPILOGUE_GELU_TANH_MUL;
}

struct GemmCase {
    int32_t type = NLM_BF16, type_out = NLM_BF16;
    int32_t m = 1, n = 32, k = 32;
    int32_t epilogue = NLM_EPILOGUE_NONE;
    bool bias = false, residual = false;
    int64_t x_padding = 0, out_padding = 0;

    int32_t out_columns() const { return is_gated(epilogue) ? n / 2 : n; }
};

// Packs W [n, k]; for a gated layer its first half as GATE and its second as UP.
inline void pack(const TestDevice& device, const Matrix& weight, int32_t type, bool gated, void* packed) {
    nlm_pack_weight_args args{};
    args.size = sizeof args;
    args.type = type;
    args.packed = packed;
    args.source = weight.data.data();
    args.type_source = weight.type;
    args.n = static_cast<int32_t>(weight.rows);
    args.k = static_cast<int32_t>(weight.columns);
    args.source_rows = gated ? args.n / 2 : args.n;
    args.role = gated ? NLM_ROLE_GATE : NLM_ROLE_PLAIN;
    require_ok(nlm_pack_weight(device.stream(), &args), "nlm_pack_weight");
    if (!gated) return;
    args.role = NLM_ROLE_UP;
    args.source = weight.data.data() + weight.data.size() / 2;
    require_ok(nlm_pack_weight(device.stream(), &args), "nlm_pack_weight");
}

// The operands of one case in device memory.
class GemmOperands {
public:
    GemmOperands(const TestDevice& device, const GemmCase& c, const Matrix& x, const Matrix& weight, const Matrix* bias,
                 const Matrix& out)
        : case_(c), packed_(device, static_cast<size_t>(nlm_packed_weight_bytes(c.type, c.n, c.k))), x_(device, x.data),
          out_(device, out.data), bias_(device, bias ? bias->data : std::vector<unsigned char>(1)), x_stride_(x.stride),
          out_stride_(out.stride) {
        pack(device, weight, c.type, is_gated(c.epilogue), packed_.data());
        nlm_gemm_args shape = arguments();
        workspace_ = std::make_unique<Buffer<unsigned char>>(
            device, static_cast<size_t>(std::max<int64_t>(1, nlm_gemm_workspace_bytes(&shape))));
    }

    nlm_gemm_args arguments() const {
        nlm_gemm_args args{};
        args.size = sizeof args;
        args.epilogue = case_.epilogue;
        args.out = out_.data();
        args.x = x_.data();
        args.weight = packed_.data();
        args.bias = case_.bias ? bias_.data() : nullptr;
        args.residual = case_.residual ? out_.data() : nullptr; // in place, as the engine does
        args.workspace = workspace_ ? workspace_->data() : nullptr;
        args.workspace_bytes = workspace_ ? static_cast<int64_t>(workspace_->size()) : 0;
        args.x_stride = x_stride_;
        args.out_stride = out_stride_;
        args.rows_max = case_.m;
        args.n = case_.n;
        args.k = case_.k;
        args.type_x = args.type_weight = case_.type;
        args.type_out = case_.type_out;
        return args;
    }

    const Buffer<unsigned char>& out() const { return out_; }
    const Buffer<unsigned char>& x() const { return x_; }

private:
    GemmCase case_;
    Buffer<unsigned char> packed_, x_, out_, bias_;
    std::unique_ptr<Buffer<unsigned char>> workspace_;
    int64_t x_stride_, out_stride_;
};

inline double reference_activation(int32_t epilogue, double x) {
    switch (epilogue) {
    case NLM_EPILOGUE_SILU_MUL:
        return x / (1 + std::exp(-x));
    case NLM_EPILOGUE_RELU:
        return x > 0 ? x : 0;
    case NLM_EPILOGUE_GELU:
        return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case NLM_EPILOGUE_GELU_TANH:
    case NLM_EPILOGUE_GELU_TANH_MUL:
        return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    default:
        return x;
    }
}

// out = epilogue(x · Wᵀ + bias) + residual in doubles; `out` holds the residual on entry.
inline std::vector<double> reference_gemm(const GemmCase& c, const Matrix& x, const Matrix& weight, const Matrix* bias,
                                          const Matrix& out) {
    const auto dot = [&](int64_t row, int64_t column) {
        double sum = bias ? bias->get(0, column) : 0;
        for (int64_t i = 0; i < c.k; ++i) sum += x.get(row, i) * weight.get(column, i);
        return sum;
    };
    std::vector<double> result(static_cast<size_t>(c.m) * static_cast<size_t>(c.out_columns()));
    for (int64_t row = 0; row < c.m; ++row) {
        for (int64_t column = 0; column < c.out_columns(); ++column) {
            double value = reference_activation(c.epilogue, dot(row, column));
            if (is_gated(c.epilogue)) value *= dot(row, c.n / 2 + column);
            if (c.residual) value += out.get(row, column);
            result[static_cast<size_t>(row * c.out_columns() + column)] = value;
        }
    }
    return result;
}

// The random operands of a case; values of about 1 / sqrt(k) so that sums stay near 1.
struct GemmData {
    Matrix x, weight, bias, out;

    GemmData(const GemmCase& c, uint64_t seed)
        : x(c.type, c.m, c.k, c.k + c.x_padding), weight(c.type, c.n, c.k), bias(c.type, 1, c.n),
          out(c.type_out, c.m, c.out_columns(), c.out_columns() + c.out_padding) {
        x.randomize(seed, 2);
        weight.randomize(seed + 1, 2 / std::sqrt(static_cast<double>(c.k)));
        bias.randomize(seed + 2);
        out.randomize(seed + 3);
    }
};

// One rounding of the output type, and fp32 sums and fast exponentials.
inline double tolerance(const GemmCase& c, double expected) {
    const double unit = c.type_out == NLM_F32 ? 0x1p-24 : c.type_out == NLM_BF16 ? 0x1p-8 : 0x1p-11;
    return std::fabs(expected) * unit + 2e-5;
}

inline void check_case(const TestDevice& device, nlm_isa isa, const GemmCase& c, uint64_t seed) {
    const GemmData data(c, seed);
    const Matrix* bias = c.bias ? &data.bias : nullptr;
    const GemmOperands operands(device, c, data.x, data.weight, bias, data.out);
    const nlm_gemm_args args = operands.arguments();
    CHECK(nlm_gemm(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
    Matrix found = data.out;
    found.data = operands.out().read();
    const std::vector<double> expected = reference_gemm(c, data.x, data.weight, bias, data.out);
    for (int64_t row = 0; row < c.m; ++row) {
        for (int64_t column = 0; column < c.out_columns(); ++column) {
            const double want = expected[static_cast<size_t>(row * c.out_columns() + column)], got = found.get(row, column);
            CHECK(std::fabs(got - want) <= tolerance(c, want),
                  "%s %s -> %s m %d n %d k %d epilogue %d: [%d, %d] expected %g, found %g", target_name(isa), type_name(c.type),
                  type_name(c.type_out), c.m, c.n, c.k, c.epilogue, static_cast<int>(row), static_cast<int>(column), want, got);
        }
        for (int64_t column = c.out_columns(); column < found.stride; ++column)
            CHECK(std::isnan(found.get(row, column)), "written past the columns of row %d", static_cast<int>(row));
    }
}

// The bits of a case's output row `row` when it is computed with `m` rows by `threads` threads.
inline std::vector<unsigned char> row_bits(const TestDevice& device, GemmCase c, const GemmData& data, int m, int row) {
    Matrix x(c.type, m, c.k), out(c.type_out, m, c.out_columns());
    c.m = m;
    for (int64_t i = 0; i < m; ++i)
        std::memcpy(x.at(i, 0), data.x.data.data() + (i % data.x.rows) * c.k * bytes_of(c.type),
                    static_cast<size_t>(c.k * bytes_of(c.type)));
    // The row of interest is row 0 of the data, wherever it stands.
    std::memcpy(x.at(0, 0), data.x.data.data() + data.x.stride * bytes_of(c.type), static_cast<size_t>(c.k * bytes_of(c.type)));
    std::memcpy(x.at(row, 0), data.x.data.data(), static_cast<size_t>(c.k * bytes_of(c.type)));
    const GemmOperands operands(device, c, x, data.weight, &data.bias, out);
    const nlm_gemm_args args = operands.arguments();
    CHECK(nlm_gemm(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
    const size_t row_bytes = static_cast<size_t>(c.out_columns() * bytes_of(c.type_out));
    const std::vector<unsigned char> all = operands.out().read();
    return {all.begin() + static_cast<std::ptrdiff_t>(row_bytes * static_cast<size_t>(row)),
            all.begin() + static_cast<std::ptrdiff_t>(row_bytes * (static_cast<size_t>(row) + 1))};
}

// A row count in device memory limits what is computed; the other rows keep what they held. Counts past both ends are bounded.
inline void check_row_counts(const TestDevice& device, const GemmCase& c, const std::vector<int32_t>& counts) {
    const GemmData data(c, 3);
    const std::vector<double> expected = reference_gemm(c, data.x, data.weight, nullptr, data.out);
    for (const int32_t count : counts) {
        const GemmOperands operands(device, c, data.x, data.weight, nullptr, data.out);
        Buffer<int32_t> rows(device, std::vector<int32_t>{count});
        nlm_gemm_args args = operands.arguments();
        args.rows = rows.data();
        CHECK(nlm_gemm(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
        Matrix found = data.out;
        found.data = operands.out().read();
        for (int64_t i = 0; i < c.m * c.n; ++i) {
            const bool computed = i / c.n < count;
            const double want = computed ? expected[static_cast<size_t>(i)] : data.out.get(i / c.n, i % c.n);
            CHECK(std::fabs(found.get(i / c.n, i % c.n) - want) <= (computed ? tolerance(c, want) : 0), "rows %d element %d",
                  count, static_cast<int>(i));
        }
    }
}

} // namespace nlm::tests
