// Graphs on the CPU device.
#include "check.h"
#include "device.h"

using namespace nlm;

extern "C" int32_t nlm_stream_wait_event(nlm_stream* stream, nlm_event* event) {
    return guard("nlm_stream_wait_event", [&] {
        NLM_REQUIRE(stream != nullptr, "stream: expected a handle, found null");
        NLM_REQUIRE(event != nullptr, "event: expected a handle, found null");
        NLM_REQUIRE(event->device == stream->device, "event and stream belong to different devices");
    });
}

extern "C" int32_t nlm_graph_begin(nlm_stream*) {
    return guard("nlm_graph_begin", [&] { throw Error(NLM_UNSUPPORTED, "the cpu backend runs ops one by one"); });
}

extern "C" int32_t nlm_graph_end(nlm_stream*, nlm_graph**) {
    return guard("nlm_graph_end", [&] { throw Error(NLM_UNSUPPORTED, "the cpu backend runs ops one by one"); });
}

extern "C" int32_t nlm_graph_launch(nlm_stream*, nlm_graph*) {
    return guard("nlm_graph_launch", [&] { throw Error(NLM_UNSUPPORTED, "the cpu backend runs ops one by one"); });
}

extern "C" int32_t nlm_graph_destroy(nlm_graph*) {
    return guard("nlm_graph_destroy", [&] { throw Error(NLM_UNSUPPORTED, "the cpu backend runs ops one by one"); });
}
