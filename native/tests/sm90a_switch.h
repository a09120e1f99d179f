// The switch of the kernels for sm_90a, as the tests turn it.
#pragma once

#include "fixture.h"

#include <cstdlib>
#include <cstring>
#include <string>

namespace nlm::tests {

// NATIVELM_SM90A for the life of this object; null: not set.
class Sm90aSwitch {
public:
    explicit Sm90aSwitch(const char* value) {
        const char* before = std::getenv(name);
        was_set_ = before != nullptr;
        if (was_set_) before_ = before;
        set(value);
    }
    ~Sm90aSwitch() { set(was_set_ ? before_.c_str() : nullptr); }
    Sm90aSwitch(const Sm90aSwitch&) = delete;
    Sm90aSwitch& operator=(const Sm90aSwitch&) = delete;

private:
    static constexpr const char* name = "NATIVELM_SM90A";
    static void set(const char* value) {
        if (value != nullptr)
            setenv(name, value, 1);
        else
            unsetenv(name);
    }

    bool was_set_;
    std::string before_;
};

inline int32_t open_device(nlm_device** device) {
    nlm_device_options options{};
    options.size = sizeof options;
    return nlm_device_open(&options, device);
}

// Whether the device runs them: it says so.
inline bool uses_sm90a(const TestDevice& device) {
    nlm_device_info info{};
    info.size = sizeof info;
    require_ok(nlm_device_get_info(device.device(), &info), "nlm_device_get_info");
    return std::strstr(info.driver, "sm_90a") != nullptr;
}

// With the switch on: why this library or machine cannot, or null.
inline const char* no_sm90a() {
    if (on_cpu()) return "the cpu backend has no such kernels";
    nlm_device* device = nullptr;
    const int32_t status = open_device(&device);
    if (status == NLM_UNSUPPORTED) return nlm_last_error();
    require_ok(status, "nlm_device_open");
    require_ok(nlm_device_close(device), "nlm_device_close");
    return nullptr;
}

} // namespace nlm::tests
