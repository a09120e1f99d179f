// Row norms of one instruction family; see norm.cpp.
#pragma once

#include "lanes.h"
#include "nativelm.h"

namespace nlm::cpu::NLM_FAMILY {

// Sum of f(i, count) over the columns in steps of 16 lanes: four running sums taken in turn, then one tree. The order is a
// function of the column count only.
template <typename Function> NLM_INLINE float sum_columns(int columns, const Function& f) {
    Lanes sums[4] = {set(0.0f), set(0.0f), set(0.0f), set(0.0f)};
    int i = 0;
    for (; i + 64 <= columns; i += 64) {
        for (int part = 0; part < 4; part++) sums[part] = sums[part] + f(i + 16 * part, 16);
    }
    for (int part = 0; i < columns; i += 16, part++) sums[part] = sums[part] + f(i, columns - i < 16 ? columns - i : 16);
    return sum_of((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

template <typename T> NLM_INLINE Lanes load_some(const T* p, int count) {
    return count == 16 ? load(p) : load_first(p, count);
}
template <typename T> NLM_INLINE void store_some(T* p, Lanes x, int count) {
    if (count == 16) {
        store(p, x);
    } else {
        store_first(p, x, count);
    }
}

template <typename T> void norm_row(const nlm_norm_args& args, int64_t row) {
    const int columns = args.columns;
    const T* x = args.x ? static_cast<const T*>(args.x) + row * args.x_stride : nullptr;
    const T* residual = args.residual_in ? static_cast<const T*>(args.residual_in) + row * columns : nullptr;
    T* sum = args.residual_out ? static_cast<T*>(args.residual_out) + row * columns : nullptr;
    T* out = static_cast<T*>(args.out) + row * args.out_stride;
    const T* weight = static_cast<const T*>(args.weight);
    const T* bias = static_cast<const T*>(args.bias);

    // The sum is normalised as the next layer will read it: rounded to the type of the residual stream.
    const auto add = [&](int i, int count) {
        if (!residual) return load_some(x + i, count);
        if (!x) return load_some(residual + i, count);
        T rounded[16];
        store(rounded, load_some(x + i, count) + load_some(residual + i, count));
        return load(rounded);
    };
    if (sum) {
        for (int i = 0; i < columns; i += 16) {
            const int count = columns - i < 16 ? columns - i : 16;
            store_some(sum + i, add(i, count), count);
        }
    }
    const auto s = [&](int i, int count) { return sum ? load_some(sum + i, count) : add(i, count); };

    float mean = 0;
    if (args.kind == NLM_NORM_LAYER) mean = sum_columns(columns, s) / static_cast<float>(columns);
    const auto centred = [&](int i, int count) {
        const Lanes c = s(i, count) - set(mean);
        return count == 16 ? c : select(lanes_between(0, count), c, set(0.0f));
    };
    const float squares = sum_columns(columns, [&](int i, int count) {
        const Lanes c = centred(i, count);
        return c * c;
    });
    const float inverse = 1.0f / std::sqrt(squares / static_cast<float>(columns) + args.epsilon);

    for (int i = 0; i < columns; i += 16) {
        const int count = columns - i < 16 ? columns - i : 16;
        Lanes y = centred(i, count) * set(inverse);
        if (weight) y = y * (load_some(weight + i, count) + set(args.weight_offset));
        if (bias) y = y + load_some(bias + i, count);
        store_some(out + i, y, count);
    }
}

void norm_rows(const nlm_norm_args& args, int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row++) {
        switch (args.type) {
        case NLM_BF16:
            norm_row<Bf16>(args, row);
            break;
        case NLM_F16:
            norm_row<F16>(args, row);
            break;
        default:
            norm_row<float>(args, row);
        }
    }
}

} // namespace nlm::cpu::NLM_FAMILY
