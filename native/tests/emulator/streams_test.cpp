// The runtime underneath: order of work, events, graphs, faults on demand, limits of a launch, callers on several threads.
#include "emulator_fixture.h"

#include <atomic>
#include <thread>

using namespace nlm::tests;

namespace {

NLM_KERNEL add_kernel(int* values, int amount) {
    const int i = block_index() * thread_count() + thread_index();
    store(&values[i], load(&values[i]) + amount);
}
NLM_KERNEL double_kernel(int* values) {
    const int i = block_index() * thread_count() + thread_index();
    store(&values[i], load(&values[i]) * 2);
}
NLM_KERNEL failing_kernel() {
    if (thread_index() == 1) load(static_cast<const int*>(nullptr));
}
NLM_KERNEL empty_kernel() {}
NLM_KERNEL note_kernel(int* next, int* threads) {
    threads[atomic_add(next, 1)] = thread_index();
}

constexpr Launch one_warp{1, 1, 32};

class Event {
public:
    Event() { require_success(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreateWithFlags"); }
    ~Event() { cudaEventDestroy(event_); }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    operator cudaEvent_t() const { return event_; }

private:
    cudaEvent_t event_ = nullptr;
};

// An executable graph of what `record` gives to the stream.
template <typename Record> cudaGraphExec_t captured(cudaStream_t stream, Record&& record) {
    require_success(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    record();
    cudaGraph_t graph = nullptr;
    require_success(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
    cudaGraphExec_t executable = nullptr;
    require_success(cudaGraphInstantiateWithFlags(&executable, graph, 0), "cudaGraphInstantiateWithFlags");
    cudaGraphDestroy(graph);
    return executable;
}

} // namespace

TEST("Work_of_a_stream_runs_in_order_eager_or_deferred") {
    for (const char* streams : {"streams=eager", "streams=deferred"}) {
        const Settings settings(streams);
        const Stream stream;
        const DeviceArray<int> values(std::vector<int>(32, 1));
        launch(add_kernel, one_warp, stream, values.data(), 2);
        launch(double_kernel, one_warp, stream, values.data());
        launch(add_kernel, one_warp, stream, values.data(), 1);
        stream.synchronize();
        for (size_t i = 0; i < 32; ++i) CHECK(values[i] == 7);
    }
}

TEST("Deferred_work_does_not_run_before_somebody_waits") {
    const Settings settings("streams=deferred");
    const Stream stream;
    const Event event;
    const DeviceArray<int> values(std::vector<int>(32, 1));
    launch(add_kernel, one_warp, stream, values.data(), 2);
    CHECK(values[0] == 1 && cudaStreamQuery(stream) == cudaErrorNotReady);
    CHECK(cudaEventRecord(event, stream) == cudaSuccess);
    launch(double_kernel, one_warp, stream, values.data());
    CHECK(cudaEventQuery(event) == cudaErrorNotReady, "the first question finds it under way");
    CHECK(cudaEventSynchronize(event) == cudaSuccess && values[0] == 3, "an event covers what was given before it");
    CHECK(cudaEventQuery(event) == cudaSuccess);
    CHECK(cudaStreamQuery(stream) == cudaErrorNotReady);
    stream.synchronize();
    CHECK(values[0] == 6 && cudaStreamQuery(stream) == cudaSuccess);
}

TEST("A_stream_waits_for_the_event_of_another") {
    const Settings settings("streams=deferred");
    const Stream first, second;
    const Event event;
    const DeviceArray<int> values(std::vector<int>(32, 1));
    launch(add_kernel, one_warp, first, values.data(), 2);
    CHECK(cudaEventRecord(event, first) == cudaSuccess);
    launch(add_kernel, one_warp, first, values.data(), 100);
    CHECK(cudaStreamWaitEvent(second, event) == cudaSuccess);
    launch(double_kernel, one_warp, second, values.data());
    second.synchronize();
    CHECK(values[0] == 6, "%d: exactly what stood before the event came first", values[0]);
    first.synchronize();
    CHECK(values[0] == 106);
}

TEST("Copies_take_pageable_bytes_at_once_and_pinned_bytes_when_they_run") {
    const Settings settings("streams=deferred");
    const Stream stream;
    const DeviceArray<int> values(std::vector<int>(2, 0));
    void* memory = nullptr;
    require_success(cudaHostAlloc(&memory, sizeof(int), cudaHostAllocDefault), "cudaHostAlloc");
    int& pinned = *static_cast<int*>(memory);
    int pageable = 5;
    pinned = 5;
    CHECK(cudaMemcpyAsync(values.data(), &pageable, 4, cudaMemcpyHostToDevice, stream) == cudaSuccess);
    CHECK(cudaMemcpyAsync(values.data() + 1, &pinned, 4, cudaMemcpyHostToDevice, stream) == cudaSuccess);
    pageable = pinned = 9;
    stream.synchronize();
    CHECK(values[0] == 5 && values[1] == 9);
    // To pageable memory a copy waits; to pinned memory it does not.
    CHECK(cudaMemcpyAsync(&pinned, values.data(), 4, cudaMemcpyDeviceToHost, stream) == cudaSuccess && pinned == 9);
    CHECK(cudaMemcpyAsync(&pageable, values.data() + 1, 4, cudaMemcpyDeviceToHost, stream) == cudaSuccess && pageable == 9);
    CHECK(pinned == 5, "what stood before in the stream is done then");
    CHECK(cudaFreeHost(memory) == cudaSuccess);
}

TEST("A_copy_outside_an_allocation_is_refused") {
    const Stream stream;
    const DeviceArray<int> values(8);
    int host[16] = {};
    CHECK(cudaMemcpyAsync(values.data(), host, 33, cudaMemcpyHostToDevice, stream) == cudaErrorInvalidValue);
    CHECK(cudaMemcpyAsync(host, values.data() + 1, 32, cudaMemcpyDeviceToHost, stream) == cudaErrorInvalidValue);
    CHECK(cudaMemcpyAsync(host, host + 8, 4, cudaMemcpyDeviceToDevice, stream) == cudaErrorInvalidValue);
    CHECK(cudaMemsetAsync(values.data() + 8, 0, 1, stream) == cudaErrorInvalidValue);
    CHECK(cudaMemcpyAsync(values.data(), host, 32, cudaMemcpyHostToDevice, stream) == cudaSuccess);
}

TEST("A_graph_runs_nothing_when_recorded_and_everything_when_launched") {
    for (const char* streams : {"streams=eager", "streams=deferred"}) {
        const Settings settings(streams);
        const Stream stream;
        const DeviceArray<int> values(std::vector<int>(32, 1));
        int amount = 2;
        const cudaGraphExec_t graph = captured(stream, [&] {
            launch(add_kernel, one_warp, stream, values.data(), amount);
            launch(double_kernel, one_warp, stream, values.data());
        });
        amount = 50; // arguments are taken when recorded, memory when launched
        stream.synchronize();
        CHECK(values[0] == 1);
        for (const int expected : {6, 16, 36}) {
            CHECK(cudaGraphLaunch(graph, stream) == cudaSuccess);
            stream.synchronize();
            CHECK(values[0] == expected && values[31] == expected);
        }
        values.fill(10);
        CHECK(cudaGraphLaunch(graph, stream) == cudaSuccess);
        CHECK(cudaGraphExecDestroy(graph) == cudaSuccess, "destroying waits for its launches");
        CHECK(values[0] == 24);
    }
}

TEST("Waiting_inside_a_capture_breaks_it") {
    const Stream stream;
    const Event event;
    const DeviceArray<int> values(std::vector<int>(32, 1));
    int host = 0;
    const std::vector<std::pair<const char*, std::function<cudaError_t()>>> waits{
        {"synchronising", [&] { return cudaStreamSynchronize(stream); }},
        {"recording an event", [&] { return cudaEventRecord(event, stream); }},
        {"waiting for an event", [&] { return cudaStreamWaitEvent(stream, event); }},
        {"copying to pageable memory", [&] { return cudaMemcpyAsync(&host, values.data(), 4, cudaMemcpyDeviceToHost, stream); }},
    };
    for (const auto& [what, wait] : waits) {
        CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
        launch(add_kernel, one_warp, stream, values.data(), 2);
        CHECK(wait() == cudaErrorStreamCaptureUnsupported, "%s", what);
        cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
        CHECK(cudaStreamIsCapturing(stream, &status) == cudaSuccess && status == cudaStreamCaptureStatusInvalidated, "%s", what);
        cudaGraph_t graph = nullptr;
        CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated && graph == nullptr, "%s", what);
    }
    cudaGraph_t graph = nullptr;
    CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorInvalidValue, "nothing was begun");
    launch(add_kernel, one_warp, stream, values.data(), 1);
    stream.synchronize();
    CHECK(values[0] == 2, "the stream works on, and what was captured never ran");
}

TEST("A_failure_of_deferred_work_comes_out_where_it_is_waited_for") {
    const Settings settings("streams=deferred");
    const Stream stream;
    launch(failing_kernel, one_warp, stream);
    CHECK(cudaStreamSynchronize(stream) == cudaErrorLaunchFailure);
    CHECK(contains(nlm_emulator_report(), "thread 1") && contains(nlm_emulator_report(), "load: 4 bytes"), "%s",
          nlm_emulator_report());
    CHECK(cudaGetLastError() == cudaErrorLaunchFailure && cudaGetLastError() == cudaSuccess);
    launch(empty_kernel, one_warp, stream);
    CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
}

TEST("Launches_beyond_the_limits_of_hardware_are_refused") {
    const auto refused = [](const Launch& shape, const char* text) {
        const std::string report = report_of(empty_kernel, shape);
        CHECK(contains(report, text), "%s: %s", text, report.c_str());
    };
    refused({1, 1, 1056}, "1024 threads");
    refused({1, 1, 33}, "whole warps");
    refused({1, 1, 0}, "whole warps");
    refused({1, 1, 32, (227 << 10) + 1}, "shared memory");
    refused({1, 65536, 32}, "65535");
    refused({int64_t{1} << 31, 1, 32}, "2^31");
    CHECK(report_of(empty_kernel, {1, 1, 1024, 227 << 10}).empty());
    CHECK(report_of(empty_kernel, {0, 1, 32}).empty() && report_of(empty_kernel, {3, 0, 32}).empty(), "no block, no launch");
}

TEST("Faults_strike_the_call_they_name_and_no_other") {
    const Stream stream;
    void* memory = nullptr;
    CHECK(nlm_emulator_inject("malloc:2") == 0);
    {
        const DeviceArray<int> first(1);
        CHECK(cudaMalloc(&memory, 4) == cudaErrorMemoryAllocation && memory == nullptr);
        const DeviceArray<int> third(1);
    }
    CHECK(nlm_emulator_inject("host-malloc") == 0);
    CHECK(cudaHostAlloc(&memory, 4, cudaHostAllocDefault) == cudaErrorMemoryAllocation);
    CHECK(nlm_emulator_inject("nonsense") == 1 && nlm_emulator_inject(nullptr) == 1 && nlm_emulator_inject("launch:0") == 1);
    for (const char* device : {"no-device", "no-driver", "old-driver"}) {
        CHECK(nlm_emulator_inject(device) == 0);
        int count = 7, version = 0;
        CHECK(cudaGetDeviceCount(&count) != cudaSuccess && count == 0, "%s", device);
        CHECK(cudaDriverGetVersion(&version) == cudaSuccess);
        int runtime = 0;
        CHECK(cudaRuntimeGetVersion(&runtime) == cudaSuccess);
        CHECK(std::string(device) == "no-device" ? version >= runtime : version < runtime, "%s: %d", device, version);
    }
    CHECK(nlm_emulator_inject("capability:70") == 0);
    int major = 0;
    CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0) == cudaSuccess && major == 7);
    CHECK(nlm_emulator_inject("") == 0);
    CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0) == cudaSuccess && major == 9);
}

TEST("A_broken_launch_or_copy_answers_every_later_call_until_it_is_cleared") {
    for (const char* fault : {"launch:2", "copy:2"}) {
        const Stream stream;
        const DeviceArray<int> values(std::vector<int>(32, 1));
        const int one = 1;
        CHECK(nlm_emulator_inject(fault) == 0);
        std::string message;
        try {
            for (int i = 0; i < 2; ++i) {
                launch(add_kernel, one_warp, stream, values.data(), 1);
                require_success(cudaMemcpyAsync(values.data(), &one, 4, cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync");
            }
        } catch (const std::exception& error) {
            message = error.what();
        }
        CHECK(contains(message, "injected"), "%s: %s", fault, message.c_str());
        int count = 0;
        void* memory = nullptr;
        CHECK(cudaStreamSynchronize(stream) == cudaErrorIllegalAddress && cudaMalloc(&memory, 4) == cudaErrorIllegalAddress);
        CHECK(cudaGetDeviceCount(&count) == cudaErrorIllegalAddress, "sticky");
        CHECK(nlm_emulator_inject("") == 0 && cudaStreamSynchronize(stream) == cudaSuccess);
    }
}

TEST("Settings_that_are_not_understood_change_nothing") {
    for (const char* wrong : {"threads=sideways", "blocks=up", "memory=0", "streams=lazy", "colour=red", "threads"})
        CHECK(nlm_emulator_configure(wrong) == 1, "%s", wrong);
    CHECK(nlm_emulator_configure(nullptr) == 1 && nlm_emulator_configure("") == 0);
    CHECK(counter("launches") >= 0 && counter("nothing") == -1 && nlm_emulator_counter(nullptr) == -1);
}

TEST("Random_orders_repeat_with_their_seed") {
    const int64_t before = counter("launches");
    const auto order_of = [](const char* order) {
        const Settings settings(order);
        const DeviceArray<int> next(std::vector<int>{0}), threads(64);
        CHECK(report_of(note_kernel, {1, 1, 64}, next.data(), threads.data()).empty());
        return threads.copy();
    };
    CHECK(order_of("threads=forward")[5] == 5 && order_of("threads=reverse")[5] == 58);
    CHECK(order_of("threads=random:3") == order_of("threads=random:3") &&
          order_of("threads=random:3") != order_of("threads=random:4"));
    CHECK(counter("launches") == before + 6);
}

TEST("Callers_on_several_threads_get_their_own_results") {
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 4; ++caller)
        callers.emplace_back([caller, &wrong] {
            for (int round = 0; round < 50; ++round) {
                const Stream stream;
                const DeviceArray<int> values(std::vector<int>(64, caller));
                launch(add_kernel, {2, 1, 32}, stream, values.data(), round);
                launch(double_kernel, {2, 1, 32}, stream, values.data());
                stream.synchronize();
                for (size_t i = 0; i < 64; ++i) wrong += values[i] != (caller + round) * 2;
            }
        });
    for (std::thread& caller : callers) caller.join();
    CHECK(wrong == 0, "%d wrong values", wrong.load());
}
