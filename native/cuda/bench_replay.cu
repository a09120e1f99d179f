// Times of graphs as the device saw them, for benchmarks. Not part of the ABI (native/bench/bench_kernels.h).
#include "../bench/bench_kernels.h"
#include "runtime.h"

#include <vector>

using namespace nlm;

namespace {

constexpr int64_t launches_max = 65536;

// Events with timing; the ABI's own have none, because they cost more.
class TimedEvents {
public:
    explicit TimedEvents(int64_t count) {
        events_.reserve(static_cast<size_t>(count));
        for (int64_t i = 0; i < count; ++i) {
            cudaEvent_t event = nullptr;
            check_cuda(cudaEventCreateWithFlags(&event, cudaEventDefault), "cudaEventCreateWithFlags");
            events_.push_back(event);
        }
    }
    ~TimedEvents() {
        for (const cudaEvent_t event : events_) cudaEventDestroy(event);
    }
    TimedEvents(const TimedEvents&) = delete;
    TimedEvents& operator=(const TimedEvents&) = delete;

    void record(int64_t index, cudaStream_t queue) const {
        check_cuda(cudaEventRecord(events_[static_cast<size_t>(index)], queue), "cudaEventRecord");
    }
    // From event index to the next one.
    float milliseconds(int64_t index) const {
        float elapsed = 0;
        check_cuda(cudaEventElapsedTime(&elapsed, events_[static_cast<size_t>(index)], events_[static_cast<size_t>(index + 1)]),
                   "cudaEventElapsedTime");
        return elapsed;
    }

private:
    std::vector<cudaEvent_t> events_;
};

} // namespace

extern "C" int32_t nlm_bench_replay(nlm_stream* stream, nlm_graph* const* graphs, int32_t graph_count, int32_t rounds,
                                    float* milliseconds) {
    return guard("nlm_bench_replay", [&] {
        const cudaStream_t queue = cuda_stream(stream);
        NLM_REQUIRE(graphs != nullptr && milliseconds != nullptr, "graphs, milliseconds: expected pointers, found null");
        check_range(graph_count, 1, 64, "graph_count");
        check_range(rounds, 1, launches_max / graph_count, "rounds");
        refuse_in_capture("timing graphs");
        for (int32_t g = 0; g < graph_count; ++g) {
            check_handle(graphs[g], "graphs[i]");
            NLM_REQUIRE(graphs[g]->device->ordinal == stream->device->ordinal, "graphs[%d] and stream belong to different cards",
                        g);
        }
        const auto launch = [&](int32_t g) { check_cuda(cudaGraphLaunch(graphs[g]->executable, queue), "cudaGraphLaunch"); };
        const int64_t launches = static_cast<int64_t>(rounds) * graph_count;
        const TimedEvents events(launches + 1);
        for (int32_t g = 0; g < graph_count; ++g) launch(g);
        events.record(0, queue);
        for (int64_t i = 0; i < launches; ++i) {
            launch(static_cast<int32_t>(i % graph_count));
            events.record(i + 1, queue);
        }
        check_cuda(cudaStreamSynchronize(queue), "cudaStreamSynchronize");
        for (int64_t i = 0; i < launches; ++i) milliseconds[i] = events.milliseconds(i);
    });
}
