// nlm_copy_blocks and nlm_swap_blocks: whole blocks, all layers, one memcpy each.
#include "graph.h"
#include "kv_layout.h"

#include <cstring>

namespace nlm::cpu {
namespace {

void check_pairs(const int32_t* pairs, int32_t pair_count) {
    check_range(pair_count, 0, count_limit, "pair_count");
    if (pair_count > 0) check_pointer(pairs, "pairs", 4);
}

void check_block(const char* what, const int32_t* pairs, int64_t index, int32_t block_count) {
    NLM_REQUIRE(pairs[index] >= 0 && pairs[index] < block_count, "pairs[%lld]: expected a %s of 0 to %d, found %d",
                static_cast<long long>(index), what, block_count - 1, pairs[index]);
}

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
        check_cache(cache);
        check_pairs(pairs, pair_count);
        for (int64_t i = 0; i < 2ll * pair_count; i++) check_block("block", pairs, i, cache->block_count);
        submit_pairs(stream, pairs, pair_count, CopyBlocks{stream->device, cache->data, KvLayout(*cache).block_bytes});
    });
}

NLM_API int32_t nlm_swap_blocks(nlm_stream* stream, const nlm_kv_cache* cache, void* host_pool, int32_t host_block_count,
                                const int32_t* pairs, int32_t pair_count, int32_t direction) {
    using namespace nlm;
    using namespace nlm::cpu;
    return guard("nlm_swap_blocks", [&] {
        NLM_REQUIRE(stream != nullptr, "stream: expected a stream, found null");
        check_cache(cache);
        check_pointer(host_pool, "host_pool", 64);
        check_range(host_block_count, 1, count_limit, "host_block_count");
        check_range(direction, NLM_SWAP_OUT, NLM_SWAP_IN, "direction");
        check_pairs(pairs, pair_count);
        for (int64_t i = 0; i < pair_count; i++) {
            check_block("pool block", pairs, 2 * i, cache->block_count);
            check_block("host block", pairs, 2 * i + 1, host_block_count);
        }
        const int64_t bytes = KvLayout(*cache).block_bytes;
        check_extent(host_block_count, 1, bytes, "host_pool");
        submit_pairs(stream, pairs, pair_count, SwapBlocks{stream->device, cache->data, host_pool, bytes, direction});
    });
}
