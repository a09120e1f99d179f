// Tiles of 16-bit rows in shared memory and the matrix fragments read from them.
//
// A row of a tile is one K tile: 64 elements, eight chunks of 16 bytes. Chunk c of row r stands at place c ^ (r % 8), so the
// eight rows that ldmatrix reads at once lie in different banks.
#pragma once

#include "weight_layout.cuh"

namespace nlm::simt {

constexpr int chunk = 8; // elements of 16 bytes
constexpr int chunks_per_row = k_tile / chunk;
constexpr int k_steps = k_tile / 16; // matrix instructions along a K tile

// The part of a tile's copy that one of `Threads` threads does: one chunk of every (Threads / 8)-th row.
template <typename T, int Threads> class RowCopier {
public:
    static constexpr int rows_at_once = Threads / chunks_per_row;
    static_assert(rows_at_once % 8 == 0 || 8 % rows_at_once == 0, "the place of a chunk repeats with the rows");

    // `source` is the tile's first row at k = 0.
    NLM_DEVICE RowCopier(const T* source, int64_t stride, int thread)
        : row_(thread / chunks_per_row), chunk_(thread % chunks_per_row), source_(source + row_ * stride + chunk_ * chunk),
          step_(stride * rows_at_once) {}

    // Starts the copy of rows [First, Rows) of the K tile at element `k` into `tile`. Rows from row_limit on and elements from
    // k_limit on become zero.
    template <int Rows, bool Streaming = false, int First = 0>
    NLM_DEVICE void copy(T* tile, int64_t k, int row_limit, int64_t k_limit) const {
        const bool inside = k + chunk_ * chunk < k_limit;
        const T* from = source_ + k + First / rows_at_once * step_;
#pragma unroll
        for (int first = First; first < Rows; first += rows_at_once, from += step_) {
            const int row = first + row_;
            T* to = tile + row * k_tile + (chunk_ ^ (row % 8)) * chunk;
            if constexpr (Streaming)
                cp_async16_streaming(to, from, inside && row < row_limit);
            else
                cp_async16(to, from, inside && row < row_limit);
        }
    }

private:
    int row_, chunk_;
    const T* source_;
    int64_t step_;
};

// Place of a chunk of this lane's row, in elements: chunk 2 step + half, exchanged by the row's number.
NLM_DEVICE int chunk_place(int half, int step) {
    return ((half ^ (lane_index() % 8)) ^ (2 * step)) * chunk;
}

// x: 16 rows by 16 k. Matrices 0 to 3 of ldmatrix: rows 0-7 and 8-15 of the first eight k, then of the last eight.
template <typename T> NLM_DEVICE void load_x_fragment(uint32_t (&a)[4], const T* rows, int step) {
    const int lane = lane_index();
    ldmatrix_x4(a, rows + lane % 16 * k_tile + chunk_place(lane / 16, step));
}

// weight: 16 columns of the product by 16 k. Matrices: columns 0-7 with the first and the last eight k, then columns 8-15.
template <typename T> NLM_DEVICE void load_weight_fragments(uint32_t (&low)[2], uint32_t (&high)[2], const T* rows, int step) {
    const int lane = lane_index();
    uint32_t r[4];
    ldmatrix_x4(r, rows + (lane % 8 + lane / 16 * 8) * k_tile + chunk_place(lane / 8 % 2, step));
    low[0] = r[0], low[1] = r[1], high[0] = r[2], high[1] = r[3];
}

} // namespace nlm::simt
