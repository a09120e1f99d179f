// The AMX gemm compiled against a software model of the tile instructions: its indexing, packing and row configurations are
// tested on machines without AMX. What the model cannot show: speed, and the rounding inside the real dot product.
#define NLM_EMULATE_AMX
#define NLM_FAMILY amx_emulated
#include "gemm_amx_kernel.h"

#include "gemm_cases.h"
#include "thread_pool.h"

#include <set>

using namespace nlm::tests;
using nlm::cpu::GemmCall;
using nlm::cpu::ThreadPool;

namespace {

std::vector<unsigned char> run_emulated(const GemmOperands& operands, ThreadPool& pool) {
    const nlm_gemm_args args = operands.arguments();
    nlm::cpu::amx_emulated::gemm(GemmCall{args, args.rows_max, pool});
    return operands.out().read();
}

} // namespace

TEST("Emulated_amx_gemm_matches_doubles_over_odd_shapes") {
    TestDevice device;
    ThreadPool pool(2);
    const int shapes[][3] = {{1, 1, 1},     {1, 96, 64},   {5, 33, 31},  {15, 70, 33},  {16, 64, 96},  {17, 31, 65},
                             {31, 100, 32}, {32, 32, 128}, {33, 65, 40}, {48, 96, 100}, {49, 130, 70}, {100, 64, 160}};
    uint64_t seed = 1;
    for (const auto& [m, n, k] : shapes) {
        for (const int32_t epilogue : {NLM_EPILOGUE_NONE, NLM_EPILOGUE_SILU_MUL}) {
            if (epilogue != NLM_EPILOGUE_NONE && n % 2 != 0) continue;
            const GemmCase c{.type = NLM_BF16,
                             .type_out = NLM_F32,
                             .m = m,
                             .n = n,
                             .k = k,
                             .epilogue = epilogue,
                             .bias = true,
                             .residual = m % 2 == 0,
                             .x_padding = 3,
                             .out_padding = 2};
            const GemmData data(c, ++seed);
            const GemmOperands operands(device, c, data.x, data.weight, &data.bias, data.out);
            Matrix found = data.out;
            found.data = run_emulated(operands, pool);
            const std::vector<double> expected = reference_gemm(c, data.x, data.weight, &data.bias, data.out);
            for (int64_t row = 0; row < m; ++row)
                for (int64_t column = 0; column < c.out_columns(); ++column) {
                    const double want = expected[static_cast<size_t>(row * c.out_columns() + column)];
                    CHECK(std::fabs(found.get(row, column) - want) <= 2e-5 * (1 + std::fabs(want)),
                          "m %d n %d k %d [%d, %d]: %g, found %g", m, n, k, static_cast<int>(row), static_cast<int>(column), want,
                          found.get(row, column));
                }
        }
    }
}

TEST("Emulated_amx_bits_depend_on_neither_row_count_nor_threads") {
    TestDevice device;
    std::set<std::vector<unsigned char>> bits;
    const GemmCase shape{.type = NLM_BF16, .type_out = NLM_F32, .m = 70, .n = 70, .k = 100};
    const GemmData data(shape, 21);
    for (const int threads : {1, 3}) {
        ThreadPool pool(threads);
        for (const int m : {1, 2, 15, 16, 17, 32, 33, 48, 70}) {
            GemmCase c = shape;
            c.m = m;
            const GemmOperands operands(device, c, data.x, data.weight, nullptr, data.out);
            const std::vector<unsigned char> all = run_emulated(operands, pool);
            bits.emplace(all.begin(), all.begin() + c.n * 4); // row 0
        }
    }
    CHECK(bits.size() == 1, "%zu different results", bits.size());
}
