// nativelm_bench: the linear layers of a TinyLlama-1.1B shaped model against the ceilings of this machine, in one run.
//
// Each round measures the read loops, the matrix loop and every gemm once; figures are medians over rounds and ratios are
// medians of per-round ratios, because shared hosts change their bandwidth from minute to minute. Weights are rotated over more
// memory than the last cache holds.
#include "loops.h"
#include "nativelm.h"
#include "thread_pool.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <time.h>
#include <vector>

namespace {

struct Options {
    int rounds = 7, threads = 0;
    nlm_isa isa = NLM_ISA_AUTO;
    int32_t type = NLM_BF16;
    std::vector<int> rows{1, 4, 16, 32, 64, 256, 512};
    std::string json;
};

struct Shape {
    const char* name;
    int32_t n, k, epilogue;
    int layers; // times the layer runs in one step of the model
};

constexpr Shape shapes[] = {{"qkv", 2560, 2048, NLM_EPILOGUE_NONE, 22},
                            {"o", 2048, 2048, NLM_EPILOGUE_NONE, 22},
                            {"gate_up", 11264, 2048, NLM_EPILOGUE_SILU_MUL, 22},
                            {"down", 2048, 5632, NLM_EPILOGUE_NONE, 22},
                            {"lm_head", 32000, 2048, NLM_EPILOGUE_NONE, 1}};

constexpr const char* family_names[] = {"auto", "scalar", "avx2", "avx512", "avx512_bf16", "amx"};
constexpr const char* type_names[] = {"f32", "bf16", "f16"};

void require(int32_t status) {
    if (status != NLM_OK) throw std::runtime_error(nlm_last_error());
}

// Wall time, or processor time of this thread: on a busy machine the latter still tells how good a kernel is on one thread.
bool use_cpu_clock = false;

double now() {
    timespec time{};
    clock_gettime(use_cpu_clock ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double seconds(const std::function<void()>& work) {
    const double start = now();
    work();
    return now() - start;
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values.empty() ? 0 : values[values.size() / 2];
}

// Named series of one value per round.
class Series {
public:
    void add(const std::string& name, double value) {
        if (values_.find(name) == values_.end()) order_.push_back(name);
        values_[name].push_back(value);
    }
    const std::vector<std::string>& names() const { return order_; }
    const std::vector<double>& of(const std::string& name) const { return values_.at(name); }
    double median_of(const std::string& name) const { return median(values_.at(name)); }
    double median_ratio(const std::string& name, const std::string& partner) const {
        std::vector<double> ratios;
        for (size_t i = 0; i < of(name).size(); ++i) ratios.push_back(of(name)[i] / of(partner)[i]);
        return median(ratios);
    }

private:
    std::vector<std::string> order_;
    std::map<std::string, std::vector<double>> values_;
};

class Device {
public:
    explicit Device(const Options& options) {
        nlm_device_options open{};
        open.size = sizeof open;
        open.thread_count = options.threads;
        open.isa = options.isa;
        require(nlm_device_open(&open, &device_));
        require(nlm_stream_create(device_, &stream_));
        info_.size = sizeof info_;
        require(nlm_device_get_info(device_, &info_));
    }
    ~Device() {
        for (void* memory : allocations_) nlm_memory_free(device_, memory);
        nlm_stream_destroy(stream_);
        nlm_device_close(device_);
    }
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    void* allocate(int64_t bytes) {
        void* memory = nullptr;
        require(nlm_memory_allocate(device_, bytes, NLM_MEMORY_DEVICE, &memory));
        allocations_.push_back(memory);
        return memory;
    }
    nlm_stream* stream() const { return stream_; }
    nlm_isa isa() const { return static_cast<nlm_isa>(info_.isa); }
    const nlm_device_info& info() const { return info_; }

private:
    nlm_device* device_ = nullptr;
    nlm_stream* stream_ = nullptr;
    nlm_device_info info_{};
    std::vector<void*> allocations_;
};

// Random values near 1 / 16 in a storage type; zeros would run faster than real data.
void randomize(void* memory, int32_t type, int64_t count) {
    uint64_t state = 88172645463325252ULL;
    for (int64_t i = 0; i < count; ++i) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        const uint32_t bits = 0x3d800000u | (static_cast<uint32_t>(state) & 0x807fffffu);
        if (type == NLM_F32) std::memcpy(static_cast<char*>(memory) + 4 * i, &bits, 4);
        const uint16_t half =
            type == NLM_BF16 ? static_cast<uint16_t>(bits >> 16) : static_cast<uint16_t>(0x2c00u | (state & 0x83ffu));
        if (type != NLM_F32) std::memcpy(static_cast<char*>(memory) + 2 * i, &half, 2);
    }
}

// One arena of packed bytes for all shapes, larger than the last cache: every call reads its weight from the next place in it.
class Gemms {
public:
    Gemms(Device& device, const Options& options) : device_(device), type_(options.type) {
        const int64_t element = type_ == NLM_F32 ? 4 : 2, rows = *std::max_element(options.rows.begin(), options.rows.end());
        arena_bytes_ = 0;
        for (const Shape& shape : shapes) arena_bytes_ = std::max(arena_bytes_, nlm_packed_weight_bytes(type_, shape.n, shape.k));
        arena_bytes_ = std::max<int64_t>(4 * arena_bytes_, int64_t{512} << 20);
        arena_ = static_cast<char*>(device.allocate(arena_bytes_));
        randomize(arena_, type_, arena_bytes_ / element);
        x_ = device.allocate(rows * 5632 * element);
        randomize(x_, type_, rows * 5632);
        out_ = device.allocate(rows * 32000 * 4);
        workspace_bytes_ = 0;
        for (const Shape& shape : shapes) {
            const nlm_gemm_args args = arguments(shape, static_cast<int>(rows));
            workspace_bytes_ = std::max(workspace_bytes_, nlm_gemm_workspace_bytes(&args));
        }
        workspace_ = device.allocate(workspace_bytes_);
    }

    const char* arena() const { return arena_; }
    int64_t arena_bytes() const { return arena_bytes_; }

    // Seconds per call, over enough calls to last some milliseconds.
    double time(const Shape& shape, int rows) {
        const int64_t bytes = nlm_packed_weight_bytes(type_, shape.n, shape.k);
        const double estimate = static_cast<double>(bytes) / 20e9 + 2.0 * rows * shape.n * shape.k / 500e9;
        const int calls = std::clamp(static_cast<int>(0.02 / estimate), 1, 16);
        return seconds([&] {
                   for (int i = 0; i < calls; ++i) {
                       nlm_gemm_args args = arguments(shape, rows);
                       args.weight = next(bytes);
                       require(nlm_gemm(device_.stream(), &args));
                   }
               }) /
               calls;
    }

private:
    const void* next(int64_t bytes) {
        if (offset_ + bytes > arena_bytes_) offset_ = 0;
        const void* weight = arena_ + offset_;
        offset_ += (bytes + 4095) / 4096 * 4096;
        return weight;
    }

    nlm_gemm_args arguments(const Shape& shape, int rows) const {
        nlm_gemm_args args{};
        args.size = sizeof args;
        args.epilogue = shape.epilogue;
        args.out = out_;
        args.x = x_;
        args.workspace = workspace_;
        args.workspace_bytes = workspace_bytes_;
        args.x_stride = shape.k;
        args.out_stride = shape.epilogue == NLM_EPILOGUE_NONE ? shape.n : shape.n / 2;
        args.rows_max = rows;
        args.n = shape.n;
        args.k = shape.k;
        args.type_x = args.type_weight = args.type_out = type_;
        return args;
    }

    Device& device_;
    int32_t type_;
    char* arena_ = nullptr;
    void *x_ = nullptr, *out_ = nullptr, *workspace_ = nullptr;
    int64_t arena_bytes_ = 0, workspace_bytes_ = 0, offset_ = 0;
};

using ReadLoop = float (*)(const void*, int64_t);
using PeakLoop = double (*)(int64_t, float*);

ReadLoop vector_read_loop(nlm_isa isa) {
    using namespace nlm::bench;
    return isa >= NLM_ISA_AVX512 ? avx512::read_loop : isa == NLM_ISA_AVX2 ? avx2::read_loop : scalar::read_loop;
}

// The instruction that a gemm of this type uses.
PeakLoop peak_loop(nlm_isa isa, int32_t type) {
    using namespace nlm::bench;
    if (type == NLM_BF16 && isa == NLM_ISA_AMX) return amx::peak_loop;
    if (type == NLM_BF16 && isa == NLM_ISA_AVX512_BF16) return avx512_bf16::peak_loop;
    return isa >= NLM_ISA_AVX512 ? avx512::peak_loop : isa == NLM_ISA_AVX2 ? avx2::peak_loop : scalar::peak_loop;
}

// GB/s of `threads` threads that read one contiguous part each.
double read_bandwidth(nlm::cpu::ThreadPool& pool, ReadLoop loop, const char* memory, int64_t bytes) {
    const int64_t threads = pool.thread_count(), part = bytes / threads / 4096 * 4096;
    std::vector<float> sums(static_cast<size_t>(threads) * 16);
    const double time = seconds([&] {
        pool.run(threads, [&](int64_t job, int) { sums[static_cast<size_t>(job) * 16] = loop(memory + job * part, part); });
    });
    return static_cast<double>(part * threads) / time / 1e9;
}

double matrix_peak(nlm::cpu::ThreadPool& pool, PeakLoop loop) {
    const int64_t threads = pool.thread_count();
    std::vector<float> sinks(static_cast<size_t>(threads) * 16);
    std::vector<double> operations(static_cast<size_t>(threads));
    const double time = seconds([&] {
        pool.run(threads, [&](int64_t job, int) {
            operations[static_cast<size_t>(job)] = loop(2'000'000, &sinks[static_cast<size_t>(job) * 16]);
        });
    });
    double total = 0;
    for (const double count : operations) total += count;
    return total / time / 1e9;
}

std::string gemm_name(const Shape& shape, int rows) {
    return std::string(shape.name) + " M=" + std::to_string(rows);
}

void run_round(Gemms& gemms, Device& device, const Options& options, std::vector<std::unique_ptr<nlm::cpu::ThreadPool>>& pools,
               Series& series) {
    const int64_t bytes = std::min<int64_t>(gemms.arena_bytes(), int64_t{512} << 20);
    double best = 0;
    for (const auto& pool : pools) {
        const double rate = read_bandwidth(*pool, vector_read_loop(device.isa()), gemms.arena(), bytes);
        series.add("read loop, " + std::to_string(pool->thread_count()) + " threads GB/s", rate);
        best = std::max(best, rate);
    }
    if (device.isa() == NLM_ISA_AMX) {
        const double rate = read_bandwidth(*pools.back(), nlm::bench::amx::read_loop, gemms.arena(), bytes);
        series.add("tile read loop GB/s", rate);
        best = std::max(best, rate);
    }
    series.add("best read loop GB/s", best);
    series.add("matrix loop GFLOP/s", matrix_peak(*pools.back(), peak_loop(device.isa(), options.type)));
    for (const int rows : options.rows) {
        double step = 0, step_bytes = 0, step_flops = 0;
        for (const Shape& shape : shapes) {
            const double time = gemms.time(shape, rows);
            const double weight = static_cast<double>(nlm_packed_weight_bytes(options.type, shape.n, shape.k)),
                         flops = 2.0 * rows * shape.n * shape.k;
            series.add(gemm_name(shape, rows) + " GB/s", weight / time / 1e9);
            series.add(gemm_name(shape, rows) + " GFLOP/s", flops / time / 1e9);
            step += time * shape.layers;
            step_bytes += weight * shape.layers;
            step_flops += flops * shape.layers;
        }
        const std::string name = "model M=" + std::to_string(rows);
        series.add(name + " ms", step * 1e3);
        series.add(name + " tok/s", rows / step);
        series.add(name + " GB/s", step_bytes / step / 1e9);
        series.add(name + " GFLOP/s", step_flops / step / 1e9);
    }
}

void print_table(const Series& series, const Options& options) {
    for (const std::string& name : series.names())
        if (name.find("M=") == std::string::npos) std::printf("%-32s %10.1f\n", name.c_str(), series.median_of(name));
    std::printf("\n%-18s %10s %8s %10s %8s\n", "gemm", "GB/s", "of read", "GFLOP/s", "of peak");
    const auto line = [&](const std::string& name) {
        std::printf("%-18s %10.1f %7.0f%% %10.1f %7.0f%%\n", name.c_str(), series.median_of(name + " GB/s"),
                    100 * series.median_ratio(name + " GB/s", "best read loop GB/s"), series.median_of(name + " GFLOP/s"),
                    100 * series.median_ratio(name + " GFLOP/s", "matrix loop GFLOP/s"));
    };
    for (const int rows : options.rows) {
        for (const Shape& shape : shapes) line(gemm_name(shape, rows));
        line("model M=" + std::to_string(rows));
    }
    std::printf("\n%-18s %10s %10s\n", "linear layers", "ms / step", "tok/s");
    for (const int rows : options.rows) {
        const std::string name = "model M=" + std::to_string(rows);
        std::printf("%-18s %10.2f %10.1f\n", name.c_str(), series.median_of(name + " ms"), series.median_of(name + " tok/s"));
    }
}

void write_json(const Series& series, const Device& device, const Options& options) {
    std::FILE* file = std::fopen(options.json.c_str(), "w");
    if (file == nullptr) throw std::runtime_error("cannot write " + options.json);
    std::fprintf(file,
                 "{\n  \"processor\": \"%s\",\n  \"isa\": \"%s\",\n  \"type\": \"%s\",\n  \"threads\": %d,\n  \"rounds\": %d,\n  "
                 "\"series\": [",
                 device.info().name, family_names[device.isa()], type_names[options.type], device.info().thread_count,
                 options.rounds);
    const char* separator = "\n";
    for (const std::string& name : series.names()) {
        std::fprintf(file, "%s    {\"name\": \"%s\", \"median\": %.6g, \"values\": [", separator, name.c_str(),
                     series.median_of(name));
        for (size_t i = 0; i < series.of(name).size(); ++i) std::fprintf(file, "%s%.6g", i ? ", " : "", series.of(name)[i]);
        std::fprintf(file, "]}");
        separator = ",\n";
    }
    std::fprintf(file, "\n  ]\n}\n");
    std::fclose(file);
}

// Index of a name in a list, or a complaint.
template <size_t Count> int32_t index_of(const char* const (&names)[Count], const std::string& name) {
    for (size_t i = 0; i < Count; ++i)
        if (name == names[i]) return static_cast<int32_t>(i);
    throw std::runtime_error("unknown name: " + name);
}

std::vector<int> parse_rows(const std::string& text) {
    std::vector<int> rows;
    for (size_t begin = 0; begin < text.size();) {
        const size_t end = std::min(text.find(',', begin), text.size());
        rows.push_back(std::stoi(text.substr(begin, end - begin)));
        if (std::count(rows.begin(), rows.end(), rows.back()) > 1) throw std::runtime_error("--rows: a count stands twice");
        if (rows.back() < 1 || rows.back() > 4096) throw std::runtime_error("--rows: expected 1 to 4096");
        begin = end + 1;
    }
    if (rows.empty()) throw std::runtime_error("--rows: expected numbers");
    return rows;
}

Options parse(int count, char** arguments) {
    Options options;
    for (int i = 1; i < count; ++i) {
        const std::string name = arguments[i];
        if (i + 1 >= count)
            throw std::runtime_error("usage: nativelm_bench [--rounds N] [--threads N] [--isa NAME] [--type bf16|f16|f32] "
                                     "[--rows 1,16,512] [--clock wall|cpu] [--json FILE]");
        const std::string value = arguments[++i];
        if (name == "--rounds")
            options.rounds = std::clamp(std::stoi(value), 1, 1000);
        else if (name == "--threads")
            options.threads = std::stoi(value);
        else if (name == "--isa")
            options.isa = static_cast<nlm_isa>(index_of(family_names, value));
        else if (name == "--type")
            options.type = index_of(type_names, value);
        else if (name == "--rows")
            options.rows = parse_rows(value);
        else if (name == "--clock")
            use_cpu_clock = value == "cpu";
        else if (name == "--json")
            options.json = value;
        else
            throw std::runtime_error("unknown option " + name);
    }
    if (use_cpu_clock && options.threads != 1) throw std::runtime_error("--clock cpu needs --threads 1");
    return options;
}

void run(const Options& options) {
    Device device(options);
    const int threads = device.info().thread_count;
    std::printf("%s, %s, %s, %d threads, %d rounds\n\n", device.info().name, family_names[device.isa()], type_names[options.type],
                threads, options.rounds);
    Gemms gemms(device, options);
    std::vector<std::unique_ptr<nlm::cpu::ThreadPool>> pools;
    for (int count = 1; count < threads; count *= 2) pools.push_back(std::make_unique<nlm::cpu::ThreadPool>(count));
    pools.push_back(std::make_unique<nlm::cpu::ThreadPool>(threads));
    Series series, warm_up;
    run_round(gemms, device, options, pools, warm_up);
    for (int round = 0; round < options.rounds; ++round) run_round(gemms, device, options, pools, series);
    print_table(series, options);
    if (!options.json.empty()) write_json(series, device, options);
}

} // namespace

int main(int count, char** arguments) {
    try {
        run(parse(count, arguments));
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "nativelm_bench: %s\n", error.what());
        return 1;
    }
}
