// What every family's gemm shares: packing of activations, the split into jobs, the order of the loops, the epilogue.
//
// A Kernel multiplies one block of rows with one or two weight blocks over the whole of K into an fp32 tile:
//   using Element                              type of x and of the weight
//   row_block_rows                             most rows of a row block
//   row_begin(b, rows)                         first row of row block b
//   packed_row_bytes(k)                        bytes of packed activations per row
//   pack(args, first, count, to)               packs the rows of one row block
//   weight_blocks_at_once(rows)                1 or 2
//   multiply(weight, blocks, packed, rows, k, prefetch, tile)    tile[blocks][rows][32]
// Jobs cover disjoint outputs and every element is one chain over K, so the split decides nothing about bits.
#pragma once

#include "activations.h"
#include "gemm.h"
#include "weight_layout.h"

#include <xmmintrin.h>

namespace nlm::cpu::NLM_FAMILY {

namespace {

// Where to prefetch while a weight block is read: `line` + step · `stride` for every 128 bytes of weights.
struct Prefetch {
    const char* line;
    int64_t stride;

    NLM_INLINE void at(int64_t step) const {
        const char* address = line + step * stride; // may lie past the weight: a prefetch never faults
        _mm_prefetch(address, _MM_HINT_T0);
        _mm_prefetch(address + stride / 2, _MM_HINT_T0);
    }
};

constexpr int64_t prefetch_distance = 4096; // bytes ahead of a stream from memory

// acc -> out for `count` columns from `column` of one row.
template <typename Out>
NLM_INLINE void finish_columns(const nlm_gemm_args& args, int64_t row, int64_t column, int count, Lanes value) {
    Out* out = static_cast<Out*>(args.out) + row * args.out_stride + column;
    if (args.residual != nullptr) {
        const Out* residual = static_cast<const Out*>(args.residual) + row * args.out_stride + column;
        value = value + (count == panel_columns ? load(residual) : load_first(residual, count));
    }
    if (count == panel_columns)
        store(out, value);
    else
        store_first(out, value, count);
}

template <typename Element> NLM_INLINE Lanes add_bias(const void* bias, int64_t column, int count, Lanes value) {
    return bias == nullptr ? value : value + load_first(static_cast<const Element*>(bias) + column, count);
}

NLM_INLINE Lanes activate(int32_t epilogue, Lanes x) {
    switch (epilogue) {
    case NLM_EPILOGUE_SILU_MUL:
        return silu(x);
    case NLM_EPILOGUE_RELU:
        return max(set(0.0f), x);
    case NLM_EPILOGUE_GELU:
        return gelu(x);
    case NLM_EPILOGUE_GELU_TANH:
    case NLM_EPILOGUE_GELU_TANH_MUL:
        return gelu_tanh(x);
    default:
        return x;
    }
}

// One tile [rows][32] of weight block `block` becomes `rows` rows of out from `first_row`.
template <typename Out, typename Element>
void finish_tile(const nlm_gemm_args& args, int64_t first_row, int rows, int64_t block, const float* tile) {
    const bool gated = args.epilogue == NLM_EPILOGUE_SILU_MUL || args.epilogue == NLM_EPILOGUE_GELU_TANH_MUL;
    const int64_t out_columns = gated ? args.n / 2 : args.n;
    const int panels = gated ? 1 : 2;
    for (int panel = 0; panel < panels; ++panel) {
        const int64_t column = (block * panels + panel) * panel_columns;
        if (column >= out_columns) return;
        const int count = out_columns - column < panel_columns ? static_cast<int>(out_columns - column) : panel_columns;
        for (int row = 0; row < rows; ++row) {
            const float* from = tile + row * block_columns + panel * panel_columns;
            Lanes value = activate(args.epilogue, add_bias<Element>(args.bias, column, count, load(from)));
            if (gated) value = value * add_bias<Element>(args.bias, out_columns + column, count, load(from + panel_columns));
            finish_columns<Out>(args, first_row + row, column, count, value);
        }
    }
}

template <typename Kernel> class Gemm {
    using Element = typename Kernel::Element;

public:
    explicit Gemm(const GemmCall& call)
        : args_(call.args), pool_(call.pool), rows_(call.rows),
          row_blocks_((call.rows + Kernel::row_block_rows - 1) / Kernel::row_block_rows),
          weight_blocks_(block_count(call.args.n)),
          weight_block_bytes_(block_elements(call.args.type_weight, call.args.k) * static_cast<int64_t>(sizeof(Element))),
          packed_row_bytes_(Kernel::packed_row_bytes(call.args.k)) {}

    void run() {
        pack_activations();
        plan();
        const int64_t groups = (weight_blocks_ + group_blocks_ - 1) / group_blocks_;
        const int64_t chunks = (row_blocks_ + chunk_blocks_ - 1) / chunk_blocks_;
        pool_.run(groups * chunks, [&](int64_t job, int) {
            const int64_t group = job / chunks, chunk = job % chunks;
            const int64_t last_weight = least((group + 1) * group_blocks_, weight_blocks_);
            const int64_t last_row = least((chunk + 1) * chunk_blocks_, row_blocks_);
            work(group * group_blocks_, last_weight, chunk * chunk_blocks_, last_row);
        });
    }

private:
    static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

    int64_t row_begin(int64_t row_block) const { return Kernel::row_begin(row_block, row_blocks_, rows_); }
    char* packed(int64_t row_block) const {
        return static_cast<char*>(args_.workspace) + row_begin(row_block) * packed_row_bytes_;
    }

    void pack_activations() {
        const auto pack = [&](int64_t b, int) {
            Kernel::pack(args_, row_begin(b), static_cast<int>(row_begin(b + 1) - row_begin(b)), packed(b));
        };
        if (static_cast<int64_t>(rows_) * args_.k > 65536) return pool_.run(row_blocks_, pack);
        for (int64_t b = 0; b < row_blocks_; ++b) pack(b, 0); // too little to wake anyone for
    }

    // Few rows: the weights stream from memory once, each job in one contiguous run; the row blocks that share a weight block
    // follow each other while it is in the cache. Many rows: a group of weight blocks stays in the cache and the row blocks pass
    // by, in chunks where there are too few groups for the threads.
    void plan() {
        const int64_t jobs_wanted = 4 * static_cast<int64_t>(pool_.thread_count());
        weights_outside_ = rows_ * packed_row_bytes_ <= (256 << 10);
        chunk_blocks_ = row_blocks_;
        group_blocks_ = (weight_blocks_ + jobs_wanted - 1) / jobs_wanted;
        if (!weights_outside_) {
            const int64_t resident = (512 << 10) / weight_block_bytes_;
            group_blocks_ = least(group_blocks_, resident < 1 ? 1 : resident);
        }
        if (group_blocks_ % 2 != 0 && group_blocks_ < weight_blocks_) ++group_blocks_; // kernels may take two at once
        const int64_t groups = (weight_blocks_ + group_blocks_ - 1) / group_blocks_;
        if (!weights_outside_ && groups < jobs_wanted) {
            const int64_t chunks = least((jobs_wanted + groups - 1) / groups, row_blocks_);
            chunk_blocks_ = (row_blocks_ + chunks - 1) / chunks;
        }
    }

    void work(int64_t first_weight, int64_t last_weight, int64_t first_row, int64_t last_row) const {
        Kernel kernel;
        const int64_t step =
            Kernel::weight_blocks_at_once(static_cast<int>((rows_ + row_blocks_ - 1) / row_blocks_)); // for the highest block
        if (weights_outside_) {
            for (int64_t w = first_weight; w < last_weight; w += step)
                for (int64_t r = first_row; r < last_row; ++r)
                    tile(kernel, w, least(step, last_weight - w), r, r - first_row, last_row - first_row);
        } else {
            for (int64_t r = first_row; r < last_row; ++r)
                for (int64_t w = first_weight; w < last_weight; w += step) tile(kernel, w, least(step, last_weight - w), r, 0, 1);
        }
    }

    // Row block `r` times `blocks` weight blocks from `w`, the `pass`-th of `passes` over these weights. A single pass prefetches
    // a little ahead of itself; several passes share the fetching of the next weights, so memory never idles.
    void tile(Kernel& kernel, int64_t w, int64_t blocks, int64_t r, int64_t pass, int64_t passes) const {
        const char* weight = static_cast<const char*>(args_.weight) + w * weight_block_bytes_;
        Prefetch prefetch{weight + prefetch_distance, 128};
        if (passes > 1) prefetch = {weight + blocks * weight_block_bytes_ + pass * weight_block_bytes_ / passes, 128 / passes};
        const int rows = static_cast<int>(row_begin(r + 1) - row_begin(r));
        alignas(64) float sums[Kernel::tile_floats];
        kernel.multiply(reinterpret_cast<const Element*>(weight), static_cast<int>(blocks), packed(r), rows, args_.k, prefetch,
                        sums);
        for (int64_t b = 0; b < blocks; ++b) {
            const float* from = sums + b * rows * block_columns;
            if (args_.type_out == NLM_F32)
                finish_tile<float, Element>(args_, row_begin(r), rows, w + b, from);
            else
                finish_tile<Element, Element>(args_, row_begin(r), rows, w + b, from);
        }
    }

    const nlm_gemm_args& args_;
    ThreadPool& pool_;
    const int32_t rows_;
    const int64_t row_blocks_, weight_blocks_, weight_block_bytes_, packed_row_bytes_;
    bool weights_outside_ = true;
    int64_t group_blocks_ = 1, chunk_blocks_ = 1;
};

// Row blocks of nearly equal height.
NLM_INLINE int64_t balanced_row_begin(int64_t row_block, int64_t row_blocks, int64_t rows) {
    return row_block * rows / row_blocks;
}

} // namespace

} // namespace nlm::cpu::NLM_FAMILY
