#include "error.h"

#include <cstdio>
#include <cstring>

namespace nlm {

namespace {
thread_local char last_error[640] = "";
}

Error::Error(nlm_status status, const char* format, ...) : status_(status) {
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(message_, sizeof message_, format, arguments);
    va_end(arguments);
}

int32_t fail(nlm_status status, const char* message) noexcept {
    std::snprintf(last_error, sizeof last_error, "%s", message);
    return status;
}

int32_t fail_with_symbol(nlm_status status, const char* symbol, const char* message) noexcept {
    std::snprintf(last_error, sizeof last_error, "%s: %s", symbol, message);
    return status;
}

} // namespace nlm

extern "C" const char* nlm_last_error(void) {
    return nlm::last_error;
}
