// nlm_count_tokens: rebuilds one row of the penalty state. The ids are in host memory: they travel as kernel parameters, a chunk
// per launch, so nothing is staged and nothing waits.
#include "device/simt.cuh"
#include "row_args.h"
#include "runtime.h"

#include <algorithm>

namespace nlm::simt {
namespace {

constexpr int chunk_ids = 960; // kernel parameters end at 4096 bytes

struct TokenChunk {
    int32_t count;
    int32_t ids[chunk_ids];
};

NLM_KERNEL NLM_LAUNCH_BOUNDS(chunk_ids, 1) mark_tokens(uint32_t* mask, TokenChunk chunk) {
    if (thread_index() >= chunk.count) return;
    const int32_t id = chunk.ids[thread_index()];
    atomic_or(mask + id / 32, 1u << (id % 32));
}

// The first thread of a token adds all of its occurrences: one writer per count, and sums saturate in any order.
NLM_KERNEL NLM_LAUNCH_BOUNDS(chunk_ids, 1) add_tokens(uint16_t* counts, TokenChunk chunk) {
    if (thread_index() >= chunk.count) return;
    const int32_t id = chunk.ids[thread_index()];
    int occurrences = 0;
    for (int i = 0; i < chunk.count; ++i) {
        if (chunk.ids[i] != id) continue;
        if (i < thread_index()) return;
        ++occurrences;
    }
    const int sum = load(counts + id) + occurrences;
    store(counts + id, static_cast<uint16_t>(sum < 0xffff ? sum : 0xffff));
}

template <typename Kernel, typename Element>
void launch_chunks(Kernel kernel, Element* row, const int32_t* ids, int32_t count, cudaStream_t stream) {
    for (int32_t first = 0; first < count; first += chunk_ids) {
        TokenChunk chunk{std::min(chunk_ids, count - first), {}};
        std::copy_n(ids + first, chunk.count, chunk.ids);
        launch(kernel, {1, 1, ceil_div(chunk.count, warp_size) * warp_size}, stream, row, chunk);
    }
}

} // namespace
} // namespace nlm::simt

NLM_API int32_t nlm_count_tokens(nlm_stream* stream, const nlm_count_tokens_args* args) {
    using namespace nlm;
    return guard("nlm_count_tokens", [&] {
        check_call(stream, args);
        check(*args);
        const cudaStream_t queue = cuda_stream(stream);
        refuse_in_capture("nlm_count_tokens", stream);
        const int64_t vocabulary = args->vocabulary, words = simt::ceil_div(vocabulary, int64_t{32});
        uint16_t* counts = args->token_counts + args->row * vocabulary;
        uint32_t* mask = args->prompt_mask + args->row * words;
        check_cuda(cudaMemsetAsync(counts, 0, static_cast<size_t>(vocabulary) * sizeof *counts, queue), "cudaMemsetAsync");
        check_cuda(cudaMemsetAsync(mask, 0, static_cast<size_t>(words) * sizeof *mask, queue), "cudaMemsetAsync");
        simt::launch_chunks(simt::mark_tokens, mask, args->prompt, args->prompt_count, queue);
        simt::launch_chunks(simt::add_tokens, counts, args->output, args->output_count, queue);
    });
}
