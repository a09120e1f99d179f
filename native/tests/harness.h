// A small test harness: TEST("Promise_kept") { … CHECK(condition, "format", …); … SKIP("reason"); }
// One line per failure, the final line is `N passed, N failed, N skipped`. `--filter TEXT` runs tests whose name contains TEXT,
// `--quick` runs the smallest sweep of every test: for builds that are slow, such as an emulator under a thread sanitizer.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

namespace nlm::tests {

struct Test {
    const char* name;
    void (*body)();
};

inline std::vector<Test>& all_tests() {
    static std::vector<Test> tests;
    return tests;
}

struct Registration {
    Registration(const char* name, void (*body)()) { all_tests().push_back({name, body}); }
};

// State of the running test.
struct Current {
    const char* name = "";
    int failures = 0;
    bool skipped = false;
};

inline Current& current() {
    static Current state;
    return state;
}

inline bool& quick() {
    static bool state = false;
    return state;
}

// A test prints its first failures only: one broken kernel would fill the screen.
constexpr int failures_shown = 5;

__attribute__((format(printf, 4, 5))) inline void report_failure(const char* file, int line, const char* condition,
                                                                 const char* format, ...) {
    if (++current().failures > failures_shown) return;
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    std::printf("FAIL %s (%s:%d): %s%s%s\n", current().name, file, line, condition, text[0] ? ": " : "", text);
}

inline void report_failure(const char* file, int line, const char* condition) {
    report_failure(file, line, condition, "%s", "");
}

inline int run_tests(int argument_count, char** arguments) {
    std::string filter;
    for (int i = 1; i < argument_count; ++i) {
        const std::string argument = arguments[i];
        if (argument == "--filter" && i + 1 < argument_count) {
            filter = arguments[++i];
        } else if (argument == "--quick") {
            quick() = true;
        } else {
            std::fprintf(stderr, "usage: %s [--filter TEXT] [--quick]\n", arguments[0]);
            return 2;
        }
    }
    int passed = 0, failed = 0, skipped = 0;
    for (const Test& test : all_tests()) {
        if (std::string(test.name).find(filter) == std::string::npos) continue;
        current() = {test.name, 0, false};
        try {
            test.body();
        } catch (const std::exception& error) {
            report_failure(__FILE__, __LINE__, "no exception", "%s", error.what());
        }
        if (current().failures > 0) {
            ++failed;
            if (current().failures > failures_shown) std::printf("FAIL %s: %d failures in all\n", test.name, current().failures);
        } else {
            ++(current().skipped ? skipped : passed);
        }
        std::fflush(stdout);
    }
    std::printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed > 0 || passed + skipped == 0 ? 1 : 0;
}

#define NLM_TEST_NAME(prefix, line) NLM_TEST_NAME_(prefix, line)
#define NLM_TEST_NAME_(prefix, line) prefix##line
#define TEST(name)                                                                                                               \
    static void NLM_TEST_NAME(test_, __LINE__)();                                                                                \
    static const ::nlm::tests::Registration NLM_TEST_NAME(registration_, __LINE__){name, &NLM_TEST_NAME(test_, __LINE__)};       \
    static void NLM_TEST_NAME(test_, __LINE__)()

// CHECK(condition) or CHECK(condition, "format", …): goes on after a failure.
#define CHECK(condition, ...)                                                                                                    \
    do {                                                                                                                         \
        if (!(condition)) ::nlm::tests::report_failure(__FILE__, __LINE__, #condition __VA_OPT__(, ) __VA_ARGS__);               \
    } while (0)

#define SKIP(reason)                                                                                                             \
    do {                                                                                                                         \
        ::nlm::tests::current().skipped = true;                                                                                  \
        std::printf("SKIP %s: %s\n", ::nlm::tests::current().name, reason);                                                      \
        return;                                                                                                                  \
    } while (0)

} // namespace nlm::tests
