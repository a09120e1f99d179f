// What the emulator alone can say about the kernels for sm_90a.
#include "gemm_cases.h"
#include "nativelm_emulator.h"
#include "sm90a_switch.h"

#include <set>

using namespace nlm::tests;

namespace {

std::vector<unsigned char> output_bits(const GemmCase& c, const GemmData& data) {
    TestDevice device;
    const GemmOperands operands(device, c, data.x, data.weight, c.bias ? &data.bias : nullptr, data.out);
    const nlm_gemm_args args = operands.arguments();
    require_ok(nlm_gemm(device.stream(), &args), "nlm_gemm");
    return operands.out().read();
}

constexpr GemmCase cases[] = {
    {.type = NLM_BF16, .type_out = NLM_F32, .m = 5, .n = 70, .k = 520, .bias = true},
    {.type = NLM_F16, .type_out = NLM_F16, .m = 50, .n = 140, .k = 136, .epilogue = NLM_EPILOGUE_GELU_TANH_MUL, .residual = true},
    {.type = NLM_BF16, .type_out = NLM_BF16, .m = 200, .n = 300, .k = 520, .epilogue = NLM_EPILOGUE_SILU_MUL, .bias = true},
    {.type = NLM_F16, .type_out = NLM_F32, .m = 270, .n = 260, .k = 584, .epilogue = NLM_EPILOGUE_RELU},
};

} // namespace

// Both emulated instructions add in ascending k with one rounding each. The chips' need not agree: they are not asked to.
TEST("Warp_group_kernels_and_plain_ones_share_bits_when_emulated") {
    for (const GemmCase& c : cases) {
        const GemmData data(c, 31);
        const Sm90aSwitch off("0");
        const std::vector<unsigned char> plain = output_bits(c, data);
        const Sm90aSwitch on("1");
        CHECK(output_bits(c, data) == plain, "m %d n %d k %d", c.m, c.n, c.k);
    }
}

TEST("Order_of_threads_and_blocks_does_not_change_bits_of_warp_group_kernels") {
    const Sm90aSwitch on("1");
    for (const GemmCase& c : cases) {
        const GemmData data(c, 32);
        std::set<std::string> bits; // bytes in a string: g++ 12 warns of comparing vectors of them
        for (const char* order : {"threads=forward;blocks=forward", "threads=reverse;blocks=reverse",
                                  "threads=random:1;blocks=forward", "threads=random:2;blocks=reverse"}) {
            CHECK(nlm_emulator_configure(order) == 0);
            const std::vector<unsigned char> found = output_bits(c, data);
            bits.emplace(found.begin(), found.end());
        }
        CHECK(nlm_emulator_configure("threads=forward;blocks=forward") == 0);
        CHECK(bits.size() == 1, "m %d n %d k %d: %zu different results", c.m, c.n, c.k, bits.size());
    }
}

TEST("Warp_group_kernels_are_refused_on_another_compute_capability") {
    const Sm90aSwitch on("1");
    nlm_device* device = nullptr;
    CHECK(nlm_emulator_inject("capability:89") == 0);
    const int32_t status = open_device(&device);
    CHECK(status == NLM_UNSUPPORTED && std::strstr(nlm_last_error(), "8.9") != nullptr, "%d %s", status, nlm_last_error());
    CHECK(nlm_emulator_inject("") == 0);
}
