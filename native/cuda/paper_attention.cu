// nlm_bench_paper_attention: decode attention as the PagedAttention paper describes it, the baseline of benchmarks.
#include "../bench/paper_attention.h"
#include "check.h"
#include "device/reduce.cuh"
#include "runtime.h"

#include <cmath>

namespace nlm::simt {
namespace {

using Args = nlm_bench_paper_attention_args;

constexpr int paper_warps = 4;
constexpr int paper_threads = paper_warps * warp_size;
constexpr int vector = 8; // elements of 16 bytes

// Followed in shared memory by the logits of length_max keys.
template <int HeadDim> struct PaperShared {
    Array<float, HeadDim> query;
    WarpResults<float> maxima, sums;
    Array<float, paper_warps * HeadDim> outputs;
};

template <typename T> NLM_DEVICE float dot(const Vec<T, vector>& values, const float* with) {
    float sum = 0.0f;
    for (int i = 0; i < vector; ++i) sum += to_float(values[i]) * with[i];
    return sum;
}

// Where a block's part of one KV head begins in either cache.
template <int HeadDim, int BlockSize> NLM_DEVICE int64_t head_start(const Args& args, const int32_t* table, int block, int head) {
    const int64_t kv_head = head / (args.q_head_count / args.kv_head_count);
    return (load_readonly(table + block) * int64_t{args.kv_head_count} + kv_head) * (HeadDim * BlockSize);
}

// Logits of the keys of a block: a group of threads per key, which shares the head's dims; the warps take blocks in turn. Returns
// the largest that this thread's groups met.
template <typename T, int HeadDim, int BlockSize> NLM_DEVICE float
write_logits(const Args& args, PaperShared<HeadDim>& shared, float* logits, const int32_t* table, int head, int length) {
    constexpr int group = BlockSize < warp_size ? warp_size / BlockSize : 1, keys_at_once = warp_size / group;
    const int member = lane_index() % group;
    float largest = -INFINITY;
    for (int block = warp_index(); block * BlockSize < length; block += paper_warps) {
        const T* keys = static_cast<const T*>(args.k_cache) + head_start<HeadDim, BlockSize>(args, table, block, head);
        for (int first = 0; first < BlockSize; first += keys_at_once) {
            const int slot = first + lane_index() / group, key = block * BlockSize + slot;
            float logit = 0.0f;
            for (int chunk = member; chunk < HeadDim / vector; chunk += group) {
                const auto values = load_vector<Vec<T, vector>>(keys + (chunk * BlockSize + slot) * vector);
                logit += dot(values, &shared.query[chunk * vector]);
            }
            for (int mask = group / 2; mask > 0; mask /= 2) logit += shuffle_xor(logit, mask);
            if (key >= length) continue;
            logit *= args.scale;
            if (member == 0) logits[key] = logit;
            largest = fmaxf(largest, logit);
        }
    }
    return largest;
}

// Turns logits into probabilities times their sum, which it returns.
template <int HeadDim> NLM_DEVICE float exponentiate(PaperShared<HeadDim>& shared, float* logits, int length, float largest) {
    float sum = 0.0f;
    for (int key = thread_index(); key < length; key += paper_threads) {
        logits[key] = exp2_approx((logits[key] - largest) * 1.44269504088896341f);
        sum += logits[key];
    }
    return reduce_block(sum, 0.0f, Sum{}, shared.sums);
}

// P·V of the blocks of a warp: a thread takes eight keys of a dim at once.
template <typename T, int HeadDim, int BlockSize> NLM_DEVICE void
write_outputs(const Args& args, PaperShared<HeadDim>& shared, float* logits, const int32_t* table, int head, int length) {
    constexpr int parts = BlockSize / vector < 4 ? BlockSize / vector : 4; // threads per dim
    constexpr int dims_at_once = warp_size / parts, dims = HeadDim / dims_at_once, keys_at_once = parts * vector;
    const int part = lane_index() % parts;
    float sums[dims] = {};
    for (int block = warp_index(); block * BlockSize < length; block += paper_warps) {
        const T* values_of_head = static_cast<const T*>(args.v_cache) + head_start<HeadDim, BlockSize>(args, table, block, head);
        for (int slot = part * vector; slot < BlockSize; slot += keys_at_once) {
            const int key = block * BlockSize + slot;
            float p[vector];
            for (int i = 0; i < vector; ++i) p[i] = key + i < length ? logits[key + i] : 0.0f;
#pragma unroll
            for (int dim = 0; dim < dims; ++dim) {
                const int row = dim * dims_at_once + lane_index() / parts;
                auto values = load_vector<Vec<T, vector>>(values_of_head + row * BlockSize + slot);
                for (int i = 0; i < vector; ++i)
                    if (key + i >= length) values[i] = from_float<T>(0.0f); // may be NaN: nobody wrote it
                sums[dim] += dot(values, p);
            }
        }
    }
#pragma unroll
    for (int dim = 0; dim < dims; ++dim) {
        for (int mask = parts / 2; mask > 0; mask /= 2) sums[dim] += shuffle_xor(sums[dim], mask);
        if (part == 0) shared.outputs[warp_index() * HeadDim + dim * dims_at_once + lane_index() / parts] = sums[dim];
    }
}

template <typename T, int HeadDim, int BlockSize> NLM_KERNEL NLM_LAUNCH_BOUNDS(paper_threads, 1) paper_attention(Args args) {
    const int sequence = block_index(), head = block_index_y();
    const int length = load(args.lengths + sequence);
    if (length <= 0 || length > args.length_max) return; // the whole block
    auto& shared = shared_memory<PaperShared<HeadDim>>();
    float* logits = reinterpret_cast<float*>(&shared + 1);
    const int32_t* table = args.block_tables + int64_t{sequence} * args.table_stride;
    const int64_t row = (int64_t{sequence} * args.q_head_count + head) * HeadDim;
    for (int dim = thread_index(); dim < HeadDim; dim += paper_threads)
        shared.query[dim] = to_float(load(static_cast<const T*>(args.q) + row + dim));
    sync_threads();
    float largest = write_logits<T, HeadDim, BlockSize>(args, shared, logits, table, head, length);
    largest = reduce_block(largest, -INFINITY, Maximum{}, shared.maxima);
    const float sum = exponentiate(shared, logits, length, largest);
    write_outputs<T, HeadDim, BlockSize>(args, shared, logits, table, head, length);
    sync_threads();
    for (int dim = thread_index(); dim < HeadDim; dim += paper_threads) {
        float total = 0.0f;
        for (int warp = 0; warp < paper_warps; ++warp) total += shared.outputs[warp * HeadDim + dim];
        store(static_cast<T*>(args.out) + row + dim, from_float<T>(total / sum));
    }
}

void check(const Args& args) {
    NLM_REQUIRE(args.type == NLM_BF16 || args.type == NLM_F16, "type: expected bf16 (1) or f16 (2), found %d", args.type);
    check_range(args.sequences, 0, count_limit, "sequences");
    check_range(args.q_head_count, 1, 65535, "q_head_count");
    check_range(args.kv_head_count, 1, args.q_head_count, "kv_head_count");
    NLM_REQUIRE(args.q_head_count % args.kv_head_count == 0, "q_head_count: expected a multiple of the %d kv heads, found %d",
                args.kv_head_count, args.q_head_count);
    check_range(args.table_stride, 1, count_limit, "table_stride");
    check_range(args.length_max, 0, count_limit, "length_max");
    NLM_REQUIRE(std::isfinite(args.scale), "scale: expected a finite number, found %g", static_cast<double>(args.scale));
    check_pointer(args.out, "out", 2);
    check_pointer(args.q, "q", 2);
    check_pointer(args.k_cache, "k_cache", 16);
    check_pointer(args.v_cache, "v_cache", 16);
    check_pointer(args.lengths, "lengths", 4);
    check_pointer(args.block_tables, "block_tables", 4);
}

template <typename T, int HeadDim, int BlockSize>
void launch_paper(const Args& args, const nlm_device& device, cudaStream_t stream) {
    const int64_t bytes = static_cast<int64_t>(sizeof(PaperShared<HeadDim>)) + int64_t{args.length_max} * 4;
    if (bytes > device.shared_memory_limit)
        throw Error(NLM_UNSUPPORTED,
                    "length_max: expected at most %lld keys, whose logits fit into a block's shared memory, found %d",
                    static_cast<long long>((device.shared_memory_limit - static_cast<int64_t>(sizeof(PaperShared<HeadDim>))) / 4),
                    args.length_max);
    launch(paper_attention<T, HeadDim, BlockSize>, {args.sequences, args.q_head_count, paper_threads, static_cast<size_t>(bytes)},
           stream, args);
}

template <typename T, int HeadDim> void launch_block_size(const Args& args, const nlm_device& device, cudaStream_t stream) {
    switch (args.block_size) {
    case 8:
        return launch_paper<T, HeadDim, 8>(args, device, stream);
    case 16:
        return launch_paper<T, HeadDim, 16>(args, device, stream);
    case 32:
        return launch_paper<T, HeadDim, 32>(args, device, stream);
    case 64:
        return launch_paper<T, HeadDim, 64>(args, device, stream);
    case 128:
        return launch_paper<T, HeadDim, 128>(args, device, stream);
    default:
        throw Error(NLM_INVALID_ARGUMENT, "block_size: expected 8, 16, 32, 64 or 128, found %d", args.block_size);
    }
}

template <typename T> void launch_head_dim(const Args& args, const nlm_device& device, cudaStream_t stream) {
    switch (args.head_dim) {
    case 64:
        return launch_block_size<T, 64>(args, device, stream);
    case 128:
        return launch_block_size<T, 128>(args, device, stream);
    default:
        throw Error(NLM_INVALID_ARGUMENT, "head_dim: expected 64 or 128, found %d", args.head_dim);
    }
}

} // namespace
} // namespace nlm::simt

NLM_API int32_t nlm_bench_paper_attention(nlm_stream* stream, const nlm_bench_paper_attention_args* args) {
    using namespace nlm;
    return guard("nlm_bench_paper_attention", [&] {
        check_call(stream, args);
        simt::check(*args);
        if (args->sequences == 0) return;
        if (args->type == NLM_BF16)
            simt::launch_head_dim<simt::bf16>(*args, use_device(stream), cuda_stream(stream));
        else
            simt::launch_head_dim<simt::f16>(*args, use_device(stream), cuda_stream(stream));
    });
}
