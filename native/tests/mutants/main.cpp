// The planted bugs are caught, each by the means named beside it, and the right kernels by none.
#include "mutants.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <sys/wait.h>
#include <unistd.h>

using namespace nlm::tests;

namespace {

#if defined(__SANITIZE_THREAD__)
constexpr Means sanitizer = Means::race_detector;
constexpr const char* complaint = "WARNING: ThreadSanitizer: data race";
#elif defined(__SANITIZE_ADDRESS__)
constexpr Means sanitizer = Means::address_sanitizer;
constexpr const char* complaint = "ERROR: AddressSanitizer";
#else
constexpr Means sanitizer = Means::report;
constexpr const char* complaint = "";
#endif
constexpr bool has_sanitizer = sanitizer != Means::report;

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

bool is_right(const Mutant& mutant) {
    return std::string(mutant.bug) == "none";
}

bool needs_sanitizer(const Catch& by) {
    return by.means == Means::address_sanitizer || by.means == Means::race_detector;
}

std::string name_of(const Mutant& mutant) {
    return std::string(mutant.kernel) + "/" + mutant.bug;
}

std::vector<Outcome> run_in_every_schedule(const Mutant& mutant) {
    std::vector<Outcome> outcomes;
    for (const std::string& schedule : schedules()) {
        const Settings settings(schedule);
        outcomes.push_back(mutant.run());
    }
    return outcomes;
}

bool is_caught(const Catch& by, const std::vector<Outcome>& outcomes, const std::vector<float>& right) {
    const auto every = [&](auto condition) { return std::all_of(outcomes.begin(), outcomes.end(), condition); };
    const auto some = [&](auto condition) { return std::any_of(outcomes.begin(), outcomes.end(), condition); };
    switch (by.means) {
    case Means::report:
        return every([&](const Outcome& o) { return contains(o.report, by.text); });
    case Means::wrong:
        return every([&](const Outcome& o) { return o.report.empty() && !same_bits(o.values, right); });
    case Means::schedules:
        return every([](const Outcome& o) { return o.report.empty(); }) &&
               some([&](const Outcome& o) { return !same_bits(o.values, outcomes[0].values); });
    case Means::conflicts:
        return every([&](const Outcome& o) { return o.conflicts > 0 && same_bits(o.values, right); });
    default:
        return false;
    }
}

bool is_clean(const std::vector<Outcome>& outcomes, const std::vector<float>& right) {
    return std::all_of(outcomes.begin(), outcomes.end(),
                       [&](const Outcome& o) { return o.report.empty() && o.conflicts == 0 && same_bits(o.values, right); });
}

// What this program prints when it runs one mutant alone.
std::string output_of_child(const Mutant& mutant) {
    const std::string command = "TSAN_OPTIONS=halt_on_error=1 ASAN_OPTIONS=detect_leaks=0 /proc/" + std::to_string(getpid()) +
                                "/exe --plant " + name_of(mutant) + " 2>&1";
    std::string output;
    FILE* pipe = popen(command.c_str(), "r");
    if (pipe == nullptr) throw std::runtime_error("no child process: " + command);
    std::array<char, 4096> buffer;
    while (std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) output += buffer.data();
    pclose(pipe);
    return output;
}

void check_in_process(const Mutant& mutant) {
    const std::vector<float> right = mutant.right();
    const std::vector<Outcome> outcomes = run_in_every_schedule(mutant);
    if (is_right(mutant))
        CHECK(is_clean(outcomes, right), "fault is found with a kernel that has none: %s", outcomes[0].report.c_str());
    for (const Catch& by : mutant.caught_by)
        if (!needs_sanitizer(by))
            CHECK(is_caught(by, outcomes, right), "means %d does not catch it (\"%s\"): %s", static_cast<int>(by.means), by.text,
                  outcomes[0].report.c_str());
}

void check_in_child(const Mutant& mutant) {
    const std::string output = output_of_child(mutant);
    if (is_right(mutant))
        CHECK(output == "clean\n", "fault is found with a kernel that has none: %s", output.c_str());
    else
        CHECK(contains(output, complaint), "the sanitizer is silent: %s", output.c_str());
}

// Whether this build has a means that must catch the mutant. Without its sanitizer a stray write would end the process.
bool can_catch(const Mutant& mutant) {
    return is_right(mutant) || std::any_of(mutant.caught_by.begin(), mutant.caught_by.end(), [](const Catch& by) {
               return has_sanitizer ? by.means == sanitizer : !needs_sanitizer(by);
           });
}

int run_planted(const char* name) {
    for (const Mutant& mutant : all_mutants()) {
        if (name_of(mutant) != name) continue;
        std::puts(is_clean(run_in_every_schedule(mutant), mutant.right()) ? "clean" : "caught");
        return 0;
    }
    std::fprintf(stderr, "no planted bug is called %s\n", name);
    return 2;
}

} // namespace

int main(int argument_count, char** arguments) {
    if (argument_count == 3 && std::string(arguments[1]) == "--plant") return run_planted(arguments[2]);
    static std::map<std::string, const Mutant*> planted;
    for (const Mutant& mutant : all_mutants())
        if (can_catch(mutant)) planted.emplace((is_right(mutant) ? "Passed_" : "Caught_") + name_of(mutant), &mutant);
    for (const auto& entry : planted)
        all_tests().push_back({entry.first.c_str(), [] {
                                   const Mutant& mutant = *planted.at(current().name);
                                   has_sanitizer ? check_in_child(mutant) : check_in_process(mutant);
                               }});
    return run_tests(argument_count, arguments);
}
