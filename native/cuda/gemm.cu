// nlm_gemm: argument checks, the workspace and the choice of the path.
//
// Sums of 16-bit types are cut into splits of k by the shape of the weight alone (split_count). Paths differ in where splits are
// computed and kept, never in their order: by the warps of one block (up to 16 rows), by several blocks and added by a reducing
// kernel (few tiles), or one after the other by the block that owns the tile.
#include "gemm.h"

#include "device/segment.cuh"
#include "linear_args.h"

#include <algorithm>

namespace nlm::simt {
namespace {

constexpr int align_threads = 128;

// Copies x into rows of whole K tiles that begin on 16 bytes, zeros behind: what the asynchronous copies of the kernels need.
template <typename T> NLM_KERNEL NLM_LAUNCH_BOUNDS(align_threads, 4) gemm_align_rows(GemmParameters p, T* aligned) {
    const int64_t stride = padded(p.k), item = int64_t{block_index()} * align_threads + thread_index();
    const int64_t row = item / (stride / segment), column = item % (stride / segment) * segment;
    if (row >= row_count(p)) return;
    const T* x = static_cast<const T*>(p.x) + row * p.x_stride + column;
    Vec<T, segment> values;
#pragma unroll
    for (int j = 0; j < segment; ++j) values[j] = column + j < p.k ? load(x + j) : T{};
    store_vector(aligned + row * stride + column, values);
}

template <typename T> void align_rows(GemmParameters& p, T* aligned, cudaStream_t stream) {
    const int64_t stride = padded(p.k);
    launch(gemm_align_rows<T>, {ceil_div(p.rows_max * (stride / segment), int64_t{align_threads}), 1, align_threads}, stream, p,
           aligned);
    p.x = aligned;
    p.x_stride = stride;
    p.k = static_cast<int32_t>(stride);
}

} // namespace
} // namespace nlm::simt

namespace nlm::cuda {

using namespace nlm::simt;

// Few columns need several splits: the chip must have enough bytes of the weight under way when there is one row. Each split is
// at least four K tiles long.
int32_t split_count(int32_t n, int32_t k_tiles) {
    int32_t splits = n >= 8192 ? 1 : n >= 4096 ? 2 : 4;
    while (splits > 1 && k_tiles < 4 * splits) splits /= 2;
    return splits;
}

namespace {

// Rows of x that are copied at once where they are not aligned.
constexpr int32_t aligned_rows_max = 256;

// The workspace of a call of 16-bit types: a copy of unaligned rows, then sums of splits.
struct Workspace {
    int64_t aligned_bytes = 0, partials_bytes = 0;
    int64_t bytes() const { return aligned_bytes + partials_bytes; }
};

int64_t round_up(int64_t count, int64_t unit) {
    return ceil_div(count, unit) * unit;
}

// Never shrinks when rows grow, so that one workspace serves every smaller call.
Workspace workspace_of(const nlm_gemm_args& args) {
    if (args.type_x == NLM_F32) return {};
    const int64_t rows = args.rows_max, columns = padded(args.n), k = padded(args.k);
    const int64_t splits = split_count(args.n, static_cast<int32_t>(k / k_tile));
    Workspace workspace;
    workspace.aligned_bytes = checked_product(std::min<int64_t>(rows, aligned_rows_max), k * 2, "workspace");
    if (splits == 1) return workspace;
    const int64_t of_blocks = splits * std::min<int64_t>(rows, split_block_rows_max) * columns;
    const int64_t of_tiles = std::min(round_up(rows, 256) * round_up(columns, 256), running_sums_max);
    workspace.partials_bytes = std::max(of_blocks, of_tiles) * static_cast<int64_t>(sizeof(float));
    return workspace;
}

bool aligned_input(const nlm_gemm_args& args) {
    return is_vector_aligned(args.x) && is_vector_aligned(args.x_stride * 2) && args.k % segment == 0;
}

GemmParameters parameters_of(const nlm_gemm_args& args) {
    const int64_t out_bytes = type_bytes(args.type_out);
    GemmParameters p{};
    p.out = args.out, p.x = args.x, p.weight = args.weight, p.bias = args.bias, p.residual = args.residual, p.rows = args.rows;
    p.x_stride = args.x_stride, p.out_stride = args.out_stride;
    p.rows_total = p.rows_max = args.rows_max;
    p.n = args.n, p.k = args.k;
    p.k_tiles = static_cast<int32_t>(padded(args.k) / k_tile);
    p.splits = split_count(p.n, p.k_tiles);
    p.epilogue = args.epilogue;
    p.out_is_float = args.type_out == NLM_F32;
    p.vector_out = is_vector_aligned(args.out) && is_vector_aligned(args.out_stride * out_bytes) &&
                   (args.residual == nullptr || is_vector_aligned(args.residual));
    return p;
}

// Rows [first, first + count) of the call.
GemmParameters rows_of(GemmParameters p, const nlm_gemm_args& args, int32_t first, int32_t count) {
    const int64_t out_offset = first * args.out_stride * type_bytes(args.type_out);
    p.x = static_cast<const char*>(args.x) + first * args.x_stride * type_bytes(args.type_x);
    p.out = static_cast<char*>(args.out) + out_offset;
    if (args.residual != nullptr) p.residual = static_cast<const char*>(args.residual) + out_offset;
    p.row_first = first;
    p.rows_max = count;
    return p;
}

template <typename T> void gemm_16_bit(const GemmParameters& p, const nlm_device& device, cudaStream_t stream) {
    if (device.sm90a)
        sm90a::gemm<T>(p, device, stream);
    else if (p.rows_max <= skinny_rows_max)
        gemm_skinny<T>(p, stream);
    else
        gemm_tiled<T>(p, device, stream);
}

template <typename T> void run(const nlm_gemm_args& args, const nlm_device& device, cudaStream_t stream) {
    GemmParameters p = parameters_of(args);
    char* workspace = static_cast<char*>(args.workspace);
    p.partials = reinterpret_cast<float*>(workspace + workspace_of(args).aligned_bytes);
    if (aligned_input(args)) return gemm_16_bit<T>(p, device, stream);
    for (int32_t first = 0; first < args.rows_max; first += aligned_rows_max) {
        GemmParameters part = rows_of(p, args, first, std::min(aligned_rows_max, args.rows_max - first));
        align_rows(part, reinterpret_cast<T*>(workspace), stream);
        gemm_16_bit<T>(part, device, stream);
    }
}

} // namespace

} // namespace nlm::cuda

NLM_API int64_t nlm_gemm_workspace_bytes(const nlm_gemm_args* args) {
    using namespace nlm;
    int64_t bytes = -1;
    guard("nlm_gemm_workspace_bytes", [&] {
        check_args(args);
        check_shape(*args);
        bytes = cuda::workspace_of(*args).bytes();
    });
    return bytes;
}

NLM_API int32_t nlm_gemm(nlm_stream* stream, const nlm_gemm_args* args) {
    using namespace nlm;
    return guard("nlm_gemm", [&] {
        check_call(stream, args);
        check_shape(*args);
        check_types(*args);
        if (args->rows_max == 0) return;
        check(*args, cuda::workspace_of(*args).bytes());
        const nlm_device& device = use_device(stream);
        if (args->type_x == NLM_BF16) return cuda::run<simt::bf16>(*args, device, stream->stream);
        if (args->type_x == NLM_F16) return cuda::run<simt::f16>(*args, device, stream->stream);
        cuda::gemm_f32(cuda::parameters_of(*args), stream->stream);
    });
}
