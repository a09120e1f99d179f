// nlm_copy_blocks and nlm_swap_blocks: whole blocks, all layers, one memcpy each.
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
        const int64_t bytes = KvLayout(*cache).block_bytes;
        char* data = static_cast<char*>(cache->data);
        run_rows(stream->device->pool, pair_count, bytes / 4, [&](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; i++) {
                if (pairs[2 * i] == pairs[2 * i + 1]) continue;
                std::memcpy(data + pairs[2 * i + 1] * bytes, data + pairs[2 * i] * bytes, static_cast<size_t>(bytes));
            }
        });
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
        run_rows(stream->device->pool, pair_count, bytes / 4, [&](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; i++) {
                char* block = static_cast<char*>(cache->data) + pairs[2 * i] * bytes;
                char* host = static_cast<char*>(host_pool) + pairs[2 * i + 1] * bytes;
                if (direction == NLM_SWAP_OUT) {
                    std::memcpy(host, block, static_cast<size_t>(bytes));
                } else {
                    std::memcpy(block, host, static_cast<size_t>(bytes));
                }
            }
        });
    });
}
