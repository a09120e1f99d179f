// nlm_copy_blocks and nlm_swap_blocks: whole blocks, all layers, one memcpy each.
#include "graph.h"
#include "kv_layout.h"

#include <cstring>

namespace nlm::cpu {
namespace {

struct CopyBlocks {
    nlm_device* device;
    void* data;
    int64_t bytes; // of a block

    void operator()(const int32_t* pairs, int32_t pair_count) const {
        char* blocks = static_cast<char*>(data);
        run_rows(device->pool, pair_count, bytes / 4, [&](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; i++) {
                if (pairs[2 * i] == pairs[2 * i + 1]) continue;
                std::memcpy(blocks + pairs[2 * i + 1] * bytes, blocks + pairs[2 * i] * bytes, static_cast<size_t>(bytes));
            }
        });
    }
};

struct SwapBlocks {
    nlm_device* device;
    void* data;
    void* host_pool;
    int64_t bytes; // of a block
    int32_t direction;

    void operator()(const int32_t* pairs, int32_t pair_count) const {
        run_rows(device->pool, pair_count, bytes / 4, [&](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; i++) {
                char* block = static_cast<char*>(data) + pairs[2 * i] * bytes;
                char* host = static_cast<char*>(host_pool) + pairs[2 * i + 1] * bytes;
                const bool out = direction == NLM_SWAP_OUT;
                std::memcpy(out ? host : block, out ? block : host, static_cast<size_t>(bytes));
            }
        });
    }
};

// The pairs are the caller's and read at once; a graph keeps a copy.
template <typename Work> void submit_pairs(nlm_stream* stream, const int32_t* pairs, int32_t pair_count, const Work& work) {
    if (!is_recording(stream)) return work(pairs, pair_count);
    submit(stream,
           [work, pair_count, kept = std::vector<int32_t>(pairs, pairs + 2ll * pair_count)] { work(kept.data(), pair_count); });
}

} // namespace
} // namespace nlm::cpu

NLM_API int32_t nlm_copy_blocks(nlm_stream* stream, const nlm_kv_cache* cache, const int32_t* pairs, int32_t pair_count) {
    using namespace nlm;
    using namespace nlm::cpu;
    return guard("nlm_copy_blocks", [&] {
        NLM_REQUIRE(stream != nullptr, "stream: expected a stream, found null");
        check_cache_shape(cache);
        const int64_t bytes = KvLayout(*cache).block_bytes;
        check_copy_blocks(cache, bytes, pairs, pair_count);
        for (int64_t i = 0; i < 2ll * pair_count; i++) check_block_id("pool block", pairs, i, cache->block_count);
        submit_pairs(stream, pairs, pair_count, CopyBlocks{stream->device, cache->data, bytes});
    });
}

NLM_API int32_t nlm_swap_blocks(nlm_stream* stream, const nlm_kv_cache* cache, void* host_pool, int32_t host_block_count,
                                const int32_t* pairs, int32_t pair_count, int32_t direction) {
    using namespace nlm;
    using namespace nlm::cpu;
    return guard("nlm_swap_blocks", [&] {
        NLM_REQUIRE(stream != nullptr, "stream: expected a stream, found null");
        check_cache_shape(cache);
        const int64_t bytes = KvLayout(*cache).block_bytes;
        check_swap_blocks(cache, bytes, host_pool, host_block_count, pairs, pair_count, direction);
        submit_pairs(stream, pairs, pair_count, SwapBlocks{stream->device, cache->data, host_pool, bytes, direction});
    });
}
