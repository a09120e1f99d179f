#include "gemm_cases.h"

#include <set>

using namespace nlm::tests;

TEST("Gemm_matches_doubles_over_odd_shapes_types_and_families") {
    const int shapes[][3] = {{1, 1, 1},    {1, 32, 32},   {2, 33, 31},  {3, 16, 64},  {5, 17, 33},   {6, 95, 100},
                             {7, 64, 127}, {12, 40, 2},   {13, 48, 65}, {16, 96, 96}, {17, 31, 257}, {24, 130, 64},
                             {25, 7, 40},  {33, 80, 160}, {47, 65, 63}, {64, 32, 512}};
    for (const nlm_isa isa : targets()) {
        TestDevice device(isa);
        uint64_t seed = 1;
        for (const auto& [m, n, k] : shapes)
            for (const int32_t type : float_types())
                for (const int32_t type_out : {type, static_cast<int32_t>(NLM_F32)})
                    check_case(device, isa,
                               {.type = type,
                                .type_out = type_out,
                                .m = m,
                                .n = n,
                                .k = k,
                                .x_padding = seed % 3 ? 5 : 0,
                                .out_padding = 3},
                               ++seed);
    }
}

TEST("Every_epilogue_with_bias_and_residual_matches_doubles") {
    for (const nlm_isa isa : targets()) {
        TestDevice device(isa);
        uint64_t seed = 100;
        for (int32_t epilogue = NLM_EPILOGUE_NONE; epilogue <= NLM_EPILOGUE_GELU_TANH_MUL; ++epilogue)
            for (const int32_t type : float_types())
                for (const int m : {1, 7, 19, 35})
                    for (const int n : {32, 46, 100})
                        check_case(device, isa,
                                   {.type = type,
                                    .type_out = m == 7 ? NLM_F32 : type,
                                    .m = m,
                                    .n = n,
                                    .k = 72,
                                    .epilogue = epilogue,
                                    .bias = seed % 2 == 0,
                                    .residual = seed % 3 == 0,
                                    .out_padding = 1},
                                   ++seed);
    }
}

TEST("Large_k_and_many_rows_take_every_loop_order") {
    for (const nlm_isa isa : targets()) {
        TestDevice device(isa, 3);
        check_case(device, isa, {.type = NLM_BF16, .type_out = NLM_F32, .m = 200, .n = 352, .k = 1056}, 7);
        check_case(device, isa, {.type = NLM_F32, .type_out = NLM_F32, .m = 90, .n = 96, .k = 1500}, 8);
        check_case(device, isa, {.type = NLM_F16, .type_out = NLM_F16, .m = 1, .n = 1000, .k = 700}, 9);
    }
}

TEST("Bits_of_a_row_depend_on_neither_row_count_nor_position_nor_threads") {
    for (const nlm_isa isa : targets()) {
        for (const int32_t type : float_types()) {
            const GemmCase c{
                .type = type, .type_out = NLM_F32, .m = 4, .n = 150, .k = 333, .epilogue = NLM_EPILOGUE_SILU_MUL, .bias = true};
            const GemmData data(c, 77);
            std::set<std::vector<unsigned char>> bits;
            for (const int threads : thread_counts({1, 2, 5})) {
                TestDevice device(isa, threads);
                for (const int m : {1, 2, 3, 6, 7, 12, 13, 16, 17, 24, 31, 32, 33, 48, 65, 100, 260})
                    for (const int row : {0, m / 2, m - 1}) bits.insert(row_bits(device, c, data, m, row));
            }
            CHECK(bits.size() == 1, "%s %s: %zu different results", target_name(isa), type_name(type), bits.size());
        }
    }
}

TEST("A_device_row_count_limits_what_is_computed_and_written") {
    TestDevice device;
    const GemmCase c{.type = NLM_BF16, .type_out = NLM_F32, .m = 20, .n = 40, .k = 64};
    check_row_counts(device, c, {0, 1, 13, 20, 99, -4});
}

TEST("Not_a_number_in_one_row_stays_in_that_row") {
    for (const nlm_isa isa : targets()) {
        TestDevice device(isa);
        const GemmCase c{.type = NLM_BF16, .type_out = NLM_F32, .m = 20, .n = 33, .k = 65};
        GemmData data(c, 11);
        data.x.set(7, 3, NAN);
        std::memset(data.x.at(7, 3), 0xff, 2);
        const GemmOperands operands(device, c, data.x, data.weight, nullptr, data.out);
        const nlm_gemm_args args = operands.arguments();
        CHECK(nlm_gemm(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
        Matrix found = data.out;
        found.data = operands.out().read();
        for (int64_t row = 0; row < c.m; ++row)
            for (int64_t column = 0; column < c.n; ++column)
                CHECK(std::isnan(found.get(row, column)) == (row == 7), "%s row %d", target_name(isa), static_cast<int>(row));
    }
}

TEST("Bad_gemm_arguments_return_a_status_that_names_the_argument") {
    TestDevice device;
    const GemmCase c{.type = NLM_BF16, .type_out = NLM_BF16, .m = 3, .n = 34, .k = 40};
    const GemmData data(c, 3);
    const GemmOperands operands(device, c, data.x, data.weight, nullptr, data.out);
    const auto refused = [&](const char* name, const auto& change) {
        nlm_gemm_args args = operands.arguments();
        change(args);
        const int32_t status = nlm_gemm(device.stream(), &args);
        CHECK(refused_by_name(status, name), "%s: status %d, %s", name, status, nlm_last_error());
    };
    refused("size", [](nlm_gemm_args& a) { a.size -= 8; });
    refused("out", [](nlm_gemm_args& a) { a.out = nullptr; });
    refused("x:", [](nlm_gemm_args& a) { a.x = nullptr; });
    refused("weight", [](nlm_gemm_args& a) { a.weight = nullptr; });
    refused("workspace", [](nlm_gemm_args& a) { a.workspace = nullptr; });
    refused("workspace_bytes", [](nlm_gemm_args& a) { a.workspace_bytes = 10; });
    refused("out", [](nlm_gemm_args& a) { a.out = static_cast<char*>(a.out) + 1; });
    refused("x", [](nlm_gemm_args& a) { a.x = static_cast<const char*>(a.x) + 1; });
    refused("weight", [](nlm_gemm_args& a) { a.weight = static_cast<const char*>(a.weight) + 2; });
    refused("bias", [](nlm_gemm_args& a) { a.bias = static_cast<const char*>(a.x) + 1; });
    refused("rows:", [](nlm_gemm_args& a) { a.rows = reinterpret_cast<const int32_t*>(static_cast<const char*>(a.x) + 2); });
    refused("rows_max", [](nlm_gemm_args& a) { a.rows_max = -1; });
    refused("rows_max", [](nlm_gemm_args& a) { a.rows_max = INT32_MAX; });
    refused("n:", [](nlm_gemm_args& a) { a.n = 0; });
    refused("k:", [](nlm_gemm_args& a) { a.k = -7; });
    refused("k:", [](nlm_gemm_args& a) { a.k = INT32_MAX; });
    refused("x_stride", [](nlm_gemm_args& a) { a.x_stride = a.k - 1; });
    refused("out_stride", [](nlm_gemm_args& a) { a.out_stride = a.n - 1; });
    refused("overflows", [](nlm_gemm_args& a) { a.x_stride = INT64_MAX; });
    refused("overflows", [](nlm_gemm_args& a) { a.out_stride = INT64_MAX / 2; });
    refused("type_x", [](nlm_gemm_args& a) { a.type_x = NLM_F16; });
    refused("type_weight", [](nlm_gemm_args& a) { a.type_weight = NLM_I32; });
    refused("type_out", [](nlm_gemm_args& a) { a.type_out = NLM_F16; });
    refused("epilogue", [](nlm_gemm_args& a) { a.epilogue = 6; });
    refused("n:", [](nlm_gemm_args& a) { a.epilogue = NLM_EPILOGUE_SILU_MUL, a.n = 33; });
    const nlm_gemm_args args = operands.arguments();
    CHECK(nlm_gemm(nullptr, &args) == NLM_INVALID_ARGUMENT);
    CHECK(nlm_gemm(device.stream(), nullptr) == NLM_INVALID_ARGUMENT);
    CHECK(nlm_gemm_workspace_bytes(nullptr) == -1);
    nlm_gemm_args none = args;
    none.rows_max = 0;
    CHECK(nlm_gemm(device.stream(), &none) == NLM_OK, "%s", nlm_last_error());
    CHECK(nlm_gemm(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
}
