// nlm_write_kv and the facts of the cache's layout. One job takes whole rows: tokens write disjoint elements of the cache.
#include "family.h"
#include "graph.h"
#include "kv_layout.h"

namespace nlm::cpu {

NLM_DECLARE_FAMILIES(void write_kv_rows(const nlm_write_kv_args& args, const KvLayout& layout, int64_t first, int64_t last))

namespace {

// Everything but data and block_count.
void check_cache_shape(const nlm_kv_cache* cache) {
    NLM_REQUIRE(cache != nullptr, "cache: expected a struct, found null");
    NLM_REQUIRE(cache->size == sizeof(nlm_kv_cache), "cache.size: expected %zu bytes, found %u: header and library differ",
                sizeof(nlm_kv_cache), cache->size);
    check_floating_type(cache->type, "cache.type");
    check_range(cache->block_size, 8, 4096, "cache.block_size");
    NLM_REQUIRE(cache->block_size % 8 == 0, "cache.block_size: expected a multiple of 8, found %d", cache->block_size);
    check_range(cache->head_dim, 8, 256, "cache.head_dim");
    NLM_REQUIRE(cache->head_dim % 2 == 0, "cache.head_dim: expected an even number, found %d", cache->head_dim);
    check_range(cache->layer_count, 1, 65536, "cache.layer_count");
    check_range(cache->kv_head_count, 1, 65536, "cache.kv_head_count");
}

void check(const nlm_write_kv_args& args) {
    check_cache(args.cache);
    check_floating_type(args.type, "type");
    const int64_t bytes = type_bytes(args.type);
    check_range(args.rows_max, 0, count_limit, "rows_max");
    check_range(args.q_head_count, 1, 1 << 20, "q_head_count");
    check_range(args.layer, 0, args.cache->layer_count - 1, "layer");
    check_range(args.rope_style, NLM_ROPE_NONE, NLM_ROPE_INTERLEAVED, "rope_style");
    check_extent(args.rows_max, (args.q_head_count + 2ll * args.cache->kv_head_count) * args.cache->head_dim, bytes, "qkv");
    check_pointer(args.q_out, "q_out", bytes);
    check_pointer(args.qkv, "qkv", bytes);
    check_pointer(args.slots, "slots", 4);
    check_optional_pointer(args.q_norm, "q_norm", bytes);
    check_optional_pointer(args.k_norm, "k_norm", bytes);
    check_optional_pointer(args.rows, "rows", 4);
    if (args.rope_style != NLM_ROPE_NONE) {
        check_range(args.rotary_dim, 2, args.cache->head_dim, "rotary_dim");
        NLM_REQUIRE(args.rotary_dim % 2 == 0, "rotary_dim: expected an even number, found %d", args.rotary_dim);
        check_range(args.positions_max, 1, count_limit, "positions_max");
        check_pointer(args.rope_table, "rope_table", 4);
        check_pointer(args.positions, "positions", 4);
    }
}

void check_slots(const nlm_write_kv_args& args, int32_t rows) {
    const int64_t slot_count = static_cast<int64_t>(args.cache->block_count) * args.cache->block_size;
    for (int32_t row = 0; row < rows; row++) {
        NLM_REQUIRE(args.slots[row] >= -1 && args.slots[row] < slot_count, "slots[%d]: expected -1 to %lld, found %d", row,
                    static_cast<long long>(slot_count - 1), args.slots[row]);
    }
}

void run(nlm_device& device, const nlm_write_kv_args& args) {
    const int32_t rows = true_count(args.rows, args.rows_max);
    check_slots(args, rows);
    const KvLayout layout(*args.cache);
    const auto write_kv_rows = NLM_FAMILY_FUNCTION(device.isa, write_kv_rows);
    const int64_t width = (args.q_head_count + 2ll * args.cache->kv_head_count) * args.cache->head_dim;
    run_rows(device.pool, rows, width, [&](int64_t first, int64_t last) { write_kv_rows(args, layout, first, last); });
}

} // namespace

void check_cache(const nlm_kv_cache* cache) {
    check_cache_shape(cache);
    check_pointer(cache->data, "cache.data", 64);
    check_range(cache->block_count, 1, count_limit, "cache.block_count");
    check_extent(cache->block_count, 1, KvLayout(*cache).block_bytes, "cache");
    const int64_t slot_count = static_cast<int64_t>(cache->block_count) * cache->block_size;
    NLM_REQUIRE(slot_count <= count_limit, "cache: expected slot numbers below 2^31, found %lld slots",
                static_cast<long long>(slot_count));
}

} // namespace nlm::cpu

NLM_API int64_t nlm_kv_block_bytes(const nlm_kv_cache* cache) {
    int64_t bytes = -1;
    nlm::guard("nlm_kv_block_bytes", [&] {
        nlm::cpu::check_cache_shape(cache);
        bytes = nlm::cpu::KvLayout(*cache).block_bytes;
    });
    return bytes;
}

NLM_API int32_t nlm_write_kv(nlm_stream* stream, const nlm_write_kv_args* args) {
    using namespace nlm;
    using namespace nlm::cpu;
    return guard("nlm_write_kv", [&] {
        check_call(stream, args);
        if (args->rows_max == 0) return;
        check(*args);
        submit(stream, [device = stream->device, call = *args, cache = *args->cache]() mutable {
            call.cache = &cache;
            run(*device, call);
        });
    });
}
