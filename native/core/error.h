// The guard at the ABI: status codes out, a thread-local message beside them, no exception across.
#pragma once

#include "nativelm.h"

#include <cstdarg>
#include <exception>
#include <new>

namespace nlm {

// Thrown inside a backend, caught by guard(). The message names symbol, argument, expected and found.
class Error : public std::exception {
public:
    Error(nlm_status status, const char* format, ...) __attribute__((format(printf, 3, 4)));
    nlm_status status() const { return status_; }
    const char* what() const noexcept override { return message_; }

private:
    nlm_status status_;
    char message_[512];
};

// Stores the message for nlm_last_error() on this thread and returns the status.
int32_t fail(nlm_status status, const char* message) noexcept;

// Runs body; turns every exception into a status and a message that starts with the symbol.
template <typename Body> int32_t guard(const char* symbol, Body&& body) noexcept;

// Throws NLM_INVALID_ARGUMENT unless the condition holds.
#define NLM_REQUIRE(condition, ...)                                                                                              \
    do {                                                                                                                         \
        if (!(condition)) throw ::nlm::Error(NLM_INVALID_ARGUMENT, __VA_ARGS__);                                                 \
    } while (0)

int32_t fail_with_symbol(nlm_status status, const char* symbol, const char* message) noexcept;

template <typename Body> int32_t guard(const char* symbol, Body&& body) noexcept {
    try {
        body();
        return NLM_OK;
    } catch (const Error& error) {
        return fail_with_symbol(error.status(), symbol, error.what());
    } catch (const std::bad_alloc&) {
        return fail_with_symbol(NLM_OUT_OF_MEMORY, symbol, "out of host memory");
    } catch (const std::exception& error) {
        return fail_with_symbol(NLM_INTERNAL, symbol, error.what());
    } catch (...) {
        return fail_with_symbol(NLM_INTERNAL, symbol, "unknown exception");
    }
}

} // namespace nlm
