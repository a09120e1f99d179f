#include "fixture.h"

#include <cstring>

// The CUDA library is shipped to machines that may have no GPU: it loads there and a device that cannot be opened says why.
TEST("Without_a_usable_gpu_opening_a_device_says_what_was_found_and_what_is_needed") {
    nlm_device_options options{};
    options.size = sizeof options;
    nlm_device* device = nullptr;
    const int32_t status = nlm_device_open(&options, &device);
    if (status == NLM_OK) {
        nlm_device_close(device);
        SKIP("this machine has a GPU");
    }
    CHECK(status == NLM_UNSUPPORTED && device == nullptr, "status %d", status);
    const char* message = nlm_last_error();
    CHECK(std::strstr(message, "driver") != nullptr && std::strstr(message, "CUDA") != nullptr, "%s", message);
    CHECK(nlm_backend_kind() == NLM_BACKEND_CUDA && nlm_isa_supported(NLM_ISA_AUTO) == 1);
}
