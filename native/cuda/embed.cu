// nlm_embed: rows gathered from the packed table. One block per row.
#include "device/segment.cuh"
#include "device/weight_layout.cuh"
#include "linear_args.h"
#include "runtime.h"

namespace nlm::simt {
namespace {

constexpr int embed_threads = 128;

// Row of the position table that belongs to row `row` of the output, bounded; null without a table.
template <typename Table> NLM_DEVICE const Table* position_row(const nlm_embed_args& args, int row) {
    if (args.position_table == nullptr) return nullptr;
    const int64_t index = int64_t{load(args.positions + row)} + args.position_offset, last = args.position_rows - 1;
    return static_cast<const Table*>(args.position_table) + (index < 0 ? 0 : index < last ? index : last) * args.columns;
}

NLM_DEVICE float embedded(float value, float scale, bool has_position, float position) {
    const float scaled = scale * value;
    return has_position ? scaled + position : scaled;
}

template <typename Out, typename Table>
NLM_DEVICE void embed_segments(const nlm_embed_args& args, Out* out, const Table* table, const Table* position) {
    for (int column = thread_index() * segment; column < args.columns; column += embed_threads * segment) {
        float values[segment] = {}, added[segment] = {};
        if (table != nullptr) load_segment(table + column, values);
        if (table != nullptr && position != nullptr) load_segment(position + column, added);
        for (int j = 0; j < segment; ++j)
            values[j] = table == nullptr ? 0.0f : embedded(values[j], args.scale, position != nullptr, added[j]);
        store_segment(out + column, values);
    }
}

template <typename Out, typename Table>
NLM_DEVICE void embed_each(const nlm_embed_args& args, Out* out, const Table* table, const Table* position) {
    for (int column = thread_index(); column < args.columns; column += embed_threads) {
        float value = 0.0f;
        if (table != nullptr)
            value = embedded(to_float(load(table + column)), args.scale, position != nullptr,
                             position == nullptr ? 0.0f : to_float(load(position + column)));
        store(out + column, from_float<Out>(value));
    }
}

template <typename Out, typename Table, bool Vectors> NLM_KERNEL NLM_LAUNCH_BOUNDS(embed_threads, 4) embed(nlm_embed_args args) {
    const int row = block_index();
    if (row >= true_count(args.rows, args.rows_max)) return;
    const int32_t id = load(args.ids + row);
    const bool is_known = id >= 0 && id < args.vocabulary; // others give a row of zeros
    const Table* table = is_known ? static_cast<const Table*>(args.table) + id * padded(args.columns) : nullptr;
    const Table* position = position_row<Table>(args, row);
    Out* out = static_cast<Out*>(args.out) + int64_t{row} * args.columns;
    if constexpr (Vectors)
        embed_segments(args, out, table, position);
    else
        embed_each(args, out, table, position);
}

template <typename Out, typename Table> void launch_embed(const nlm_embed_args& args, cudaStream_t queue) {
    const bool vectors = args.columns % segment == 0 && is_vector_aligned(args.out) && is_vector_aligned(args.position_table);
    launch(vectors ? embed<Out, Table, true> : embed<Out, Table, false>, {args.rows_max, 1, embed_threads}, queue, args);
}

template <typename Out> void launch_embed(const nlm_embed_args& args, cudaStream_t queue) {
    if (args.type_table == NLM_BF16) return launch_embed<Out, bf16>(args, queue);
    if (args.type_table == NLM_F16) return launch_embed<Out, f16>(args, queue);
    return launch_embed<Out, float>(args, queue);
}

} // namespace
} // namespace nlm::simt

NLM_API int32_t nlm_embed(nlm_stream* stream, const nlm_embed_args* args) {
    using namespace nlm;
    return guard("nlm_embed", [&] {
        check_call(stream, args);
        check(*args);
        if (args->rows_max == 0) return;
        const cudaStream_t queue = cuda_stream(stream);
        if (args->type_out == NLM_BF16) return simt::launch_embed<simt::bf16>(*args, queue);
        if (args->type_out == NLM_F16) return simt::launch_embed<simt::f16>(*args, queue);
        simt::launch_embed<float>(*args, queue);
    });
}
