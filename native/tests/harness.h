// A small test harness: TEST("Promise_kept") { … CHECK(condition, "format", …); … SKIP("reason"); }
// One line per failure, the final line is `N passed, N failed, N skipped`. `--filter TEXT` runs tests whose name contains TEXT,
// `--quick` runs the smallest sweep of every test: for builds that are slow, such as an emulator under a thread sanitizer;
// `--schedules` runs every test once in each order of threads the backend offers, and whatever it reads must be the same in each.
#pragma once

#include <cstdarg>
#include <cstdint>
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
    uint64_t digest = 0; // of everything that was read from the device
};

inline Current& current() {
    static Current state;
    return state;
}

// Orders in which a backend can run the threads of its kernels, and how to choose one; empty where there is no choice.
struct Schedules {
    std::vector<const char*> names;
    void (*choose)(const char*) = nullptr;
};

inline Schedules& schedules_of_backend() {
    static Schedules schedules;
    return schedules;
}

// Bytes that came from the device: the same in every schedule.
inline void note_result(const void* bytes, size_t count) {
    const auto* at = static_cast<const unsigned char*>(bytes);
    for (size_t i = 0; i < count; ++i) current().digest = (current().digest ^ at[i]) * 0x100000001b3u;
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

// Runs a test in the current schedule; its digest stays in current().
inline void run_body(const Test& test) {
    current().digest = 0xcbf29ce484222325u;
    try {
        test.body();
    } catch (const std::exception& error) {
        report_failure(__FILE__, __LINE__, "no exception", "%s", error.what());
    }
}

inline void run_in_every_schedule(const Test& test) {
    const Schedules& schedules = schedules_of_backend();
    uint64_t first = 0;
    for (size_t i = 0; i < schedules.names.size() && current().failures == 0; ++i) {
        schedules.choose(schedules.names[i]);
        run_body(test);
        if (i == 0) first = current().digest;
        if (current().digest != first)
            report_failure(__FILE__, __LINE__, "equal bits in every schedule", "%s and %s differ", schedules.names[0],
                           schedules.names[i]);
    }
    schedules.choose(schedules.names[0]);
}

inline int run_tests(int argument_count, char** arguments) {
    std::string filter;
    bool every_schedule = false;
    for (int i = 1; i < argument_count; ++i) {
        const std::string argument = arguments[i];
        if (argument == "--filter" && i + 1 < argument_count) {
            filter = arguments[++i];
        } else if (argument == "--quick") {
            quick() = true;
        } else if (argument == "--schedules" && !schedules_of_backend().names.empty()) {
            every_schedule = true;
        } else {
            std::fprintf(stderr, "usage: %s [--filter TEXT] [--quick]%s\n", arguments[0],
                         schedules_of_backend().names.empty() ? "" : " [--schedules]");
            return 2;
        }
    }
    int passed = 0, failed = 0, skipped = 0;
    for (const Test& test : all_tests()) {
        if (std::string(test.name).find(filter) == std::string::npos) continue;
        current() = {};
        current().name = test.name;
        every_schedule ? run_in_every_schedule(test) : run_body(test);
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
