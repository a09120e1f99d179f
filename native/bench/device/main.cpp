// nativelm_kernel_bench_cuda and _emulated: every kernel of a device library at the shapes of real models, timed by the device
// and judged against ceilings that the same run measured. On the emulator all of it runs at tiny sizes and nothing is timed, so
// that it cannot rot on machines without a GPU.
#include "bench.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace {

using namespace nlm::bench;

struct Part {
    const char* name;
    void (*run)(Bench&);
};

// Ceilings run always, and first.
constexpr Part parts[] = {{"gemm", bench_gemm},
                          {"attention-decode", bench_attention_decode},
                          {"attention-prefill", bench_attention_prefill},
                          {"memory", bench_memory},
                          {"sampling", bench_sampling},
                          {"step", bench_step}};

constexpr const char* usage = R"(usage: nativelm_kernel_bench [PART...] [options]

parts (default: all): ceilings, gemm, attention-decode, attention-prefill, memory, sampling, step
  --quick        fewer shapes and shorter graphs
  --sm90a        gemm: race the kernels for sm_90a against the others (off by default: they have not run on hardware)
  --model NAME   only this model: llama-3.1-8b, llama-2-13b, qwen3-0.6b, qwen3-8b, opt-13b
  --rounds N     replays of each graph (default 30)
  --json FILE    write the records there
  --help         this text
)";

struct Command {
    Options options;
    std::vector<std::string> parts;
};

bool is_part(const std::string& name) {
    return name == "ceilings" ||
           std::any_of(std::begin(parts), std::end(parts), [&](const Part& part) { return part.name == name; });
}

int number(const std::string& option, const std::string& text, int low, int high) {
    char* end = nullptr;
    const long value = std::strtol(text.c_str(), &end, 10);
    if (text.empty() || *end != '\0' || value < low || value > high)
        throw std::invalid_argument(option + ": expected " + std::to_string(low) + " to " + std::to_string(high) + ", found " +
                                    text);
    return static_cast<int>(value);
}

Command parse(int count, char** arguments) {
    Command command;
    for (int i = 1; i < count; ++i) {
        const std::string name = arguments[i];
        const auto value = [&] {
            if (i + 1 >= count) throw std::invalid_argument(name + " needs a value");
            return std::string(arguments[++i]);
        };
        if (name == "--quick")
            command.options.quick = true;
        else if (name == "--sm90a")
            command.options.sm90a = true;
        else if (name == "--model")
            command.options.model = value();
        else if (name == "--rounds")
            command.options.rounds = number(name, value(), 1, 1000);
        else if (name == "--json")
            command.options.json = value();
        else if (is_part(name))
            command.parts.push_back(name);
        else
            throw std::invalid_argument("unknown part or option " + name);
    }
    return command;
}

void run(const Command& command) {
    Device device;
    Bench bench(device, command.options);
    measure_ceilings(bench);
    for (const Part& part : parts)
        if (command.parts.empty() || std::count(command.parts.begin(), command.parts.end(), part.name) > 0) {
            std::printf("%s ...\n", part.name);
            std::fflush(stdout);
            part.run(bench);
        }
    if (!command.options.json.empty()) bench.report.write_json(command.options.json, device);
    bench.report.print_table(device);
}

} // namespace

int main(int count, char** arguments) {
    if (std::any_of(arguments, arguments + count, [](const std::string& a) { return a == "--help" || a == "-h"; })) {
        std::fputs(usage, stdout);
        return 0;
    }
    try {
        run(parse(count, arguments));
        return 0;
    } catch (const std::invalid_argument& error) {
        std::fprintf(stderr, "nativelm_kernel_bench: %s\n%s", error.what(), usage);
        return 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "nativelm_kernel_bench: %s\n", error.what());
        return 1;
    }
}
