// nlm_norm: RMSNorm and LayerNorm with the residual sum in front. One block per row; sums go over a thread's pieces ascending,
// then through the block's tree: an order that the column count alone decides.
#include "device/pieces.cuh"
#include "device/reduce.cuh"
#include "row_args.h"
#include "runtime.h"

namespace nlm::simt {
namespace {

constexpr int threads_max = 1024;

struct NormShared {
    WarpResults<float> sums, squares;
};

// One row as a thread of its block sees it. Pieces per thread > 0: the thread's part of s stays in registers; 0: rows too wide
// for that, s is made again each time.
template <typename T, int Pieces> struct NormRow {
    const nlm_norm_args& args;
    bool wide;
    int64_t row;
    float kept[Pieces > 0 ? Pieces : 1][piece_columns];

    NLM_DEVICE int64_t column(int piece) const {
        return (static_cast<int64_t>(piece) * thread_count() + thread_index()) * piece_columns;
    }
    NLM_DEVICE const T* residual_in() const { return static_cast<const T*>(args.residual_in) + row * args.columns; }
    NLM_DEVICE T* residual_out() const { return static_cast<T*>(args.residual_out) + row * args.columns; }

    // x + residual, rounded to the type of the residual stream: as the next layer will read it.
    NLM_DEVICE void add(int64_t first, int count, float (&s)[piece_columns]) const {
        if (args.x == nullptr) return load_piece(residual_in() + first, count, wide, s);
        load_piece(static_cast<const T*>(args.x) + row * args.x_stride + first, count, wide, s);
        if (args.residual_in == nullptr) return;
        float residual[piece_columns];
        load_piece(residual_in() + first, count, wide, residual);
        for (int i = 0; i < piece_columns; ++i) s[i] = to_float(from_float<T>(s[i] + residual[i]));
    }
    // Reads the row and hands the sum on. residual_out may be an input: a thread reads a piece before it writes it.
    NLM_DEVICE void open() {
        each_column([&](int piece, int64_t first, int count) {
            float s[piece_columns];
            add(first, count, s);
            if (args.residual_out != nullptr) store_piece(residual_out() + first, count, wide, s);
            if constexpr (Pieces > 0)
                for (int i = 0; i < piece_columns; ++i) kept[piece][i] = s[i];
        });
    }
    NLM_DEVICE void load_sum(int piece, int64_t first, int count, float (&s)[piece_columns]) const {
        if constexpr (Pieces > 0) {
            for (int i = 0; i < piece_columns; ++i) s[i] = kept[piece][i];
        } else if (args.residual_out != nullptr) {
            load_piece(residual_out() + first, count, wide, s); // an input may be overwritten
        } else {
            add(first, count, s);
        }
    }
    template <typename Body> NLM_DEVICE void each_column(const Body& body) const {
        if constexpr (Pieces > 0) {
#pragma unroll
            for (int piece = 0; piece < Pieces; ++piece) body(piece, column(piece), piece_size(args.columns, column(piece)));
        } else {
            for (int piece = 0; column(piece) < args.columns; ++piece)
                body(piece, column(piece), piece_size(args.columns, column(piece)));
        }
    }
    // Sum over this thread's columns of f(s).
    template <typename Function> NLM_DEVICE float sum(const Function& f) const {
        float total = 0;
        each_column([&](int piece, int64_t first, int count) {
            float s[piece_columns];
            load_sum(piece, first, count, s);
            for (int i = 0; i < piece_columns; ++i)
                if (i < count) total += f(s[i]);
        });
        return total;
    }
    NLM_DEVICE void close(float mean, float inverse) const {
        each_column([&](int piece, int64_t first, int count) {
            float y[piece_columns], factor[piece_columns];
            load_sum(piece, first, count, y);
            for (int i = 0; i < piece_columns; ++i) y[i] = (y[i] - mean) * inverse;
            if (args.weight != nullptr) {
                load_piece(static_cast<const T*>(args.weight) + first, count, wide, factor);
                for (int i = 0; i < piece_columns; ++i) y[i] *= factor[i] + args.weight_offset;
            }
            if (args.bias != nullptr) {
                load_piece(static_cast<const T*>(args.bias) + first, count, wide, factor);
                for (int i = 0; i < piece_columns; ++i) y[i] += factor[i];
            }
            store_piece(static_cast<T*>(args.out) + row * args.out_stride + first, count, wide, y);
        });
    }
};

template <typename T, int Pieces> NLM_KERNEL NLM_LAUNCH_BOUNDS(threads_max, 1) norm_rows(nlm_norm_args args, bool wide) {
    if (block_index() >= true_count(args.rows, args.rows_max)) return; // the whole block
    auto& shared = shared_memory<NormShared>();
    NormRow<T, Pieces> row{args, wide, block_index(), {}};
    row.open();
    const float columns = static_cast<float>(args.columns);
    float mean = 0;
    if (args.kind == NLM_NORM_LAYER) mean = reduce_block(row.sum([](float s) { return s; }), 0.0f, Sum{}, shared.sums) / columns;
    const float own = row.sum([mean](float s) { return (s - mean) * (s - mean); });
    const float squares = reduce_block(own, 0.0f, Sum{}, shared.squares);
    row.close(mean, 1.0f / sqrtf(squares / columns + args.epsilon));
}

template <typename T> void launch_norm(const nlm_norm_args& args, cudaStream_t stream) {
    const int pieces = (args.columns - 1) / piece_columns + 1;
    const int block = pieces >= threads_max ? threads_max : ceil_div(pieces, warp_size) * warp_size;
    bool wide = rows_are_wide(args.x, args.x_stride, sizeof(T)) && rows_are_wide(args.out, args.out_stride, sizeof(T));
    for (const void* dense : {args.residual_in, static_cast<const void*>(args.residual_out)})
        wide = wide && rows_are_wide(dense, args.columns, sizeof(T));
    for (const void* vector : {args.weight, args.bias}) wide = wide && rows_are_wide(vector, 0, sizeof(T));
    const Launch shape{args.rows_max, 1, block, sizeof(NormShared)};
    if (pieces <= block)
        launch(norm_rows<T, 1>, shape, stream, args, wide);
    else if (pieces <= 2 * block)
        launch(norm_rows<T, 2>, shape, stream, args, wide);
    else
        launch(norm_rows<T, 0>, shape, stream, args, wide);
}

} // namespace
} // namespace nlm::simt

NLM_API int32_t nlm_norm(nlm_stream* stream, const nlm_norm_args* args) {
    using namespace nlm;
    return guard("nlm_norm", [&] {
        check_call(stream, args);
        if (args->rows_max == 0) return;
        check(*args);
        const cudaStream_t queue = cuda_stream(stream);
        if (args->type == NLM_BF16)
            simt::launch_norm<simt::bf16>(*args, queue);
        else if (args->type == NLM_F16)
            simt::launch_norm<simt::f16>(*args, queue);
        else
            simt::launch_norm<float>(*args, queue);
    });
}
