// Linear layer for more than 16 rows: multistage tiles of matrix instructions.
//
// A block owns a tile of the product and walks along k. A ring of stages in shared memory is filled ahead by asynchronous copies;
// one barrier per K tile says both that a stage has landed and that the stage before it may be refilled. Where k is split, the
// block keeps the running sum p0 + p1 + … of finished splits in the workspace: each thread reads back what it wrote itself.
#include "device/gemm_epilogue.cuh"
#include "device/gemm_fragments.cuh"
#include "gemm.h"

#include <algorithm>

namespace nlm::simt {

namespace {

// Tile of a block and of a warp, in rows of x and columns of the product.
// SplitBlocks: whether a block may compute one split alone.
template <int TileM_, int TileN_, int WarpM_, int WarpN_, int Stages_, int BlocksPerMultiprocessor_, bool SplitBlocks_>
struct Tile {
    static constexpr int M = TileM_, N = TileN_, WarpM = WarpM_, WarpN = WarpN_;
    static constexpr int stages = Stages_, blocks_per_multiprocessor = BlocksPerMultiprocessor_;
    static constexpr bool split_blocks = SplitBlocks_;
    static constexpr int warps_n = N / WarpN, threads = M / WarpM * warps_n * warp_size;
    static constexpr int sums_stride = N + 8; // floats; the eight rows of a fragment start in different banks
};
using WideTile = Tile<128, 256, 64, 64, 3, 1, false>;
using SquareTile = Tile<128, 128, 64, 64, 3, 2, false>;
using SmallTile = Tile<64, 64, 32, 32, 4, 3, true>;

template <typename T, typename Tile> struct TileShared {
    struct Stage {
        Array<T, Tile::M * k_tile> x;
        Array<T, Tile::N * k_tile> weight;
    };
    union {
        Array<Stage, Tile::stages> ring;
        Array<float, Tile::M * Tile::sums_stride> sums; // after the last K tile
    };
};

template <typename T, typename Tile> class TileWorker {
public:
    NLM_DEVICE TileWorker(const GemmParameters& p, TileShared<T, Tile>& shared, int rows)
        : p_(p), shared_(shared), rows_(rows), warp_m_(warp_index() / Tile::warps_n * Tile::WarpM),
          warp_n_(warp_index() % Tile::warps_n * Tile::WarpN) {}

    // Tile at (row, column), K tiles of splits [first_split, last_split).
    NLM_DEVICE void run(int row, int column, int first_split, int last_split) {
        row_ = row, column_ = column;
        clear();
        multiply(first_split, last_split);
        if (Tile::split_blocks && p_.split_blocks)
            store_partials(first_split);
        else
            finish();
    }

private:
    static constexpr int fragments_m = Tile::WarpM / 16, fragments_n = Tile::WarpN / 8;

    NLM_DEVICE void clear() {
#pragma unroll
        for (int i = 0; i < fragments_m; ++i)
#pragma unroll
            for (int j = 0; j < fragments_n; ++j)
#pragma unroll
                for (int e = 0; e < 4; ++e) sums_[i][j][e] = 0.0f;
    }

    NLM_DEVICE void multiply(int first_split, int last_split) {
        const int64_t k_padded = padded(p_.k);
        const RowCopier<T, Tile::threads> x(static_cast<const T*>(p_.x) + row_ * p_.x_stride, p_.x_stride, thread_index());
        const RowCopier<T, Tile::threads> weight(static_cast<const T*>(p_.weight) + column_ * k_padded, k_padded, thread_index());
        const int rows = rows_ - row_, columns = static_cast<int>(padded(p_.n) - column_);
        const int first = split_range(p_, first_split).first, last = split_range(p_, last_split - 1).last;
        const auto copy_stage = [&](int slot, int tile) {
            if (tile < last) {
                const int64_t k = static_cast<int64_t>(tile) * k_tile;
                x.template copy<Tile::M>(shared_.ring[slot].x.data(), k, rows, p_.k);
                weight.template copy<Tile::N>(shared_.ring[slot].weight.data(), k, columns, k_padded);
            }
            cp_async_commit(); // also where nothing was copied: waits count groups
        };
#pragma unroll
        for (int i = 0; i < Tile::stages - 1; ++i) copy_stage(i, first + i);
        int split = first_split, boundary = split_range(p_, split).last;
        int slot = 0, refill = Tile::stages - 1;
#pragma unroll 1
        for (int tile = first; tile < last; ++tile) {
            cp_async_wait<Tile::stages - 2>();
            sync_threads();
            copy_stage(refill, tile + Tile::stages - 1);
            multiply_stage(shared_.ring[slot]);
            refill = slot;
            slot = slot + 1 == Tile::stages ? 0 : slot + 1;
            if (tile + 1 == boundary && tile + 1 < last) {
                put_aside(split == first_split);
                boundary = split_range(p_, ++split).last;
            }
        }
        cp_async_wait<0>();
        if (split > first_split) add_running();
    }

    NLM_DEVICE void multiply_stage(typename TileShared<T, Tile>::Stage& stage) {
        const T* x = &stage.x[warp_m_ * k_tile];
        const T* weight = &stage.weight[warp_n_ * k_tile];
#pragma unroll
        for (int step = 0; step < k_steps; ++step) {
            uint32_t a[fragments_m][4], b[fragments_n][2];
#pragma unroll
            for (int i = 0; i < fragments_m; ++i) load_x_fragment(a[i], x + i * 16 * k_tile, step);
#pragma unroll
            for (int j = 0; j < fragments_n; j += 2) load_weight_fragments(b[j], b[j + 1], weight + j * 8 * k_tile, step);
#pragma unroll
            for (int i = 0; i < fragments_m; ++i)
#pragma unroll
                for (int j = 0; j < fragments_n; ++j) mma_m16n8k16<T>(sums_[i][j], a[i], b[j]);
        }
    }

    // ---- running sums of finished splits, four floats of a thread at a time ----

    NLM_DEVICE float* running(int i, int j) const {
        const int64_t tile = static_cast<int64_t>(block_index()) * (Tile::M * Tile::N);
        return p_.partials + tile + ((i * fragments_n + j) * Tile::threads + thread_index()) * 4;
    }

    NLM_DEVICE void add_running() {
#pragma unroll
        for (int i = 0; i < fragments_m; ++i)
#pragma unroll
            for (int j = 0; j < fragments_n; ++j) {
                const auto before = load_vector<Vec<float, 4>>(running(i, j));
#pragma unroll
                for (int e = 0; e < 4; ++e) sums_[i][j][e] = before.v[e] + sums_[i][j][e];
            }
    }

    NLM_DEVICE void put_aside(bool is_first) {
        if (!is_first) add_running();
#pragma unroll
        for (int i = 0; i < fragments_m; ++i)
#pragma unroll
            for (int j = 0; j < fragments_n; ++j)
                store_vector(running(i, j), Vec<float, 4>{{sums_[i][j][0], sums_[i][j][1], sums_[i][j][2], sums_[i][j][3]}});
        clear();
    }

    // ---- results ----

    // Calls body(row, column, low, high) for the pairs of neighbouring sums of this thread, counted inside the tile.
    template <typename Body> NLM_DEVICE void for_each_pair(const Body& body) {
        const int row = warp_m_ + lane_index() / 4, column = warp_n_ + lane_index() % 4 * 2;
#pragma unroll
        for (int i = 0; i < fragments_m; ++i)
#pragma unroll
            for (int j = 0; j < fragments_n; ++j) {
                body(row + i * 16, column + j * 8, Vec<float, 2>{{sums_[i][j][0], sums_[i][j][1]}});
                body(row + i * 16 + 8, column + j * 8, Vec<float, 2>{{sums_[i][j][2], sums_[i][j][3]}});
            }
    }

    NLM_DEVICE void store_partials(int split) {
        const int64_t stride = padded(p_.n);
        float* partials = p_.partials + (static_cast<int64_t>(split) * p_.rows_max + row_) * stride + column_;
        for_each_pair([&](int row, int column, Vec<float, 2> pair) {
            if (row_ + row < rows_ && column_ + column < stride) store_vector(partials + row * stride + column, pair);
        });
    }

    NLM_DEVICE void finish() {
        sync_threads(); // every warp has read the last stage
        for_each_pair([&](int row, int column, Vec<float, 2> pair) {
            *reinterpret_cast<Vec<float, 2>*>(&shared_.sums[row * Tile::sums_stride + column]) = pair;
        });
        sync_threads();
        with_epilogue<T>(p_, [&](auto epilogue) {
            constexpr int inputs = decltype(epilogue)::inputs, per_row = Tile::N / inputs;
#pragma unroll 1
            for (int i = thread_index(); i < Tile::M * per_row; i += Tile::threads) {
                const int row = i / per_row, column = i % per_row * inputs;
                if (row_ + row >= rows_ || column_ + column >= p_.n) continue;
                float sums[inputs];
#pragma unroll
                for (int j = 0; j < inputs; ++j) sums[j] = shared_.sums[row * Tile::sums_stride + column + j];
                epilogue(row_ + row, (column_ + column) * segment / inputs, sums);
            }
        });
    }

    const GemmParameters& p_;
    TileShared<T, Tile>& shared_;
    int rows_, warp_m_, warp_n_, row_ = 0, column_ = 0;
    float sums_[fragments_m][fragments_n][4];
};

// Tiles in bands of eight tile rows, the rows fastest: what works at the same time shares both x and weight in the L2 cache.
struct TilePlace {
    int row, column; // in tiles
};
NLM_DEVICE TilePlace place_of(int tile, int tiles_m, int tiles_n) {
    constexpr int band = 8;
    const int first = tile / (band * tiles_n) * band, within = tile % (band * tiles_n);
    const int rows = tiles_m - first < band ? tiles_m - first : band;
    return {first + within % rows, within / rows};
}

template <typename T, typename Tile> NLM_KERNEL NLM_LAUNCH_BOUNDS(Tile::threads, Tile::blocks_per_multiprocessor)
    gemm_tile(GemmParameters p) {
    auto& shared = shared_memory<TileShared<T, Tile>>();
    const int rows = row_count(p), tiles_m = ceil_div(rows, Tile::M), tiles_n = ceil_div(p.n, Tile::N);
    const bool split_blocks = Tile::split_blocks && p.split_blocks;
    const int parts = split_blocks ? p.splits : 1;
    const int items = tiles_m * tiles_n * parts; // the host has checked that they can be counted
    TileWorker<T, Tile> worker(p, shared, rows);
#pragma unroll 1
    for (int item = block_index(); item < items; item += block_count()) {
        const TilePlace place = place_of(item / parts, tiles_m, tiles_n);
        const int split = item % parts;
        worker.run(place.row * Tile::M, place.column * Tile::N, split, split_blocks ? split + 1 : p.splits);
        sync_threads(); // the ring is free again
    }
}

// Adds the partial sums of split blocks in order. One thread per segment.
template <typename T> NLM_KERNEL gemm_reduce(GemmParameters p) {
    const int rows = row_count(p);
    with_epilogue<T>(p, [&](auto epilogue) {
        constexpr int inputs = decltype(epilogue)::inputs;
        const int per_row = ceil_div(p.n, inputs);
        const int64_t item = static_cast<int64_t>(block_index()) * thread_count() + thread_index();
        if (item >= static_cast<int64_t>(rows) * per_row) return;
        const int row = static_cast<int>(item / per_row), column = static_cast<int>(item % per_row) * inputs;
        const int64_t stride = padded(p.n), next = p.rows_max * stride;
        const float* partials = p.partials + row * stride + column;
        float sums[inputs];
        for (int split = 0; split < p.splits; ++split, partials += next) {
#pragma unroll
            for (int j = 0; j < inputs; j += 4) {
                const auto part = load_vector<Vec<float, 4>>(partials + j);
#pragma unroll
                for (int e = 0; e < 4; ++e) sums[j + e] = split == 0 ? part.v[e] : sums[j + e] + part.v[e];
            }
        }
        epilogue(row, column * segment / inputs, sums);
    });
}

int64_t tile_count(const GemmParameters& p, int m, int n) {
    return ceil_div(int64_t{p.rows_max}, int64_t{m}) * ceil_div(int64_t{p.n}, int64_t{n});
}

template <typename T, typename Tile>
void launch_tiles(const GemmParameters& p, int blocks_per_multiprocessor, const nlm_device& device, cudaStream_t stream) {
    const int64_t items = tile_count(p, Tile::M, Tile::N) * (p.split_blocks ? p.splits : 1);
    check_range(items, 0, count_limit / 2, "tiles of rows_max by n");
    const int64_t resident = std::min<int64_t>(int64_t{device.multiprocessors} * blocks_per_multiprocessor,
                                               cuda::running_sums_max / (Tile::M * Tile::N));
    launch(gemm_tile<T, Tile>, {std::min(items, resident), 1, Tile::threads, sizeof(TileShared<T, Tile>)}, stream, p);
}

} // namespace

} // namespace nlm::simt

namespace nlm::cuda {

using namespace nlm::simt;

template <typename T> void gemm_tiled(const GemmParameters& p, const nlm_device& device, cudaStream_t stream) {
    // The largest tile of which there is one for every multiprocessor.
    const int64_t enough = device.multiprocessors;
    const bool wide_fits = sizeof(TileShared<T, WideTile>) <= static_cast<size_t>(device.shared_memory_limit);
    if (wide_fits && tile_count(p, WideTile::M, WideTile::N) >= enough) return launch_tiles<T, WideTile>(p, 1, device, stream);
    if (tile_count(p, SquareTile::M, SquareTile::N) >= enough)
        return launch_tiles<T, SquareTile>(p, wide_fits ? 2 : 1, device, stream);
    GemmParameters small = p;
    small.split_blocks =
        p.splits > 1 && p.rows_max <= split_block_rows_max && tile_count(p, SmallTile::M, SmallTile::N) < 2 * enough;
    launch_tiles<T, SmallTile>(small, 3, device, stream);
    if (small.split_blocks) add_partials<T>(small, stream);
}

template <typename T> void add_partials(const GemmParameters& p, cudaStream_t stream) {
    constexpr int block = 128;
    const int64_t segments = int64_t{p.rows_max} * ceil_div(p.n, segment);
    launch(gemm_reduce<T>, {ceil_div(segments, int64_t{block}), 1, block}, stream, p);
}

template void add_partials<bf16>(const GemmParameters&, cudaStream_t);
template void add_partials<f16>(const GemmParameters&, cudaStream_t);
template void gemm_tiled<bf16>(const GemmParameters&, const nlm_device&, cudaStream_t);
template void gemm_tiled<f16>(const GemmParameters&, const nlm_device&, cudaStream_t);

} // namespace nlm::cuda
