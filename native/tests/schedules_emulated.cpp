// The orders in which the emulator can run a kernel: a result that depends on them is a race. Streams are as late as they may be.
#include "fixture.h"
#include "nativelm_emulator.h"

namespace nlm::tests {
namespace {

const bool offered = [] {
    schedules_of_backend() = {{"threads=forward;blocks=forward;streams=eager", "threads=reverse;blocks=reverse;streams=deferred",
                               "threads=random:1;blocks=forward;streams=deferred",
                               "threads=random:2;blocks=reverse;streams=deferred"},
                              [](const char* name) {
                                  if (nlm_emulator_configure(name) != 0) throw std::runtime_error(name);
                              }};
    return true;
}();

} // namespace
} // namespace nlm::tests
