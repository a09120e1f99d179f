// The native tests find every bug that is planted in the real kernels: run against the library with the bug, the tests that its
// description names fail.
#include "harness.h"

#include <array>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <unistd.h>

using namespace nlm::tests;

namespace {

struct Planted {
    const char *name, *folder, *tests;
};

const std::vector<Planted> planted{
#include "planted_kernels.inc"
};

std::string own_folder() {
    std::array<char, 4096> path{};
    const ssize_t length = readlink("/proc/self/exe", path.data(), path.size() - 1);
    if (length <= 0) throw std::runtime_error("/proc/self/exe cannot be read");
    const std::string file(path.data(), static_cast<size_t>(length));
    return file.substr(0, file.rfind('/'));
}

// The native tests of that name against the library with the bug, in every schedule.
std::string output_of(const Planted& bug) {
    const std::string command = "LD_LIBRARY_PATH='" + std::string(bug.folder) + "' '" + own_folder() +
                                "/nativelm_tests_emulated' --schedules --filter " + bug.tests + " 2>&1";
    FILE* pipe = popen(command.c_str(), "r");
    if (pipe == nullptr) throw std::runtime_error("no child process: " + command);
    std::string output;
    std::array<char, 4096> buffer;
    while (std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) output += buffer.data();
    pclose(pipe);
    return output;
}

void check_planted() {
    for (const Planted& bug : planted) {
        if (current().name != std::string(bug.name)) continue;
        const std::string output = output_of(bug);
        CHECK(output.find("FAIL ") != std::string::npos, "nothing failed: %s", output.c_str());
    }
}

} // namespace

int main(int argument_count, char** arguments) {
    for (const Planted& bug : planted) all_tests().push_back({bug.name, &check_planted});
    return run_tests(argument_count, arguments);
}
