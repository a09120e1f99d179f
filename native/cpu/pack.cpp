// Packing of weights at load: a transpose into panels, with conversion, in parallel over panels.
#include "graph.h"
#include "lanes.h"
#include "linear_args.h"
#include "weight_layout.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

using namespace nlm;
using namespace nlm::cpu;
using scalar::Bf16;
using scalar::F16;

namespace {

// The source may be a file mapping, which keeps no alignment.
template <typename Target, typename Source> Target convert(const char* p) {
    Source value;
    std::memcpy(&value, p, sizeof value);
    if constexpr (std::is_same_v<Target, Source>)
        return value;
    else
        return scalar::from_float<Target>(scalar::to_float(value));
}

// Source rows [first, first + count) become columns [column, column + count) of one panel.
struct PanelPart {
    int64_t block;
    int32_t column; // within the block
    int32_t first, count;
};

// Where a part's panel q (16 consecutive rows of the part's own numbering) lies in the packed weight.
PanelPart locate(const nlm_pack_weight_args& args, int32_t q) {
    const int32_t begin = std::max(q * panel_columns, args.row_offset);
    const int32_t end = std::min((q + 1) * panel_columns, args.row_offset + args.source_rows);
    const int32_t panel = args.role == NLM_ROLE_PLAIN ? q % 2 : args.role == NLM_ROLE_UP;
    const int64_t block = args.role == NLM_ROLE_PLAIN ? q / 2 : q;
    return {block, panel * panel_columns + begin % panel_columns, begin - args.row_offset, end - begin};
}

// K in chunks of one step: the reads of each source row and the writes of the panel stay within a few cache lines.
template <typename Target, typename Source> void pack_panel(const nlm_pack_weight_args& args, int32_t q) {
    const PanelPart part = locate(args, q);
    constexpr int32_t type = std::is_same_v<Target, Bf16> ? NLM_BF16 : std::is_same_v<Target, F16> ? NLM_F16 : NLM_F32;
    Target* block = static_cast<Target*>(args.packed) + part.block * block_elements(type, args.k);
    const int64_t row_bytes = static_cast<int64_t>(args.k) * static_cast<int64_t>(sizeof(Source));
    const char* source = static_cast<const char*>(args.source) + part.first * row_bytes;
    constexpr int64_t stride = type == NLM_BF16 ? 2 * panel_columns : block_columns; // from one pair (or k) to the next
    constexpr int32_t together = type == NLM_BF16 ? 2 : 1;                           // neighbours in k
    for (int32_t k = 0; k < args.k; k += k_step) {
        const int32_t count = std::min(k_step, args.k - k);
        for (int32_t row = 0; row < part.count; ++row) {
            Target* to = block + element_in_block(type, k, part.column + row);
            const char* from = source + row * row_bytes + k * static_cast<int64_t>(sizeof(Source));
            int32_t i = 0;
            for (; i + together <= count; i += together, to += stride) {
                Target values[together];
                for (int32_t j = 0; j < together; ++j) values[j] = convert<Target, Source>(from + (i + j) * sizeof(Source));
                std::memcpy(to, values, sizeof values);
            }
            if (i < count) *to = convert<Target, Source>(from + i * sizeof(Source));
        }
    }
}

template <typename Target> void pack_typed(ThreadPool& pool, const nlm_pack_weight_args& args) {
    const int32_t first = args.row_offset / panel_columns, last = (args.row_offset + args.source_rows - 1) / panel_columns;
    pool.run(last - first + 1, [&](int64_t job, int) {
        const int32_t q = first + static_cast<int32_t>(job);
        switch (args.type_source) {
        case NLM_BF16:
            return pack_panel<Target, Bf16>(args, q);
        case NLM_F16:
            return pack_panel<Target, F16>(args, q);
        default:
            return pack_panel<Target, float>(args, q);
        }
    });
}

} // namespace

extern "C" int64_t nlm_packed_weight_bytes(int32_t type, int32_t n, int32_t k) {
    int64_t bytes = -1;
    guard("nlm_packed_weight_bytes", [&] {
        check_weight_shape(type, n, k);
        bytes = checked_product(block_count(n), block_elements(type, k) * type_bytes(type), "n, k");
    });
    return bytes;
}

extern "C" int32_t nlm_pack_weight(nlm_stream* stream, const nlm_pack_weight_args* args) {
    return guard("nlm_pack_weight", [&] {
        check_call(stream, args);
        check(*args);
        if (args->source_rows == 0) return;
        refuse_while_recording(stream);
        switch (args->type) {
        case NLM_BF16:
            return pack_typed<Bf16>(stream->device->pool, *args);
        case NLM_F16:
            return pack_typed<F16>(stream->device->pool, *args);
        default:
            return pack_typed<float>(stream->device->pool, *args);
        }
    });
}
