#include "sm90a.h"

#include <cstdlib>
#include <cstring>

namespace nlm::sm90a {

bool switched_on(int compute_capability) {
    const char* value = std::getenv("NATIVELM_SM90A");
    if (value == nullptr || *value == '\0' || std::strcmp(value, "0") == 0) return false;
    NLM_REQUIRE(std::strcmp(value, "1") == 0, "NATIVELM_SM90A: expected 0 or 1, found \"%.40s\"", value);
    if (!compiled())
        throw Error(NLM_UNSUPPORTED,
                    "NATIVELM_SM90A=1: this library was built without kernels for sm_90a; build it with nvcc 12 or "
                    "newer, or unset the variable");
    if (compute_capability != 90)
        throw Error(NLM_UNSUPPORTED,
                    "NATIVELM_SM90A=1: kernels for sm_90a need compute capability 9.0, found %d.%d; unset the variable",
                    compute_capability / 10, compute_capability % 10);
    return true;
}

} // namespace nlm::sm90a
