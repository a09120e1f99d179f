#include "emulator_state.h"

#include "nativelm_emulator.h"
#include "sanitizers.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string>

namespace nlm::emulation {

namespace {

struct State {
    char report[640] = "";
    Fault fault = Fault::none;
    int64_t calls_left = 0; // until the fault strikes
    int value = 0;
};

// "threads=random:7" into name and value.
bool apply(Settings& settings, const std::string& name, const std::string& value) {
    if (name == "threads") {
        if (value == "forward") {
            settings.threads = ThreadOrder::forward;
        } else if (value == "reverse") {
            settings.threads = ThreadOrder::reverse;
        } else if (value.compare(0, 7, "random:") == 0) {
            settings.threads = ThreadOrder::random;
            settings.seed = std::strtoull(value.c_str() + 7, nullptr, 10);
        } else {
            return false;
        }
        return true;
    }
    if (name == "blocks") {
        settings.blocks_reversed = value == "reverse";
        return value == "forward" || value == "reverse";
    }
    if (name == "streams") {
        settings.streams_deferred = value == "deferred";
        return value == "eager" || value == "deferred";
    }
    if (name == "fault") return nlm_emulator_inject(value.c_str()) == 0;
    if (name == "memory") {
        settings.memory_bytes = std::strtoull(value.c_str(), nullptr, 10);
        return settings.memory_bytes > 0;
    }
    return false;
}

bool parse(const char* text, Settings& settings) {
    const std::string all = text;
    for (size_t begin = 0; begin < all.size();) {
        size_t end = all.find(';', begin);
        if (end == std::string::npos) end = all.size();
        const std::string part = all.substr(begin, end - begin);
        const size_t equals = part.find('=');
        if (!part.empty() && (equals == std::string::npos || !apply(settings, part.substr(0, equals), part.substr(equals + 1))))
            return false;
        begin = end + 1;
    }
    return true;
}

State& state() {
    static State instance;
    return instance;
}

constexpr const char* counter_names[] = {"launches",    "blocks",           "collectives", "ldmatrix_conflicts",
                                         "allocations", "live_allocations", "live_bytes"};

Fault fault_named(const std::string& name) {
    constexpr std::pair<const char*, Fault> names[] = {{"", Fault::none},
                                                       {"no-device", Fault::no_device},
                                                       {"no-driver", Fault::no_driver},
                                                       {"old-driver", Fault::old_driver},
                                                       {"malloc", Fault::malloc},
                                                       {"host-malloc", Fault::host_malloc},
                                                       {"launch", Fault::launch},
                                                       {"copy", Fault::copy}};
    for (const auto& [text, fault] : names)
        if (name == text) return fault;
    return name == "capability" ? Fault::capability : static_cast<Fault>(-1);
}

} // namespace

int64_t counters[static_cast<size_t>(Counter::total)];

// Read once, when the library is loaded.
Settings current_settings = [] {
    Settings settings;
    const char* text = std::getenv("NATIVELM_EMULATOR");
    if (text != nullptr && !parse(text, settings)) std::fprintf(stderr, "NATIVELM_EMULATOR: not understood: %s\n", text);
    return settings;
}();

void set_report(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(state().report, sizeof state().report, format, arguments);
    va_end(arguments);
}

const char* last_report() {
    return state().report;
}

bool fault_strikes(Fault fault) {
    State& s = state();
    return s.fault == fault && --s.calls_left == 0;
}

Fault pending_fault() {
    return state().fault;
}

int fault_value() {
    return state().value;
}

std::recursive_mutex& emulator_lock() {
    static std::recursive_mutex lock;
    return lock;
}

void clear_sticky_error(); // runtime_emulator.cpp

} // namespace nlm::emulation

using namespace nlm::emulation;

extern "C" int32_t nlm_emulator_configure(const char* text) {
    const std::lock_guard lock(emulator_lock());
    Settings changed = current_settings;
    if (text == nullptr || !parse(text, changed)) return 1;
    current_settings = changed;
    return 0;
}

extern "C" int32_t nlm_emulator_inject(const char* text) {
    const std::lock_guard lock(emulator_lock());
    if (text == nullptr) return 1;
    const std::string all = text;
    const size_t colon = all.find(':');
    const Fault fault = fault_named(all.substr(0, colon));
    if (static_cast<int>(fault) < 0) return 1;
    const long long number = colon == std::string::npos ? 1 : std::atoll(all.c_str() + colon + 1);
    if (number < 1) return 1;
    state().fault = fault;
    state().calls_left = number;
    state().value = static_cast<int>(number);
    if (fault == Fault::none) clear_sticky_error();
    return 0;
}

extern "C" int64_t nlm_emulator_counter(const char* name) {
    const std::lock_guard lock(emulator_lock());
    for (size_t i = 0; i < std::size(counter_names); ++i)
        if (name != nullptr && std::string(name) == counter_names[i]) return counters[i];
    return -1;
}

extern "C" const char* nlm_emulator_report(void) {
    return last_report();
}
