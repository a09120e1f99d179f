// Attention at reference precision: fp32 throughout, any types of q and cache, a warp per (row, query head). Same tiles, splits
// and merge as the other kernels, in scalars; no speed target.
#include "device/attention_tile.cuh"
#include "device/reduce.cuh"
#include "paged_attention.h"

namespace nlm::simt {
namespace {

constexpr int plain_warps = 4;
constexpr int plain_blocks_per_multiprocessor = 4;
constexpr int lane_dims = head_dim_limit / warp_size; // dims lane, lane + 32, … of the output

struct PlainShared {
    struct OfWarp {
        Array<float, head_dim_limit> query;
        Array<float, key_tile> scores;
    };
    Array<OfWarp, plain_warps> of_warp;
};

NLM_DEVICE float load_value(const void* p, int64_t index, int32_t type) {
    if (type == NLM_BF16) return to_float(load(static_cast<const bf16*>(p) + index));
    if (type == NLM_F16) return to_float(load(static_cast<const f16*>(p) + index));
    return load(static_cast<const float*>(p) + index);
}
NLM_DEVICE void store_value(void* p, int64_t index, int32_t type, float value) {
    if (type == NLM_BF16)
        store(static_cast<bf16*>(p) + index, from_float<bf16>(value));
    else if (type == NLM_F16)
        store(static_cast<f16*>(p) + index, from_float<f16>(value));
    else
        store(static_cast<float*>(p) + index, value);
}

// The row of a warp. Every lane holds the same maximum; sums are of a lane's own keys until the split closes.
template <typename Cache> class PlainRow {
public:
    NLM_DEVICE PlainRow(const AttentionCall& call, const SequencePlan& sequence, int row, int head, PlainShared::OfWarp& shared)
        : call_(call), shared_(shared), kv_head_(head / call.group), position_(first_position(sequence) + row),
          first_(first_key(call.window, position_)) {
        table_ = call.block_tables + int64_t{sequence.table_row} * call.table_stride;
        offset_ = row_offset(call, sequence, kv_head_, row * call.group + head % call.group);
        slope_ = call.alibi_slopes != nullptr ? log2_e * load_readonly(call.alibi_slopes + head) : 0.0f;
        sink_ = sink_of(call, head);
    }

    NLM_DEVICE void run() {
        sync_warp(); // the row before has been read
        for (int i = lane_index(); i < call_.pool.head_dim; i += warp_size)
            shared_.query[i] = load_value(call_.q, offset_ + i, call_.type);
        sync_warp();
        clear();
        for (int tile = first_ / key_tile * key_tile; tile <= position_; tile += key_tile) {
            attend(tile);
            if ((tile + key_tile) % call_.split_keys == 0 || tile + key_tile > position_) close();
        }
        const float scale = output_scale(merged_maximum_, merged_sum_, sink_);
        for (int i = 0; i < lane_dims; ++i)
            if (dim(i) < call_.pool.head_dim) store_value(call_.out, offset_ + dim(i), call_.type, merged_[i] * scale);
    }

private:
    static NLM_DEVICE int dim(int i) { return lane_index() + i * warp_size; }

    // K of a key, its V half_bytes on; null where the table names no block.
    NLM_DEVICE const char* row_of(int key) const {
        const int block = load_readonly(table_ + key / call_.pool.block_size);
        if (!call_.pool.has_block(block)) return nullptr;
        return call_.pool.data + call_.pool.head_offset(block, kv_head_) +
               int64_t{key % call_.pool.block_size} * call_.pool.row_bytes;
    }

    NLM_DEVICE float score(int key) const {
        if (key < first_ || key > position_) return minus_infinity;
        const char* row = row_of(key);
        constexpr int width = 16 / sizeof(Cache);
        float sum = 0.0f;
        for (int first = 0; row != nullptr && first < call_.pool.head_dim; first += width) {
            const auto values = load_vector<Vec<Cache, width>>(row + first * sizeof(Cache));
            for (int i = 0; i < width; ++i)
                if (first + i < call_.pool.head_dim) sum += shared_.query[first + i] * to_float(values[i]);
        }
        sum *= call_.score_scale;
        if (call_.softcap > 0.0f) sum = call_.softcap * tanhf(sum);
        return sum + slope_ * static_cast<float>(key - position_);
    }

    NLM_DEVICE void attend(int tile) {
        const float low = score(tile + lane_index()), high = score(tile + warp_size + lane_index());
        shared_.scores[lane_index()] = low;
        shared_.scores[warp_size + lane_index()] = high;
        sync_warp();
        float maximum = maximum_;
        for (int key = 0; key < key_tile; ++key) maximum = fmaxf(maximum, shared_.scores[key]);
        sync_warp();
        const float base = maximum == minus_infinity ? 0.0f : maximum;
        const float factor = exp2f(maximum_ - base), p_low = exp2f(low - base), p_high = exp2f(high - base);
        shared_.scores[lane_index()] = p_low;
        shared_.scores[warp_size + lane_index()] = p_high;
        sync_warp();
        maximum_ = maximum;
        sum_ = sum_ * factor + (p_low + p_high);
        for (int i = 0; i < lane_dims; ++i) output_[i] *= factor;
        const int begin = first_ > tile ? first_ : tile, end = position_ + 1 < tile + key_tile ? position_ + 1 : tile + key_tile;
        for (int key = begin; key < end; ++key) add_value(key, shared_.scores[key - tile]);
        sync_warp(); // the next tile's scores take the place of these
    }
    NLM_DEVICE void add_value(int key, float p) {
        const char* row = row_of(key);
        if (row == nullptr) return;
        const auto* values = reinterpret_cast<const Cache*>(row + call_.pool.half_bytes);
#pragma unroll
        for (int i = 0; i < lane_dims; ++i)
            if (dim(i) < call_.pool.head_dim) output_[i] += p * to_float(load(values + dim(i)));
    }

    NLM_DEVICE void clear() {
        maximum_ = minus_infinity;
        sum_ = 0.0f;
        for (int i = 0; i < lane_dims; ++i) output_[i] = 0.0f;
    }
    NLM_DEVICE void close() {
        const Merge merge(merged_maximum_, merged_sum_, maximum_, reduce_warp(sum_, Sum{}));
        merged_maximum_ = merge.maximum;
        merged_sum_ = merge.sum;
        for (int i = 0; i < lane_dims; ++i) merged_[i] = merge.output(merged_[i], output_[i]);
        clear();
    }

    const AttentionCall& call_;
    PlainShared::OfWarp& shared_;
    const int kv_head_, position_, first_;
    const int32_t* table_;
    int64_t offset_;
    float slope_, sink_;
    float maximum_ = minus_infinity, sum_ = 0.0f, output_[lane_dims];
    float merged_maximum_ = minus_infinity, merged_sum_ = 0.0f, merged_[lane_dims] = {};
};

template <typename Cache> NLM_KERNEL NLM_LAUNCH_BOUNDS(plain_warps* warp_size, plain_blocks_per_multiprocessor)
    plain_attention(AttentionCall call) {
    auto& shared = shared_memory<PlainShared>().of_warp[warp_index()];
    const int sequence_count = load(call.plan.sequence_count);
    const int64_t items = item_count(call.plan.serial_ends, sequence_count);
    for (int64_t item = block_index() + int64_t{warp_index()} * block_count(); item < items;
         item += int64_t{block_count()} * plain_warps) {
        const auto [sequence, local] = find_item(call.plan, call.plan.serial_ends, sequence_count, item);
        const int row = static_cast<int>(local / call.q_head_count), head = static_cast<int>(local % call.q_head_count);
        PlainRow<Cache>(call, sequence, row, head, shared).run();
    }
}

} // namespace

void launch_attention_plain(const AttentionCall& call, int32_t cache_type, const nlm_device& device, cudaStream_t stream) {
    const int64_t items = int64_t{call.rows_max} * call.q_head_count;
    const Launch shape{persistent_blocks(items, plain_blocks_per_multiprocessor, device), 1, plain_warps * warp_size,
                       sizeof(PlainShared)};
    if (cache_type == NLM_BF16)
        launch(plain_attention<bf16>, shape, stream, call);
    else if (cache_type == NLM_F16)
        launch(plain_attention<f16>, shape, stream, call);
    else
        launch(plain_attention<float>, shape, stream, call);
}

} // namespace nlm::simt
