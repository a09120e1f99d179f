// Graphs: what a stream was given between begin and end, recorded by CUDA and launched as one.
#include "runtime.h"

#include <memory>

using namespace nlm;

namespace {

thread_local nlm_stream* recording = nullptr; // the stream this thread records, if any

// Ends CUDA's recording; the graph may be null where the recording had gone wrong.
cudaError_t end_capture(cudaGraph_t* graph) {
    const cudaStream_t queue = recording->stream;
    recording = nullptr;
    *graph = nullptr;
    return cudaStreamEndCapture(queue, graph);
}

} // namespace

bool nlm::is_recording(const nlm_stream* stream) {
    return stream == recording;
}

void nlm::refuse_in_capture(const char* what, const nlm_stream* stream) {
    if (recording == nullptr || (stream != nullptr && stream != recording)) return;
    cudaGraph_t graph = nullptr;
    end_capture(&graph);
    cudaGetLastError();
    if (graph != nullptr) cudaGraphDestroy(graph);
    throw Error(NLM_INVALID_ARGUMENT, "%s while a graph is being recorded is refused; the recording has been ended", what);
}

// Thread-local capture: other threads may allocate and synchronise meanwhile.
extern "C" int32_t nlm_graph_begin(nlm_stream* stream) {
    return guard("nlm_graph_begin", [&] {
        const cudaStream_t queue = cuda_stream(stream);
        refuse_in_capture("beginning a second graph");
        check_cuda(cudaStreamBeginCapture(queue, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
        recording = stream;
    });
}

extern "C" int32_t nlm_graph_end(nlm_stream* stream, nlm_graph** graph) {
    return guard("nlm_graph_end", [&] {
        NLM_REQUIRE(graph != nullptr, "graph: expected a pointer, found null");
        *graph = nullptr;
        use_device(stream);
        NLM_REQUIRE(recording == stream,
                    "stream: this thread does not record it; call nlm_graph_begin first (a refused call ends a recording)");
        cudaGraph_t recorded = nullptr;
        check_cuda(end_capture(&recorded), "cudaStreamEndCapture");
        auto created = std::make_unique<nlm_graph>();
        created->device = stream->device;
        const cudaError_t error = cudaGraphInstantiateWithFlags(&created->executable, recorded, 0);
        cudaGraphDestroy(recorded);
        check_cuda(error, "cudaGraphInstantiateWithFlags");
        stream->device->open_handles.fetch_add(1);
        *graph = created.release();
    });
}

extern "C" int32_t nlm_graph_launch(nlm_stream* stream, nlm_graph* graph) {
    return guard("nlm_graph_launch", [&] {
        const cudaStream_t queue = cuda_stream(stream);
        check_handle(graph, "graph");
        NLM_REQUIRE(graph->device == stream->device, "graph and stream belong to different devices");
        refuse_in_capture("launching a graph");
        check_cuda(cudaGraphLaunch(graph->executable, queue), "cudaGraphLaunch");
    });
}

extern "C" int32_t nlm_graph_destroy(nlm_graph* graph) {
    return guard("nlm_graph_destroy", [&] {
        check_handle(graph, "graph");
        refuse_in_capture("destroying a graph");
        const std::unique_ptr<nlm_graph> destroyed(graph);
        destroyed->device->open_handles.fetch_sub(1);
        const cudaError_t error = cudaGraphExecDestroy(destroyed->executable);
        require_not_lost(*destroyed->device);
        check_cuda(error, "cudaGraphExecDestroy");
    });
}
