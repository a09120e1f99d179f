// nlm_sample: checks and launch. A row is one job from first to last, so no sum depends on the number of threads.
#include "sample.h"
#include "family.h"
#include "graph.h"
#include "sample_args.h"

#include <algorithm>
#include <atomic>

namespace nlm::cpu {

NLM_DECLARE_FAMILIES(void sample_row(const nlm_sample_args& args, int64_t row, const SampleScratch& scratch))

namespace {

constexpr int64_t JobsMax = 16; // bounds the scratch

int64_t padded(int64_t bytes) {
    return (bytes + 63) / 64 * 64;
}
int64_t chunk_bytes(int64_t vocabulary) {
    return padded((vocabulary + SampleChunk - 1) / SampleChunk * static_cast<int64_t>(sizeof(float)));
}
int64_t scratch_bytes(int64_t vocabulary) {
    return padded(vocabulary * static_cast<int64_t>(sizeof(SampleCandidate))) +
           padded(vocabulary * static_cast<int64_t>(sizeof(float))) + 2 * chunk_bytes(vocabulary);
}
int64_t job_count(int64_t rows) {
    return std::min(rows, JobsMax);
}
int64_t workspace_bytes(const nlm_sample_args& args) {
    return job_count(args.rows_max) * scratch_bytes(args.vocabulary);
}

SampleScratch scratch_of(const nlm_sample_args& args, int64_t job) {
    const int64_t vocabulary = args.vocabulary;
    char* at = static_cast<char*>(args.workspace) + job * scratch_bytes(vocabulary);
    SampleScratch scratch;
    scratch.candidates = reinterpret_cast<SampleCandidate*>(at);
    at += padded(vocabulary * static_cast<int64_t>(sizeof(SampleCandidate)));
    scratch.values = reinterpret_cast<float*>(at);
    at += padded(vocabulary * static_cast<int64_t>(sizeof(float)));
    scratch.maxima = reinterpret_cast<float*>(at);
    scratch.order = reinterpret_cast<float*>(at + chunk_bytes(vocabulary));
    return scratch;
}

// What a row refers to exists. Values out of range are legal: they mean the filter is off.
void check_row(const nlm_sample_args& args, const nlm_sample_row& p) {
    check_range(p.forced_token, -1, args.vocabulary - 1, "parameters.forced_token");
    check_range(p.top_logprobs, -1, args.top_logprobs_max, "parameters.top_logprobs");
    if (p.top_logprobs > 0) {
        NLM_REQUIRE(args.top_ids && args.top_values, "top_ids and top_values: expected pointers for %d alternatives, found null",
                    p.top_logprobs);
    }
    check_range(p.count_row, -1, args.count_rows - 1, "parameters.count_row");
    NLM_REQUIRE(p.count_row < 0 || (args.token_counts && args.prompt_mask),
                "token_counts and prompt_mask: expected pointers for count_row %d, found null", p.count_row);
    check_range(p.mask_row, -1, args.mask_rows - 1, "parameters.mask_row");
    NLM_REQUIRE(p.mask_row < 0 || args.allowed_mask, "allowed_mask: expected a pointer for mask_row %d, found null", p.mask_row);
    check_range(p.bias_count, 0, args.bias_total, "parameters.bias_count");
    if (p.bias_count > 0) {
        check_range(p.bias_start, 0, args.bias_total - p.bias_count, "parameters.bias_start");
        NLM_REQUIRE(args.bias_ids && args.bias_values, "bias_ids and bias_values: expected pointers for %d biases, found null",
                    p.bias_count);
    }
}

void run(nlm_device& device, const nlm_sample_args& args) {
    const int64_t rows = true_count(args.rows, args.rows_max);
    for (int64_t row = 0; row < rows; row++) check_row(args, args.parameters[row]);
    const auto sample_row = NLM_FAMILY_FUNCTION(device.isa, sample_row);
    std::atomic<int64_t> next{0}; // rows differ in cost: jobs take them one by one
    device.pool.run(job_count(rows), [&](int64_t job, int) {
        const SampleScratch scratch = scratch_of(args, job);
        for (int64_t row = next++; row < rows; row = next++) sample_row(args, row, scratch);
    });
}

} // namespace
} // namespace nlm::cpu

NLM_API int64_t nlm_sample_workspace_bytes(const nlm_sample_args* args) {
    using namespace nlm;
    using namespace nlm::cpu;
    int64_t bytes = -1;
    guard("nlm_sample_workspace_bytes", [&] {
        check_args(args);
        check_shape(*args);
        bytes = workspace_bytes(*args);
    });
    return bytes;
}

NLM_API int32_t nlm_sample(nlm_stream* stream, const nlm_sample_args* args) {
    using namespace nlm;
    using namespace nlm::cpu;
    return guard("nlm_sample", [&] {
        check_call(stream, args);
        if (args->rows_max == 0) return;
        check(*args, workspace_bytes(*args));
        submit(stream, [device = stream->device, call = *args] { run(*device, call); });
    });
}
