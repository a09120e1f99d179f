#include "bench.h"

#include "bench_kernels.h"

#include <algorithm>
#include <cmath>
#include <memory>

namespace nlm::bench {

namespace {

using Graph = std::unique_ptr<nlm_graph, int32_t (*)(nlm_graph*)>;

// Chains call(0) … call(count - 1).
Graph record(nlm_stream* stream, const Contestant& contestant, int count) {
    nlm_graph* graph = nullptr;
    require(nlm_graph_begin(stream));
    for (int i = 0; i < count; ++i) contestant.call(i);
    require(nlm_graph_end(stream, &graph));
    return Graph(graph, nlm_graph_destroy);
}

// Milliseconds [rounds][graphs].
std::vector<float> replay(const Device& device, const std::vector<Graph>& graphs, int rounds) {
    std::vector<nlm_graph*> handles;
    for (const Graph& graph : graphs) handles.push_back(graph.get());
    std::vector<float> milliseconds(graphs.size() * static_cast<size_t>(rounds));
    require(nlm_bench_replay(device.stream(), handles.data(), static_cast<int32_t>(handles.size()), rounds, milliseconds.data()));
    return milliseconds;
}

double percentile(std::vector<double> values, double part) {
    if (values.empty()) return unknown;
    std::sort(values.begin(), values.end());
    return values[static_cast<size_t>(std::lround(part * static_cast<double>(values.size() - 1)))];
}

constexpr double cached_bytes = 256 << 20; // more than any card's last cache holds
constexpr double longest_graph_ms = 60;
constexpr int most_calls = 1024;

// Calls in a graph: enough to be timed well and not to run from the cache, few enough to be patient with.
int calls_for(const Contestant& contestant, double milliseconds_per_call, bool quick) {
    const double for_time = (quick ? 1.0 : 2.0) / milliseconds_per_call,
                 for_cache = cached_bytes / std::max(contestant.bytes, 1.0),
                 most = std::min<double>(most_calls, longest_graph_ms / milliseconds_per_call);
    return static_cast<int>(std::clamp(std::ceil(std::max(for_time, for_cache)), 1.0, std::max(1.0, most)));
}

} // namespace

double Ceilings::floor_seconds(const Work& work) const {
    const double both = std::min(work.read, work.written);
    const double memory = 2 * both / copy + (work.read - both) / read + (work.written - both) / write;
    return std::max(memory, work.operations / multiply);
}

double Timing::spread_percent() const {
    return 100 * (percentile(rounds, 0.9) - percentile(rounds, 0.1)) / seconds;
}

double Timing::ratio_to(const Timing& other) const {
    std::vector<double> ratios;
    for (size_t i = 0; i < rounds.size() && i < other.rounds.size(); ++i) ratios.push_back(other.rounds[i] / rounds[i]);
    return percentile(ratios, 0.5);
}

std::vector<Timing> Bench::race(const std::vector<Contestant>& contestants) const {
    std::vector<Graph> graphs;
    std::vector<int> calls;
    for (const Contestant& contestant : contestants) {
        nlm_stream* const stream = contestant.stream != nullptr ? contestant.stream : device.stream();
        contestant.call(0); // loads the kernels: a recording must not be the first to
        require(nlm_stream_synchronize(stream));
        std::vector<Graph> single;
        single.push_back(record(stream, contestant, 1));
        const double once = percentile({replay(device, single, 1)[0], replay(device, single, 1)[0]}, 0);
        calls.push_back(is_rehearsal() ? 2 : calls_for(contestant, std::max(once, 1e-4), options.quick));
        graphs.push_back(record(stream, contestant, calls.back()));
    }
    const int rounds = is_rehearsal() ? 1 : options.rounds;
    const std::vector<float> milliseconds = replay(device, graphs, rounds);
    std::vector<Timing> timings(contestants.size());
    if (is_rehearsal()) return timings;
    for (size_t i = 0; i < milliseconds.size(); ++i) {
        const size_t who = i % contestants.size();
        timings[who].rounds.push_back(1e-3 * static_cast<double>(milliseconds[i]) / calls[who]);
    }
    for (Timing& timing : timings) timing.seconds = percentile(timing.rounds, 0.5);
    return timings;
}

void Bench::measure(const std::string& name, const Work& work, const std::vector<Contestant>& contestants) {
    const std::vector<Timing> timings = race(contestants);
    for (size_t i = 0; i < contestants.size(); ++i) {
        const size_t partner = i == 0 ? 1 : 0;
        Record record;
        record.name = i == 0 ? name : name + " [" + contestants[i].name + "]";
        record.kind = i == 0 ? "performance" : "context";
        record.value = timings[i].seconds * 1e6;
        record.floor_percent = 100 * ceilings.floor_seconds(work) / timings[i].seconds;
        record.spread_percent = timings[i].spread_percent();
        record.work = work;
        record.target = contestants[i].target;
        if (partner < contestants.size()) {
            record.partner = contestants[partner].name;
            record.ratio = timings[i].ratio_to(timings[partner]);
        }
        report.add(record);
    }
}

std::vector<Model> Bench::chosen_models() const {
    if (!options.model.empty()) return {model_named(options.model, is_rehearsal())};
    return models(is_rehearsal());
}

} // namespace nlm::bench
