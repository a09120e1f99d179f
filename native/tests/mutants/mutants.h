// Planted bugs: small kernels, each in its right form and in forms with one bug, and by which means each bug must be caught.
//
// A plain build runs them in the process itself and looks at reports, results and their differences between schedules. A build
// with a sanitizer runs each in a child process, because a sanitizer ends the process or taints it, and looks at what it says.
#pragma once

#include "../emulator/emulator_fixture.h"

#include <functional>

namespace nlm::tests {

// What one run of a kernel gave.
struct Outcome {
    std::string report; // of a failed launch, else empty
    std::vector<float> values;
    int64_t conflicts = 0; // bank conflicts of ldmatrix
};

enum class Means {
    report,            // the emulator ends the launch; `text` is in its report
    wrong,             // the values differ from the right ones in every schedule (NaN included)
    schedules,         // some schedule gives other bits than the first
    conflicts,         // right values, but banks collide
    address_sanitizer, // in a build with it
    race_detector      // in a build with -fsanitize=thread
};

struct Catch {
    Means means;
    const char* text = "";
};

struct Mutant {
    const char* kernel;
    const char* bug; // "none" for the right form
    Outcome (*run)();
    std::vector<float> (*right)();
    std::vector<Catch> caught_by;
};

inline std::vector<Mutant>& all_mutants() {
    static std::vector<Mutant> mutants;
    return mutants;
}

struct PlantedBugs {
    explicit PlantedBugs(std::vector<Mutant> mutants) {
        for (Mutant& mutant : mutants) all_mutants().push_back(std::move(mutant));
    }
};

// Runs a kernel and takes its output.
template <typename Kernel, typename... Arguments>
Outcome outcome_of(Kernel kernel, const Launch& shape, const DeviceArray<float>& out, Arguments... arguments) {
    Outcome outcome;
    const int64_t before = counter("ldmatrix_conflicts");
    outcome.report = report_of(kernel, shape, arguments...);
    outcome.conflicts = counter("ldmatrix_conflicts") - before;
    outcome.values = out.copy();
    return outcome;
}

} // namespace nlm::tests
