// Packing of weights at load: the host's rows travel through the device's staging memory and are converted there.
#include "device/weight_layout.cuh"
#include "linear_args.h"
#include "runtime.h"

#include <algorithm>
#include <cstring>

namespace nlm::simt {
namespace {

constexpr int pack_threads = 256;
constexpr int pack_elements = 8; // of one thread

// A rectangle of a part: rows x columns elements that lie densely in device memory.
struct PackPiece {
    void* packed;
    const void* staged;
    int64_t packed_stride;
    int64_t row, column; // of the part, where the rectangle begins
    int32_t rows, columns;
    int32_t role;
};

template <typename Target, typename Source> NLM_KERNEL NLM_LAUNCH_BOUNDS(pack_threads, 4) pack_rows(PackPiece piece) {
    const int count = piece.rows * piece.columns;
    const int first = block_index() * (pack_threads * pack_elements) + thread_index();
    for (int i = first; i < count && i < first + pack_threads * pack_elements; i += pack_threads) {
        const int64_t row = packed_row(piece.role, piece.row + i / piece.columns), column = piece.column + i % piece.columns;
        const float value = to_float(load(static_cast<const Source*>(piece.staged) + i));
        store(static_cast<Target*>(piece.packed) + row * piece.packed_stride + column, from_float<Target>(value));
    }
}

template <typename Target> void launch_pack(const PackPiece& piece, int32_t type_source, cudaStream_t queue) {
    const Launch shape{ceil_div(int64_t{piece.rows} * piece.columns, int64_t{pack_threads * pack_elements}), 1, pack_threads};
    if (type_source == NLM_BF16) return launch(pack_rows<Target, bf16>, shape, queue, piece);
    if (type_source == NLM_F16) return launch(pack_rows<Target, f16>, shape, queue, piece);
    return launch(pack_rows<Target, float>, shape, queue, piece);
}

// One rectangle: copied before this returns, converted in stream order.
void pack_piece(const nlm_pack_weight_args& args, PackPiece piece, cuda::Staging& staging, cudaStream_t queue) {
    const int64_t element = type_bytes(args.type_source);
    const size_t bytes = static_cast<size_t>(int64_t{piece.rows} * piece.columns * element);
    const int64_t first = (piece.row - args.row_offset) * args.k + piece.column;
    cuda::Staging::Half& half = staging.next();
    std::memcpy(half.pinned, static_cast<const char*>(args.source) + first * element, bytes);
    check_cuda(cudaMemcpyAsync(half.device, half.pinned, bytes, cudaMemcpyHostToDevice, queue), "cudaMemcpyAsync");
    piece.staged = half.device;
    if (args.type == NLM_BF16)
        launch_pack<bf16>(piece, args.type_source, queue);
    else if (args.type == NLM_F16)
        launch_pack<f16>(piece, args.type_source, queue);
    else
        launch_pack<float>(piece, args.type_source, queue);
    check_cuda(cudaEventRecord(half.used, queue), "cudaEventRecord");
}

// Whole rows at a time, or parts of one where a row is longer than the staging memory.
void pack(const nlm_pack_weight_args& args, cuda::Staging& staging, cudaStream_t queue) {
    const int64_t elements = static_cast<int64_t>(cuda::Staging::half_bytes) / type_bytes(args.type_source);
    const int32_t columns = static_cast<int32_t>(std::min<int64_t>(args.k, elements));
    const int32_t rows = static_cast<int32_t>(std::min<int64_t>(args.source_rows, elements / columns));
    const std::lock_guard<std::mutex> lock(staging.lock);
    for (int32_t row = 0; row < args.source_rows; row += rows)
        for (int32_t column = 0; column < args.k; column += columns)
            pack_piece(args,
                       {args.packed, nullptr, padded(args.k), int64_t{args.row_offset} + row, column,
                        std::min(rows, args.source_rows - row), std::min(columns, args.k - column), args.role},
                       staging, queue);
}

} // namespace
} // namespace nlm::simt

NLM_API int64_t nlm_packed_weight_bytes(int32_t type, int32_t n, int32_t k) {
    using namespace nlm;
    int64_t bytes = -1;
    guard("nlm_packed_weight_bytes", [&] {
        check_weight_shape(type, n, k);
        bytes = checked_product(simt::padded(n), simt::padded(k) * type_bytes(type), "n, k");
    });
    return bytes;
}

NLM_API int32_t nlm_pack_weight(nlm_stream* stream, const nlm_pack_weight_args* args) {
    using namespace nlm;
    return guard("nlm_pack_weight", [&] {
        check_call(stream, args);
        check(*args);
        if (args->source_rows == 0) return;
        refuse_in_capture("packing a weight");
        nlm_device& device = use_device(stream);
        simt::pack(*args, device.staging, stream->stream);
    });
}
