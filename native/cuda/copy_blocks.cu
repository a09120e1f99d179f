// nlm_copy_blocks and nlm_swap_blocks: whole blocks, all layers; a block is one run of bytes.
#include "attention_args.h"
#include "device/kv_pool.cuh"
#include "runtime.h"

#include <algorithm>

namespace nlm::simt {
namespace {

constexpr int copy_threads = 256;
constexpr int copies_per_thread = 4;            // 16 bytes each, under way together
constexpr int pairs_per_launch = 448;           // fit into a kernel's parameters
constexpr int64_t kernel_swap_limit = 64 << 10; // smaller blocks move by a kernel: starting a copy costs more than they do
constexpr int64_t part_bytes = copy_threads * copies_per_thread * 16;

// Blocks of one pool, or of two where the other side is pinned host memory, which the device reads and writes in place.
struct BlockCopy {
    const char* source;
    char* destination;
    int64_t block_bytes;
    int32_t source_blocks, destination_blocks;
};

struct HostPairs {
    int32_t ids[2 * pairs_per_launch];
    NLM_DEVICE int32_t id(int64_t i) const { return ids[i]; }
};
struct DevicePairs {
    const int32_t* ids;
    NLM_DEVICE int32_t id(int64_t i) const { return load_readonly(ids + i); }
};

// Block x copies part x of pair y; pairs beyond the grid's limit in y follow in strides.
template <typename Pairs> NLM_KERNEL NLM_LAUNCH_BOUNDS(copy_threads, 4)
    copy_runs(BlockCopy copy, Pairs pairs, int32_t pair_count, bool reversed) {
    using Chunk = Vec<uint32_t, 4>;
    for (int64_t pair = block_index_y(); pair < pair_count; pair += block_count_y()) {
        const int32_t from = pairs.id(2 * pair + (reversed ? 1 : 0)), to = pairs.id(2 * pair + (reversed ? 0 : 1));
        const bool inside = from >= 0 && from < copy.source_blocks && to >= 0 && to < copy.destination_blocks;
        if (!inside || (copy.source == copy.destination && from == to)) continue;
        const char* source = copy.source + from * copy.block_bytes;
        char* destination = copy.destination + to * copy.block_bytes;
        const int64_t first = block_index() * part_bytes + thread_index() * 16;
        Chunk chunks[copies_per_thread];
        for (int i = 0; i < copies_per_thread; ++i) {
            const int64_t offset = first + i * (copy_threads * 16);
            if (offset < copy.block_bytes) chunks[i] = load_vector<Chunk>(source + offset);
        }
        for (int i = 0; i < copies_per_thread; ++i) {
            const int64_t offset = first + i * (copy_threads * 16);
            if (offset < copy.block_bytes) store_vector(destination + offset, chunks[i]);
        }
    }
}

template <typename Pairs>
void launch_copy(const BlockCopy& copy, const Pairs& pairs, int32_t pair_count, bool reversed, cudaStream_t stream) {
    const Launch shape{ceil_div(copy.block_bytes, part_bytes), std::min(pair_count, 65535), copy_threads};
    launch(copy_runs<Pairs>, shape, stream, copy, pairs, pair_count, reversed);
}

// Pairs in host memory travel as kernel parameters: they may change as soon as the call returns, and a graph keeps its own.
void launch_host_pairs(const BlockCopy& copy, const int32_t* pairs, int32_t pair_count, bool reversed, cudaStream_t stream) {
    for (int32_t first = 0; first < pair_count; first += pairs_per_launch) {
        const int32_t count = std::min(pair_count - first, pairs_per_launch);
        HostPairs part;
        std::copy_n(pairs + 2ll * first, 2 * count, part.ids);
        launch_copy(copy, part, count, reversed, stream);
    }
}

bool is_memory_of(nlm_device& device, const void* p, nlm_memory kind) {
    const std::lock_guard<std::mutex> lock(device.memory_lock);
    const auto after = device.allocations.upper_bound(p);
    if (after == device.allocations.begin()) return false;
    const auto& [start, allocation] = *std::prev(after);
    return allocation.kind == kind && static_cast<const char*>(p) < static_cast<const char*>(start) + allocation.bytes;
}

// Pairs whose blocks follow one another on both sides go in one copy.
void queue_copies(const BlockCopy& copy, const int32_t* pairs, int32_t pair_count, bool out, cudaStream_t stream) {
    for (int64_t i = 0; i < pair_count;) {
        int64_t run = 1;
        while (i + run < pair_count && pairs[2 * (i + run)] == pairs[2 * i] + run &&
               pairs[2 * (i + run) + 1] == pairs[2 * i + 1] + run)
            ++run;
        const int64_t from = pairs[2 * i + (out ? 0 : 1)], to = pairs[2 * i + (out ? 1 : 0)];
        check_cuda(cudaMemcpyAsync(copy.destination + to * copy.block_bytes, copy.source + from * copy.block_bytes,
                                   static_cast<size_t>(run * copy.block_bytes),
                                   out ? cudaMemcpyDeviceToHost : cudaMemcpyHostToDevice, stream),
                   "cudaMemcpyAsync");
        i += run;
    }
}

} // namespace
} // namespace nlm::simt

NLM_API int32_t nlm_copy_blocks(nlm_stream* stream, const nlm_kv_cache* cache, const int32_t* pairs, int32_t pair_count) {
    using namespace nlm;
    return guard("nlm_copy_blocks", [&] {
        NLM_REQUIRE(stream != nullptr, "stream: expected a stream, found null");
        check_cache_shape(cache);
        const simt::KvPool pool = simt::kv_pool(*cache, 0);
        check_copy_blocks(cache, pool.block_bytes, pairs, pair_count);
        const cudaStream_t queue = cuda_stream(stream);
        if (pair_count == 0) return;
        const simt::BlockCopy copy{pool.data, pool.data, pool.block_bytes, cache->block_count, cache->block_count};
        if (simt::is_memory_of(*stream->device, pairs, NLM_MEMORY_DEVICE))
            simt::launch_copy(copy, simt::DevicePairs{pairs}, pair_count, false, queue);
        else
            simt::launch_host_pairs(copy, pairs, pair_count, false, queue);
    });
}

NLM_API int32_t nlm_swap_blocks(nlm_stream* stream, const nlm_kv_cache* cache, void* host_pool, int32_t host_block_count,
                                const int32_t* pairs, int32_t pair_count, int32_t direction) {
    using namespace nlm;
    return guard("nlm_swap_blocks", [&] {
        NLM_REQUIRE(stream != nullptr, "stream: expected a stream, found null");
        check_cache_shape(cache);
        const simt::KvPool pool = simt::kv_pool(*cache, 0);
        check_swap_blocks(cache, pool.block_bytes, host_pool, host_block_count, pairs, pair_count, direction);
        const cudaStream_t queue = cuda_stream(stream);
        if (pair_count == 0) return;
        check_recordable(stream, host_pool, host_block_count * pool.block_bytes, "host_pool");
        const bool out = direction == NLM_SWAP_OUT;
        char* host = static_cast<char*>(host_pool);
        const simt::BlockCopy copy =
            out ? simt::BlockCopy{pool.data, host, pool.block_bytes, cache->block_count, host_block_count}
                : simt::BlockCopy{host, pool.data, pool.block_bytes, host_block_count, cache->block_count};
        if (pool.block_bytes < simt::kernel_swap_limit && simt::is_memory_of(*stream->device, host_pool, NLM_MEMORY_PINNED))
            simt::launch_host_pairs(copy, pairs, pair_count, !out, queue);
        else
            simt::queue_copies(copy, pairs, pair_count, out, queue);
    });
}
