// nlm_beam_topk on the CPU device.
#include "arguments.h"

extern "C" int64_t nlm_beam_topk_workspace_bytes(const nlm_beam_topk_args*) {
    return -1;
}

extern "C" int32_t nlm_beam_topk(nlm_stream*, const nlm_beam_topk_args*) {
    return nlm::guard("nlm_beam_topk", [&] { throw nlm::Error(NLM_UNSUPPORTED, "not on this backend"); });
}
