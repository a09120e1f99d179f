// The linear layer on warp-group matrix instructions, behind its switch. On a GPU of compute capability 9.0 these tests run on
// the chip; elsewhere but on the emulator they say why not.
#include "gemm_cases.h"
#include "sm90a_switch.h"

#include <set>

using namespace nlm::tests;

namespace {

// Each crosses another way through the kernels: tokens of a tile 8 to 256, splits of k none, by blocks and as running sums.
struct Shape {
    int m, n, k;
};
constexpr Shape shapes[] = {
    {1, 1, 1},     {3, 130, 64}, {8, 65, 200},   {9, 64, 72},    {16, 129, 640},  {17, 200, 136}, {32, 40, 1100},   {33, 150, 64},
    {64, 96, 520}, {65, 70, 90}, {127, 131, 72}, {200, 90, 530}, {200, 300, 520}, {300, 260, 65}, {257, 200, 1030},
};

} // namespace

TEST("Warp_group_kernels_are_off_unless_the_environment_asks") {
    const Sm90aSwitch off(nullptr);
    TestDevice device;
    CHECK(!uses_sm90a(device), "on without being asked");
    const Sm90aSwitch zero("0");
    TestDevice second;
    CHECK(!uses_sm90a(second), "on with 0");
    if (on_cpu()) SKIP("the cpu backend has no such switch");
    const Sm90aSwitch nonsense("yes");
    nlm_device* none = nullptr;
    CHECK(refused_by_name(open_device(&none), "NATIVELM_SM90A") && none == nullptr, "%s", nlm_last_error());
}

TEST("Warp_group_gemm_matches_doubles_over_odd_shapes") {
    const Sm90aSwitch on("1");
    if (const char* reason = no_sm90a()) SKIP(reason);
    TestDevice device;
    CHECK(uses_sm90a(device), "the switch did nothing");
    uint64_t seed = 1000;
    const std::vector<Shape> tried(std::begin(shapes), quick() ? std::begin(shapes) + 6 : std::end(shapes));
    for (const auto& [m, n, k] : tried)
        for (const int32_t type : {NLM_BF16, NLM_F16})
            check_case(device, NLM_ISA_AUTO,
                       {.type = type,
                        .type_out = seed % 3 == 0 ? static_cast<int32_t>(NLM_F32) : type,
                        .m = m,
                        .n = n,
                        .k = k,
                        .x_padding = seed % 5 == 0 ? 3 : 0,
                        .out_padding = seed % 4 == 0 ? 1 : 0},
                       ++seed);
}

TEST("Warp_group_gemm_has_every_epilogue") {
    const Sm90aSwitch on("1");
    if (const char* reason = no_sm90a()) SKIP(reason);
    TestDevice device;
    uint64_t seed = 2000;
    for (int32_t epilogue = NLM_EPILOGUE_NONE; epilogue <= NLM_EPILOGUE_GELU_TANH_MUL; ++epilogue)
        for (const int m : quick() ? std::vector{12} : std::vector{1, 12, 40, 70, 300})
            for (const int n : quick() ? std::vector{46} : std::vector{46, 304})
                check_case(device, NLM_ISA_AUTO,
                           {.type = seed % 2 == 0 ? NLM_BF16 : NLM_F16,
                            .type_out = m == 12         ? NLM_F32
                                        : seed % 2 == 0 ? NLM_BF16
                                                        : NLM_F16,
                            .m = m,
                            .n = n,
                            .k = n == 46 ? 584 : 72,
                            .epilogue = epilogue,
                            .bias = seed % 3 != 0,
                            .residual = seed % 5 < 2,
                            .out_padding = seed % 7 == 0 ? 8 : 0},
                           ++seed);
}

TEST("Warp_group_gemm_gives_a_row_the_same_bits_in_every_batch") {
    const Sm90aSwitch on("1");
    if (const char* reason = no_sm90a()) SKIP(reason);
    TestDevice device;
    // A card has many more multiprocessors than the emulated one, so its widest tiles need larger shapes.
    const int32_t n = on_emulator() ? 300 : 4096;
    std::vector<int> row_counts =
        quick() ? std::vector{1, 9, 40, 65} : std::vector{1, 8, 9, 16, 17, 31, 32, 33, 64, 65, 128, 129, 256, 257, 400};
    if (!on_emulator()) row_counts.push_back(2100);
    for (const int32_t type : {NLM_BF16, NLM_F16})
        for (const int k : {120, 1030}) {
            const GemmCase c{
                .type = type, .type_out = NLM_F32, .m = 4, .n = n, .k = k, .epilogue = NLM_EPILOGUE_SILU_MUL, .bias = true};
            const GemmData data(c, 99);
            std::set<std::vector<unsigned char>> bits;
            for (const int m : row_counts)
                for (const int row : {0, m - 1}) bits.insert(row_bits(device, c, data, m, row));
            CHECK(bits.size() == 1, "%s k %d: %zu different results", type_name(type), k, bits.size());
        }
}

TEST("Warp_group_gemm_replays_in_a_graph_with_the_inputs_of_the_time") {
    const Sm90aSwitch on("1");
    if (const char* reason = no_sm90a()) SKIP(reason);
    TestDevice device;
    const GemmCase c{.type = NLM_BF16, .type_out = NLM_F32, .m = 20, .n = 70, .k = 520};
    const GemmData first(c, 7), second(c, 8);
    const GemmOperands operands(device, c, first.x, first.weight, nullptr, first.out);
    const nlm_gemm_args args = operands.arguments();
    nlm_graph* graph = nullptr;
    require_ok(nlm_graph_begin(device.stream()), "nlm_graph_begin");
    CHECK(nlm_gemm(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
    require_ok(nlm_graph_end(device.stream(), &graph), "nlm_graph_end");
    operands.x().write(second.x.data);
    require_ok(nlm_graph_launch(device.stream(), graph), "nlm_graph_launch");
    Matrix found = first.out;
    found.data = operands.out().read();
    require_ok(nlm_graph_destroy(graph), "nlm_graph_destroy");
    const std::vector<double> expected = reference_gemm(c, second.x, first.weight, nullptr, first.out);
    for (int64_t i = 0; i < c.m * c.n; ++i) {
        const double want = expected[static_cast<size_t>(i)];
        CHECK(std::fabs(found.get(i / c.n, i % c.n) - want) <= tolerance(c, want), "element %d", static_cast<int>(i));
    }
}

TEST("Warp_group_gemm_stops_at_the_device_row_count") {
    const Sm90aSwitch on("1");
    if (const char* reason = no_sm90a()) SKIP(reason);
    TestDevice device;
    const GemmCase c{.type = NLM_BF16, .type_out = NLM_F32, .m = 70, .n = 40, .k = 64};
    check_row_counts(device, c, {0, 1, 33, 70, 99, -4});
}
