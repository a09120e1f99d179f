// nlm_write_kv and the facts of the cache's layout. One job takes whole rows: tokens write disjoint elements of the cache.
#include "family.h"
#include "graph.h"
#include "kv_layout.h"

namespace nlm::cpu {

NLM_DECLARE_FAMILIES(void write_kv_rows(const nlm_write_kv_args& args, const KvLayout& layout, int64_t first, int64_t last))

namespace {

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
} // namespace nlm::cpu

NLM_API int64_t nlm_kv_block_bytes(const nlm_kv_cache* cache) {
    int64_t bytes = -1;
    nlm::guard("nlm_kv_block_bytes", [&] {
        nlm::check_cache_shape(cache);
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
        check_cache_shape(args->cache);
        check_write_kv(*args, KvLayout(*args->cache).block_bytes);
        submit(stream, [device = stream->device, call = *args, cache = *args->cache]() mutable {
            call.cache = &cache;
            run(*device, call);
        });
    });
}
