// Embedding: rows gathered from the packed table, so a tied embedding is held once.
#include "graph.h"
#include "lanes.h"
#include "linear_args.h"
#include "weight_layout.h"

#include <algorithm>
#include <type_traits>

using namespace nlm;
using namespace nlm::cpu;
using scalar::Bf16;
using scalar::F16;

namespace {

template <typename Out, typename Table> void embed_row(const nlm_embed_args& args, int64_t row) {
    Out* out = static_cast<Out*>(args.out) + row * args.columns;
    const int32_t id = args.ids[row];
    if (id < 0 || id >= args.vocabulary) {
        std::fill(out, out + args.columns, Out{});
        return;
    }
    constexpr int32_t type = std::is_same_v<Table, Bf16> ? NLM_BF16 : std::is_same_v<Table, F16> ? NLM_F16 : NLM_F32;
    const Table* block = static_cast<const Table*>(args.table) + id / block_columns * block_elements(type, args.columns);
    const Table* position = nullptr;
    if (args.position_table != nullptr) {
        const int64_t index = static_cast<int64_t>(args.positions[row]) + args.position_offset;
        const int64_t bounded = std::clamp<int64_t>(index, 0, args.position_rows - 1);
        position = static_cast<const Table*>(args.position_table) + bounded * args.columns;
    }
    for (int32_t k = 0; k < args.columns; ++k) {
        float value = args.scale * scalar::to_float(block[element_in_block(type, k, id % block_columns)]);
        if (position != nullptr) value += scalar::to_float(position[k]);
        out[k] = scalar::from_float<Out>(value);
    }
}

template <typename Out> void embed_typed(const nlm_embed_args& args, int64_t row) {
    switch (args.type_table) {
    case NLM_BF16:
        return embed_row<Out, Bf16>(args, row);
    case NLM_F16:
        return embed_row<Out, F16>(args, row);
    default:
        return embed_row<Out, float>(args, row);
    }
}

} // namespace

extern "C" int32_t nlm_embed(nlm_stream* stream, const nlm_embed_args* args) {
    return guard("nlm_embed", [&] {
        check_call(stream, args);
        check(*args);
        submit(stream, [device = stream->device, call = *args] {
            device->pool.run(true_count(call.rows, call.rows_max), [&](int64_t row, int) {
                switch (call.type_out) {
                case NLM_BF16:
                    return embed_typed<Bf16>(call, row);
                case NLM_F16:
                    return embed_typed<F16>(call, row);
                default:
                    return embed_typed<float>(call, row);
                }
            });
        });
    });
}
