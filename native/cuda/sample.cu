// nlm_sample: checks, workspace and the two launches. Every row's arithmetic depends on the vocabulary and its own data only.
#include "device/sample_finish.cuh"
#include "runtime.h"
#include "sample_args.h"
#include "workspace.h"

namespace nlm::simt {
namespace {

// Bytes of the workspace and, if there is one, where its parts lie.
int64_t lay_out(const nlm_sample_args& args, char* workspace, SampleSpace& space) {
    const int64_t rows = args.rows_max;
    space.cut = cut_of(args.vocabulary);
    WorkspaceCutter cutter{workspace};
    cutter.take(space.chunks, rows * space.cut.chunks);
    cutter.take(space.raw_maxima, rows * space.cut.segments);
    cutter.take(space.edited_maxima, rows * space.cut.segments);
    return cutter.bytes;
}

int64_t workspace_bytes(const nlm_sample_args& args) {
    check_shape(args);
    SampleSpace space{};
    return lay_out(args, nullptr, space);
}

void launch_sample(const nlm_sample_args& args, cudaStream_t stream) {
    SampleSpace space{};
    lay_out(args, static_cast<char*>(args.workspace), space);
    const int64_t rows = args.rows_max;
    const int pieces = ceil_div(args.vocabulary, four * warp_size) * warp_size;
    const int threads = pieces < finish_threads_max ? pieces : finish_threads_max;
    launch(sample_scan, {rows * space.cut.chunks, 1, space.cut.threads, sizeof(ScanShared)}, stream, args, space);
    launch(sample_finish, {rows, 1, threads, sizeof(FinishShared)}, stream, args, space);
}

} // namespace
} // namespace nlm::simt

NLM_API int64_t nlm_sample_workspace_bytes(const nlm_sample_args* args) {
    using namespace nlm;
    int64_t bytes = -1;
    guard("nlm_sample_workspace_bytes", [&] {
        check_args(args);
        bytes = simt::workspace_bytes(*args);
    });
    return bytes;
}

NLM_API int32_t nlm_sample(nlm_stream* stream, const nlm_sample_args* args) {
    using namespace nlm;
    return guard("nlm_sample", [&] {
        check_call(stream, args);
        if (args->rows_max == 0) return;
        check(*args, simt::workspace_bytes(*args));
        if (args->top_logprobs_max > simt::list_capacity)
            throw Error(NLM_UNSUPPORTED, "top_logprobs_max: a GPU reports at most %d alternatives, found %d", simt::list_capacity,
                        args->top_logprobs_max);
        simt::launch_sample(*args, cuda_stream(stream));
    });
}
