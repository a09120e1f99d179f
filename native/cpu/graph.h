// Recording: what a stream is given between nlm_graph_begin and nlm_graph_end is kept for later launches instead of being run.
#pragma once

#include "check.h"
#include "device.h"

#include <functional>
#include <utility>
#include <vector>

struct nlm_graph {
    nlm_device* device;
    std::vector<std::function<void()>> work;
    bool is_void = false; // something was asked of the stream or device that cannot be recorded
};

namespace nlm::cpu {

inline bool is_recording(const nlm_stream* stream) {
    return stream->recording != nullptr;
}

// Runs body now, or keeps it where the stream records. body holds by value all it needs: argument blocks and the structs behind
// their host pointers, but not what lies in device or pinned memory. Running allocates nothing.
template <typename Body> void submit(nlm_stream* stream, Body body) {
    nlm_graph* graph = stream->recording;
    if (graph == nullptr) return body();
    NLM_REQUIRE(!graph->is_void, "stream: what it records is void since an earlier error; end it with nlm_graph_end");
    graph->work.emplace_back(std::move(body));
}

// For calls that cannot be part of a graph: voids what the stream records, and throws.
inline void refuse_while_recording(nlm_stream* stream) {
    if (!is_recording(stream)) return;
    stream->recording->is_void = true;
    throw Error(NLM_INVALID_ARGUMENT, "stream: this call cannot be recorded into a graph; what was recorded is void");
}

} // namespace nlm::cpu
