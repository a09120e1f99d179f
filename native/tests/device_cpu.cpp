// What only the CPU device has: instruction families.
#include "fixture.h"

using namespace nlm::tests;

namespace {

nlm_device_options default_options() {
    nlm_device_options options{};
    options.size = sizeof options;
    return options;
}

} // namespace

TEST("Opening_a_device_chooses_the_best_family_and_reports_it") {
    nlm_device_options options = default_options();
    nlm_device* device = nullptr;
    CHECK(nlm_device_open(&options, &device) == NLM_OK, "%s", nlm_last_error());
    nlm_device_info info{};
    info.size = sizeof info;
    CHECK(nlm_device_get_info(device, &info) == NLM_OK);
    CHECK(info.isa == targets().back() && nlm_isa_supported(NLM_ISA_SCALAR) == 1);
    CHECK(info.thread_count >= 1);
    CHECK(nlm_device_close(device) == NLM_OK);
}

TEST("A_family_the_machine_lacks_is_refused_by_name") {
    for (int32_t isa = NLM_ISA_SCALAR; isa <= NLM_ISA_AMX; ++isa) {
        nlm_device_options options = default_options();
        options.isa = isa;
        nlm_device* device = nullptr;
        const int32_t status = nlm_device_open(&options, &device);
        if (nlm_isa_supported(isa)) {
            CHECK(status == NLM_OK, "%s", nlm_last_error());
            nlm_device_close(device);
        } else {
            CHECK(status == NLM_UNSUPPORTED && std::strstr(nlm_last_error(), target_name(static_cast<nlm_isa>(isa))), "%s",
                  nlm_last_error());
            CHECK(device == nullptr);
        }
    }
}
