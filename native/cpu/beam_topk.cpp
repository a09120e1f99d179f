// nlm_beam_topk: checks and launch. A group is one job from first to last, so no sum depends on the number of threads. Sums are
// those of nlm_sample: fp32 exponentials relative to the best logit, blocks of 1024 added in double; log-probabilities and
// scores are rounded to fp32 once each.
#include "family.h"
#include "graph.h"
#include "sample.h"
#include "sample_args.h"

#include <algorithm>
#include <atomic>

namespace nlm::cpu {

NLM_DECLARE_FAMILIES(void beam_group(const nlm_beam_topk_args& args, int32_t group, float* maxima))

namespace {

constexpr int64_t JobsMax = 16; // bounds the scratch

// Chunk maxima of the row that a job has in work.
int64_t scratch_floats(int32_t vocabulary) {
    return ((static_cast<int64_t>(vocabulary) + SampleChunk - 1) / SampleChunk + 15) / 16 * 16;
}
int64_t workspace_bytes(const nlm_beam_topk_args& args) {
    return std::min<int64_t>(args.groups_max, JobsMax) * scratch_floats(args.vocabulary) * static_cast<int64_t>(sizeof(float));
}

void check_rows(const nlm_beam_topk_args& args, int32_t groups) {
    for (int32_t group = 0; group <= groups; group++) {
        check_range(args.row_starts[group], group == 0 ? 0 : args.row_starts[group - 1], args.rows_max, "row_starts");
    }
}

void run(nlm_device& device, const nlm_beam_topk_args& args) {
    const int32_t groups = true_count(args.groups, args.groups_max);
    check_rows(args, groups);
    const auto beam_group = NLM_FAMILY_FUNCTION(device.isa, beam_group);
    std::atomic<int32_t> next{0}; // groups differ in cost: jobs take them one by one
    device.pool.run(std::min<int64_t>(groups, JobsMax), [&](int64_t job, int) {
        float* maxima = static_cast<float*>(args.workspace) + job * scratch_floats(args.vocabulary);
        for (int32_t group = next++; group < groups; group = next++) beam_group(args, group, maxima);
    });
}

} // namespace
} // namespace nlm::cpu

NLM_API int64_t nlm_beam_topk_workspace_bytes(const nlm_beam_topk_args* args) {
    using namespace nlm;
    using namespace nlm::cpu;
    int64_t bytes = -1;
    guard("nlm_beam_topk_workspace_bytes", [&] {
        check_args(args);
        check_shape(*args);
        bytes = workspace_bytes(*args);
    });
    return bytes;
}

NLM_API int32_t nlm_beam_topk(nlm_stream* stream, const nlm_beam_topk_args* args) {
    using namespace nlm;
    using namespace nlm::cpu;
    return guard("nlm_beam_topk", [&] {
        check_call(stream, args);
        if (args->groups_max == 0) return;
        check(*args, workspace_bytes(*args));
        submit(stream, [device = stream->device, call = *args] { run(*device, call); });
    });
}
