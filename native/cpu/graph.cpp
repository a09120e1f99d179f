// Graphs of the CPU device: a list of recorded calls and its replay.
#include "graph.h"

#include <memory>

using namespace nlm;
using namespace nlm::cpu;

namespace {

void check_stream(const nlm_stream* stream) {
    NLM_REQUIRE(stream != nullptr, "stream: expected a handle, found null");
}

} // namespace

extern "C" int32_t nlm_graph_begin(nlm_stream* stream) {
    return guard("nlm_graph_begin", [&] {
        check_stream(stream);
        NLM_REQUIRE(!is_recording(stream), "stream: it records already; end that graph first");
        nlm_graph* none = nullptr;
        auto graph = std::make_unique<nlm_graph>(nlm_graph{stream->device, {}});
        NLM_REQUIRE(stream->device->recording.compare_exchange_strong(none, graph.get()),
                    "stream: another stream of this device records; end that graph first");
        stream->device->open_handles.fetch_add(1);
        stream->recording = graph.release();
    });
}

extern "C" int32_t nlm_graph_end(nlm_stream* stream, nlm_graph** graph) {
    return guard("nlm_graph_end", [&] {
        NLM_REQUIRE(graph != nullptr, "graph: expected a pointer, found null");
        *graph = nullptr;
        check_stream(stream);
        NLM_REQUIRE(is_recording(stream), "stream: it does not record; call nlm_graph_begin first");
        std::unique_ptr<nlm_graph> recorded(std::exchange(stream->recording, nullptr));
        stream->device->recording.store(nullptr);
        if (recorded->is_void) {
            stream->device->open_handles.fetch_sub(1);
            throw Error(NLM_INVALID_ARGUMENT, "graph: a call that cannot be recorded was made in between; nothing is kept");
        }
        *graph = recorded.release();
    });
}

extern "C" int32_t nlm_graph_launch(nlm_stream* stream, nlm_graph* graph) {
    return guard("nlm_graph_launch", [&] {
        check_stream(stream);
        NLM_REQUIRE(graph != nullptr, "graph: expected a handle, found null");
        NLM_REQUIRE(graph->device == stream->device, "graph and stream belong to different devices");
        refuse_while_recording(stream);
        for (const auto& call : graph->work) call();
    });
}

extern "C" int32_t nlm_graph_destroy(nlm_graph* graph) {
    return guard("nlm_graph_destroy", [&] {
        NLM_REQUIRE(graph != nullptr, "graph: expected a handle, found null");
        graph->device->open_handles.fetch_sub(1);
        delete graph;
    });
}
