// Linear layer on Hopper's tensor cores: one family of warp-group matrix instructions for every row count.
//
// The weights are always the 64-row side of the instruction and the tokens its columns, 8 to 256 of them, so that a single token
// and a long prompt go through the same arithmetic. A persistent block is one producer and one or two consumer warp groups: the
// producer's first thread fills a ring of stages by tensor copies, as far ahead as the ring is long; each consumer group
// multiplies its 64 rows of weights with all tokens of the tile. Where k is split, finished splits wait in the workspace: as
// running sums of the block that goes through all of them, or side by side for gemm_reduce, in the same order.
//
// Emulated and compiled only: this has not run on hardware. Off unless the device is opened with NATIVELM_SM90A=1.
#include "../device/gemm_epilogue.cuh"
#include "../gemm.h"
#include "../sm90a.h"
#include "hopper.cuh"

#include <algorithm>

namespace nlm::sm90a {

namespace {

using namespace nlm::simt;

constexpr int producer_registers = 24, consumer_registers = 232, registers_per_multiprocessor = 65536;

// Groups: consumer warp groups, 64 rows of weights each. Tokens: rows of x.
template <int Groups_, int Tokens_, int Stages_, int BlocksPerMultiprocessor_> struct Tile {
    static constexpr int groups = Groups_, rows = 64 * Groups_, tokens = Tokens_, stages = Stages_;
    static constexpr int blocks_per_multiprocessor = BlocksPerMultiprocessor_;
    static constexpr int threads = (groups + 1) * group_threads;
    static constexpr int weight_bytes = rows * swizzle_row_bytes, token_bytes = tokens * swizzle_row_bytes;
    // A warp turns 16 columns of the product round for this many tokens at a time.
    static constexpr int turned_tokens = tokens < 32 ? tokens : 32;
    static constexpr int turned_stride = 16 + 4; // floats: what eight lanes touch at once lies in different banks
    // Registers move from the producer to the consumers where a thread holds many sums.
    static constexpr bool moves_registers = tokens >= 64;
    static_assert(!moves_registers ||
                      blocks_per_multiprocessor * group_threads * (producer_registers + groups * consumer_registers) <=
                          registers_per_multiprocessor,
                  "registers of the blocks of a multiprocessor");
};

template <typename Tile> struct alignas(swizzle_atom_bytes) Shared {
    struct alignas(swizzle_atom_bytes) Stage {
        Array<unsigned char, Tile::weight_bytes> weight;
        Array<unsigned char, Tile::token_bytes> x;
    };
    Array<Stage, Tile::stages> ring;
    Array<Barrier, Tile::stages> full, empty;
    using Turned = Array<float, Tile::turned_tokens * Tile::turned_stride>;
    Array<Turned, 4 * Tile::groups> turned; // one of each consumer warp
};

// A stage of the ring and the parity of its current use. Producer and consumers go round in step.
template <int Stages> struct RingPlace {
    int slot = 0, parity = 0;
    NLM_DEVICE void advance() {
        if (++slot < Stages) return;
        slot = 0;
        parity ^= 1;
    }
};

// One tile of the product and the splits of k that a block adds up for it.
struct Item {
    int row, token; // first row of weights, first row of x
    int first_split, last_split;
};

// The items of a call, dealt out to the blocks one by one. Bands of eight token tiles, the tokens fastest: what works at the same
// time shares both operands in the L2 cache.
template <typename Tile> class Items {
public:
    NLM_DEVICE explicit Items(const GemmParameters& p)
        : p_(p), token_tiles_(ceil_div(row_count(p), Tile::tokens)), row_tiles_(ceil_div(p.n, Tile::rows)),
          parts_(p.split_blocks ? p.splits : 1), count_(static_cast<int64_t>(token_tiles_) * row_tiles_ * parts_) {}

    NLM_DEVICE int64_t count() const { return count_; }
    NLM_DEVICE bool weights_are_read_once() const { return token_tiles_ == 1; }
    NLM_DEVICE Item operator[](int64_t index) const {
        constexpr int band = 8;
        const int64_t tile = index / parts_, per_band = static_cast<int64_t>(band) * row_tiles_;
        const int first = static_cast<int>(tile / per_band) * band, within = static_cast<int>(tile % per_band);
        const int tokens = token_tiles_ - first < band ? token_tiles_ - first : band;
        const int split = static_cast<int>(index % parts_);
        return {within / tokens * Tile::rows, (first + within % tokens) * Tile::tokens, split,
                p_.split_blocks ? split + 1 : p_.splits};
    }

private:
    const GemmParameters& p_;
    int token_tiles_, row_tiles_, parts_;
    int64_t count_;
};

template <typename Tile>
NLM_DEVICE void produce(const GemmParameters& p, const TensorMap& weight, const TensorMap& x, Shared<Tile>& shared) {
    const Items<Tile> items(p);
    const bool once = items.weights_are_read_once();
    RingPlace<Tile::stages> place;
#pragma unroll 1
    for (int64_t i = block_index(); i < items.count(); i += block_count()) {
        const Item item = items[i];
        const int last = split_range(p, item.last_split - 1).last;
#pragma unroll 1
        for (int tile = split_range(p, item.first_split).first; tile < last; ++tile, place.advance()) {
            Barrier& full = shared.full[place.slot];
            auto& stage = shared.ring[place.slot];
            barrier_wait(shared.empty[place.slot], place.parity ^ 1);
            barrier_arrive_expect(full, Tile::weight_bytes + Tile::token_bytes);
            if (once)
                tensor_load<Keep::evict_first>(stage.weight.data(), weight, item.row, tile * k_tile, full);
            else
                tensor_load<Keep::normal>(stage.weight.data(), weight, item.row, tile * k_tile, full);
            tensor_load<Keep::normal>(stage.x.data(), x, item.token, tile * k_tile, full);
        }
    }
}

template <typename T, typename Tile> class Consumer {
public:
    NLM_DEVICE Consumer(const GemmParameters& p, Shared<Tile>& shared, int group)
        : p_(p), shared_(shared), rows_(row_count(p)), weight_(tile_descriptor(&shared.ring[0].weight[group * group_bytes])),
          x_(tile_descriptor(shared.ring[0].x.data())) {}

    NLM_DEVICE void run() {
        const Items<Tile> items(p_);
#pragma unroll 1
        for (int64_t i = block_index(); i < items.count(); i += block_count()) {
            const Item item = items[i];
#pragma unroll 1
            for (int split = item.first_split; split < item.last_split; ++split) {
                multiply(split_range(p_, split));
                if (split > item.first_split) add_running();
                if (split + 1 < item.last_split) put_aside();
            }
            finish(item);
        }
    }

private:
    static constexpr int group_bytes = 64 * swizzle_row_bytes;
    static constexpr int sum_count = Tile::tokens / 2;
    using Turned = typename Shared<Tile>::Turned;

    // One chain of matrix instructions over the K tiles of a split, from zero.
    NLM_DEVICE void multiply(KRange range) {
        constexpr int stage_step = static_cast<int>(sizeof(typename Shared<Tile>::Stage)) / 16;
        int before = -1; // stage whose reads may still be under way
#pragma unroll
        for (int i = 0; i < sum_count; ++i) sums_[i] = 0.0f;
#pragma unroll 1
        for (int tile = range.first; tile < range.last; ++tile, place_.advance()) {
            const auto offset = static_cast<uint64_t>(place_.slot * stage_step);
            barrier_wait(shared_.full[place_.slot], place_.parity);
            wgmma_fence();
#pragma unroll
            for (int step = 0; step < k_tile / 16; ++step)
                wgmma<T, Tile::tokens>(sums_, advance(weight_ + offset, step), advance(x_ + offset, step));
            wgmma_commit();
            wgmma_wait<1>();
            release(before);
            before = place_.slot;
        }
        wgmma_finish(sums_);
        release(before);
    }

    NLM_DEVICE void release(int slot) {
        if (slot >= 0 && lane_index() == 0) barrier_arrive(shared_.empty[slot]);
    }

    // ---- running sums of finished splits, four floats of a thread at a time ----

    NLM_DEVICE float* running(int i) const {
        const int64_t first = static_cast<int64_t>(block_index()) * (Tile::rows * Tile::tokens);
        return p_.partials + first + (i * Tile::groups * group_threads + thread_index()) * 4;
    }
    NLM_DEVICE void add_running() {
#pragma unroll
        for (int i = 0; i < sum_count / 4; ++i) {
            const auto before = load_vector<Vec<float, 4>>(running(i));
#pragma unroll
            for (int e = 0; e < 4; ++e) sums_[4 * i + e] = before.v[e] + sums_[4 * i + e];
        }
    }
    NLM_DEVICE void put_aside() {
#pragma unroll
        for (int i = 0; i < sum_count / 4; ++i)
            store_vector(running(i), Vec<float, 4>{{sums_[4 * i], sums_[4 * i + 1], sums_[4 * i + 2], sums_[4 * i + 3]}});
    }

    // ---- results ----

    // In the place of an epilogue: sums of one split for gemm_reduce.
    struct PartialSums {
        static constexpr int inputs = segment;
        const GemmParameters& p;
        int split;
        NLM_DEVICE void operator()(int row, int column, const float (&sums)[inputs]) const {
            float* partials = p.partials + (static_cast<int64_t>(split) * p.rows_max + row) * padded(p.n) + column;
            store_vector(partials, Vec<float, 4>{{sums[0], sums[1], sums[2], sums[3]}});
            store_vector(partials + 4, Vec<float, 4>{{sums[4], sums[5], sums[6], sums[7]}});
        }
    };

    // The warp turns its sums round, a few tokens at a time, so that a lane holds neighbouring columns of one row of the output.
    NLM_DEVICE void finish(const Item& item) {
        auto& turned = shared_.turned[warp_index()];
        const int column = item.row + warp_index() * 16;
#pragma unroll 1
        for (int first = 0; first < Tile::tokens; first += Tile::turned_tokens) {
            turn(turned, first);
            sync_warp();
            const auto pass_on = [&](auto epilogue) { pass_columns(epilogue, turned, item.token + first, column); };
            if (p_.split_blocks)
                pass_on(PartialSums{p_, item.first_split});
            else
                with_epilogue<T>(p_, pass_on);
            sync_warp();
        }
    }

    // Hands the turned sums to the epilogue: 16 columns of turned_tokens rows of the output, from (row, column) on.
    template <typename Epilogue> NLM_DEVICE void pass_columns(const Epilogue& epilogue, Turned& turned, int row, int column) {
        constexpr int inputs = Epilogue::inputs, pieces = 16 / inputs, tokens_at_once = warp_size / pieces;
        const int lane = lane_index(), piece = lane / tokens_at_once * inputs;
#pragma unroll 1
        for (int token = lane % tokens_at_once; token < Tile::turned_tokens; token += tokens_at_once) {
            if (row + token >= rows_ || column + piece >= p_.n) continue;
            float sums[inputs];
#pragma unroll
            for (int j = 0; j < inputs; j += 4) {
                const auto four = *reinterpret_cast<const Vec<float, 4>*>(&turned[token * Tile::turned_stride + piece + j]);
#pragma unroll
                for (int e = 0; e < 4; ++e) sums[j + e] = four.v[e];
            }
            epilogue(row + token, (column + piece) * segment / inputs, sums);
        }
    }

    // Writes this lane's sums of tokens [first, first + turned_tokens) as [token][column]. The loop over all sums keeps the
    // indices of registers known to the compiler.
    NLM_DEVICE void turn(Turned& turned, int first) const {
        const int column = lane_index() / 4, token = lane_index() % 4 * 2;
#pragma unroll
        for (int from = 0; from < Tile::tokens; from += Tile::turned_tokens) {
            if (from != first) continue;
#pragma unroll
            for (int i = 0; i < Tile::turned_tokens / 2; ++i)
                turned[(token + i / 4 * 8 + i % 2) * Tile::turned_stride + column + i % 4 / 2 * 8] = sums_[from / 2 + i];
        }
    }

    const GemmParameters& p_;
    Shared<Tile>& shared_;
    int rows_;
    uint64_t weight_, x_; // descriptors in the first stage
    RingPlace<Tile::stages> place_;
    float sums_[sum_count];
};

template <typename T, typename Tile> NLM_KERNEL NLM_LAUNCH_BOUNDS(Tile::threads, Tile::blocks_per_multiprocessor)
    gemm_wgmma(const NLM_GRID_CONSTANT GemmParameters p, const NLM_GRID_CONSTANT TensorMap weight,
               const NLM_GRID_CONSTANT TensorMap x) {
    auto& shared = sm90a::shared_memory<Shared<Tile>>();
    const int group = shuffle(thread_index() / group_threads, 0); // tells the compiler that it is uniform
    if (thread_index() == 0) {
        for (int i = 0; i < Tile::stages; ++i) {
            barrier_init(shared.full[i], 1);
            barrier_init(shared.empty[i], 4 * Tile::groups);
        }
        fence_async_proxy();
        prefetch_map(weight);
        prefetch_map(x);
    }
    sync_threads();
    if (group == Tile::groups) {
        if constexpr (Tile::moves_registers) shrink_registers<producer_registers>();
        if (thread_index() == Tile::groups * group_threads) produce<Tile>(p, weight, x, shared);
    } else {
        if constexpr (Tile::moves_registers) grow_registers<consumer_registers>();
        Consumer<T, Tile>(p, shared, group).run();
    }
}

template <typename Tile> int64_t tile_count(const GemmParameters& p) {
    return ceil_div(int64_t{p.rows_max}, int64_t{Tile::tokens}) * ceil_div(int64_t{p.n}, int64_t{Tile::rows});
}

template <typename T, typename Tile> void launch_tiles(GemmParameters p, const nlm_device& device, cudaStream_t stream) {
    const int64_t resident = int64_t{device.multiprocessors} * Tile::blocks_per_multiprocessor;
    // Too few tiles for the chip: a block for each split.
    p.split_blocks = p.splits > 1 && p.rows_max <= cuda::split_block_rows_max && tile_count<Tile>(p) < resident;
    const int64_t items = tile_count<Tile>(p) * (p.split_blocks ? p.splits : 1);
    const int64_t blocks = std::min({items, resident, cuda::running_sums_max / (Tile::rows * Tile::tokens)});
    constexpr int32_t type = std::is_same_v<T, bf16> ? NLM_BF16 : NLM_F16;
    const TensorMap weight = make_tensor_map(type, p.weight, padded(p.n), padded(p.k), padded(p.k), Tile::rows);
    const TensorMap x = make_tensor_map(type, p.x, p.rows_max, p.k, p.x_stride, Tile::tokens);
    launch(gemm_wgmma<T, Tile>, {blocks, 1, Tile::threads, sizeof(Shared<Tile>)}, stream, p, weight, x);
    if (p.split_blocks) cuda::add_partials<T>(p, stream);
}

} // namespace

bool compiled() {
    return true;
}

template <typename T> void gemm(const GemmParameters& p, const nlm_device& device, cudaStream_t stream) {
    using Wide = Tile<2, 256, 4, 1>;
    if (p.rows_max <= 8) return launch_tiles<T, Tile<1, 8, 8, 2>>(p, device, stream);
    if (p.rows_max <= 16) return launch_tiles<T, Tile<1, 16, 8, 2>>(p, device, stream);
    if (p.rows_max <= 32) return launch_tiles<T, Tile<1, 32, 8, 2>>(p, device, stream);
    if (p.rows_max <= 64) return launch_tiles<T, Tile<1, 64, 6, 2>>(p, device, stream);
    if (p.rows_max <= 128) return launch_tiles<T, Tile<1, 128, 4, 2>>(p, device, stream);
    if (tile_count<Wide>(p) < device.multiprocessors) return launch_tiles<T, Tile<2, 128, 6, 1>>(p, device, stream);
    launch_tiles<T, Wide>(p, device, stream);
}

template void gemm<bf16>(const GemmParameters&, const nlm_device&, cudaStream_t);
template void gemm<f16>(const GemmParameters&, const nlm_device&, cudaStream_t);

} // namespace nlm::sm90a
