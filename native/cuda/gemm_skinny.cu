// Linear layer for up to 16 rows, bound by the bandwidth of the weight.
//
// Every warp streams its own columns over its own split of k through a private ring of asynchronous copies, so nothing but the
// warp waits for a stage; the splits of a column group are warps of one block and are added in order at the end.
#include "device/gemm_epilogue.cuh"
#include "device/gemm_fragments.cuh"
#include "gemm.h"

namespace nlm::simt {

namespace {

constexpr int skinny_rows = cuda::skinny_rows_max;

template <int Columns_, int Warps_> struct Skinny {
    static constexpr int columns = Columns_, warps = Warps_; // columns of a warp
    static constexpr int stages = 4, threads = warps * warp_size;
    static constexpr int sums_stride = columns + 8; // floats; the eight rows of a fragment start in different banks
};
using TwoWarps = Skinny<32, 2>;  // up to two splits
using FourWarps = Skinny<16, 4>; // up to four

template <typename T, typename Shape> struct SkinnyShared {
    struct Stage {
        Array<T, skinny_rows * k_tile> x;
        Array<T, Shape::columns * k_tile> weight;
    };
    struct Warp {
        union {
            Array<Stage, Shape::stages> ring;
            Array<float, skinny_rows * Shape::sums_stride> sums; // after the last K tile
        };
    };
    Array<Warp, Shape::warps> warps;
};

template <typename T, typename Shape> class SkinnyWarp {
public:
    NLM_DEVICE SkinnyWarp(const GemmParameters& p, typename SkinnyShared<T, Shape>::Warp& shared, int rows)
        : p_(p), shared_(shared), rows_(rows) {}

    // Sums of `columns` columns from `column` on over one split, left in shared memory.
    NLM_DEVICE void run(int64_t column, int split) {
        const int64_t k_padded = padded(p_.k);
        const RowCopier<T, warp_size> x(static_cast<const T*>(p_.x), p_.x_stride, lane_index());
        const RowCopier<T, warp_size> weight(static_cast<const T*>(p_.weight) + column * k_padded, k_padded, lane_index());
        const KRange range = split_range(p_, split);
        const auto copy_stage = [&](int slot, int tile) {
            if (tile < range.last) {
                const int64_t k = static_cast<int64_t>(tile) * k_tile;
                weight.template copy<Shape::columns, true>(shared_.ring[slot].weight.data(), k, Shape::columns, k_padded);
                copy_x(x, shared_.ring[slot].x.data(), k);
            }
            cp_async_commit(); // also where nothing was copied: waits count groups
        };
#pragma unroll
        for (int i = 0; i < Shape::stages - 1; ++i) copy_stage(i, range.first + i);
        int slot = 0, refill = Shape::stages - 1;
#pragma unroll 1
        for (int tile = range.first; tile < range.last; ++tile) {
            cp_async_wait<Shape::stages - 2>();
            sync_warp(); // the stage has landed for all lanes, and all have read the one before it
            copy_stage(refill, tile + Shape::stages - 1);
            multiply_stage(shared_.ring[slot]);
            refill = slot;
            slot = slot + 1 == Shape::stages ? 0 : slot + 1;
        }
        cp_async_wait<0>();
        sync_warp();
        store_sums();
    }

private:
    static constexpr int fragments = Shape::columns / 8;
    static constexpr int rows_at_once = RowCopier<T, warp_size>::rows_at_once;

    // Rows past the last are copied as zeros or not at all: what stands there reaches only sums that nobody stores.
    NLM_DEVICE void copy_x(const RowCopier<T, warp_size>& x, T* tile, int64_t k) const {
        x.template copy<rows_at_once>(tile, k, rows_, p_.k);
        if (rows_ > rows_at_once) x.template copy<skinny_rows, false, rows_at_once>(tile, k, rows_, p_.k);
    }

    NLM_DEVICE void multiply_stage(typename SkinnyShared<T, Shape>::Stage& stage) {
#pragma unroll
        for (int step = 0; step < k_steps; ++step) {
            uint32_t a[4], b[fragments][2];
            load_x_fragment(a, stage.x.data(), step);
#pragma unroll
            for (int j = 0; j < fragments; j += 2)
                load_weight_fragments(b[j], b[j + 1], stage.weight.data() + j * 8 * k_tile, step);
#pragma unroll
            for (int j = 0; j < fragments; ++j) mma_m16n8k16<T>(sums_[j], a, b[j]);
        }
    }

    NLM_DEVICE void store_sums() {
        const int row = lane_index() / 4, column = lane_index() % 4 * 2;
#pragma unroll
        for (int j = 0; j < fragments; ++j)
#pragma unroll
            for (int half = 0; half < 2; ++half)
                *reinterpret_cast<Vec<float, 2>*>(&shared_.sums[(row + half * 8) * Shape::sums_stride + column + j * 8]) =
                    Vec<float, 2>{{sums_[j][2 * half], sums_[j][2 * half + 1]}};
    }

    const GemmParameters& p_;
    typename SkinnyShared<T, Shape>::Warp& shared_;
    int rows_;
    float sums_[fragments][4] = {};
};

// Adds the splits of the block's column groups in order and stores their outputs.
template <typename T, typename Shape> NLM_DEVICE void finish_groups(const GemmParameters& p, SkinnyShared<T, Shape>& shared,
                                                                    int64_t first_group, int groups, int rows) {
    with_epilogue<T>(p, [&](auto epilogue) {
        constexpr int inputs = decltype(epilogue)::inputs, per_row = Shape::columns / inputs;
#pragma unroll 1
        for (int i = thread_index(); i < groups * rows * per_row; i += Shape::threads) {
            const int group = i / (rows * per_row), row = i / per_row % rows, first = i % per_row * inputs;
            const int64_t column = (first_group + group) * Shape::columns + first;
            if (column >= p.n) continue;
            float sums[inputs];
            for (int split = 0; split < p.splits; ++split) {
                auto& part = shared.warps[group * p.splits + split].sums;
#pragma unroll
                for (int j = 0; j < inputs; ++j) {
                    const float value = part[row * Shape::sums_stride + first + j];
                    sums[j] = split == 0 ? value : sums[j] + value;
                }
            }
            epilogue(row, static_cast<int>(column * segment / inputs), sums);
        }
    });
}

template <typename T, typename Shape> NLM_KERNEL NLM_LAUNCH_BOUNDS(Shape::threads, 4) gemm_skinny(GemmParameters p) {
    auto& shared = shared_memory<SkinnyShared<T, Shape>>();
    const int rows = row_count(p);
    if (rows == 0) return;
    const int groups = Shape::warps / p.splits, warp = warp_index();
    const int64_t first_group = static_cast<int64_t>(block_index()) * groups;
    const int64_t column = (first_group + warp / p.splits) * Shape::columns;
    if (column < p.n) SkinnyWarp<T, Shape>(p, shared.warps[warp], rows).run(column, warp % p.splits);
    sync_threads();
    finish_groups<T, Shape>(p, shared, first_group, groups, rows);
}

template <typename T, typename Shape> void launch_skinny(const GemmParameters& p, cudaStream_t stream) {
    const int64_t columns = int64_t{Shape::columns} * (Shape::warps / p.splits);
    launch(gemm_skinny<T, Shape>, {ceil_div(int64_t{p.n}, columns), 1, Shape::threads, sizeof(SkinnyShared<T, Shape>)}, stream,
           p);
}

} // namespace

} // namespace nlm::simt

namespace nlm::cuda {

template <typename T> void gemm_skinny(const simt::GemmParameters& p, cudaStream_t stream) {
    if (p.splits <= simt::TwoWarps::warps)
        simt::launch_skinny<T, simt::TwoWarps>(p, stream);
    else
        simt::launch_skinny<T, simt::FourWarps>(p, stream);
}

template void gemm_skinny<simt::bf16>(const simt::GemmParameters&, cudaStream_t);
template void gemm_skinny<simt::f16>(const simt::GemmParameters&, cudaStream_t);

} // namespace nlm::cuda
