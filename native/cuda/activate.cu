// nlm_activate: elementwise and gated activations that no gemm epilogue could take.
#include "device/activations.cuh"
#include "device/pieces.cuh"
#include "row_args.h"
#include "runtime.h"

namespace nlm::simt {
namespace {

constexpr int activate_threads = 128;

// One piece of a row per thread; blocks_per_row blocks share a row.
template <typename T, int32_t Kind> NLM_KERNEL NLM_LAUNCH_BOUNDS(activate_threads, 8)
    activate_rows(nlm_activate_args args, int blocks_per_row, bool wide) {
    const int64_t row = block_index() / blocks_per_row;
    if (row >= true_count(args.rows, args.rows_max)) return;
    const int64_t piece = static_cast<int64_t>(block_index() % blocks_per_row) * activate_threads + thread_index();
    const int64_t first = piece * piece_columns, columns = args.columns;
    const int count = piece_size(args.columns, first);
    if (count == 0) return;
    const T* x = static_cast<const T*>(args.x) + row * columns * (is_gated(Kind) ? 2 : 1) + first;
    float y[piece_columns], up[piece_columns];
    load_piece(x, count, wide, y);
    for (int i = 0; i < piece_columns; ++i) y[i] = activation<Kind>(y[i]);
    if constexpr (is_gated(Kind)) {
        load_piece(x + columns, count, wide, up);
        for (int i = 0; i < piece_columns; ++i) y[i] *= up[i];
    }
    store_piece(static_cast<T*>(args.out) + row * columns + first, count, wide, y);
}

template <typename T, int32_t Kind> void launch_kind(const nlm_activate_args& args, cudaStream_t stream) {
    const int blocks_per_row = static_cast<int>(ceil_div(int64_t{args.columns}, int64_t{activate_threads * piece_columns}));
    const bool wide = rows_are_wide(args.x, args.columns, sizeof(T)) && rows_are_wide(args.out, args.columns, sizeof(T));
    launch(activate_rows<T, Kind>, {int64_t{args.rows_max} * blocks_per_row, 1, activate_threads}, stream, args, blocks_per_row,
           wide);
}

template <typename T> void launch_activate(const nlm_activate_args& args, cudaStream_t stream) {
    switch (args.kind) {
    case NLM_EPILOGUE_SILU_MUL:
        return launch_kind<T, NLM_EPILOGUE_SILU_MUL>(args, stream);
    case NLM_EPILOGUE_RELU:
        return launch_kind<T, NLM_EPILOGUE_RELU>(args, stream);
    case NLM_EPILOGUE_GELU:
        return launch_kind<T, NLM_EPILOGUE_GELU>(args, stream);
    case NLM_EPILOGUE_GELU_TANH:
        return launch_kind<T, NLM_EPILOGUE_GELU_TANH>(args, stream);
    default:
        return launch_kind<T, NLM_EPILOGUE_GELU_TANH_MUL>(args, stream);
    }
}

} // namespace
} // namespace nlm::simt

NLM_API int32_t nlm_activate(nlm_stream* stream, const nlm_activate_args* args) {
    using namespace nlm;
    return guard("nlm_activate", [&] {
        check_call(stream, args);
        if (args->rows_max == 0) return;
        check(*args);
        const cudaStream_t queue = cuda_stream(stream);
        if (args->type == NLM_BF16)
            simt::launch_activate<simt::bf16>(*args, queue);
        else if (args->type == NLM_F16)
            simt::launch_activate<simt::f16>(*args, queue);
        else
            simt::launch_activate<float>(*args, queue);
    });
}
