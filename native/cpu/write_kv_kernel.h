// Norm, rotary embedding and scatter of one instruction family; see write_kv.cpp.
#pragma once

#include "kv_layout.h"
#include "lanes.h"

namespace nlm::cpu::NLM_FAMILY {

// A head in fp32; lanes past the head stay 0.
template <typename T> NLM_INLINE void load_head(float* head, const T* x, int dim) {
    int i = 0;
    for (; i + 16 <= dim; i += 16) store(head + i, load(x + i));
    if (i < dim) store(head + i, load_first(x + i, dim - i));
}
template <typename T> NLM_INLINE void store_head(T* x, const float* head, int dim) {
    int i = 0;
    for (; i + 16 <= dim; i += 16) store(x + i, load(head + i));
    if (i < dim) store_first(x + i, load(head + i), dim - i);
}

template <typename T> NLM_INLINE void norm_head(float* head, const T* weight, int dim, float epsilon) {
    Lanes squares = set(0.0f);
    for (int i = 0; i < dim; i += 16) squares = squares + load(head + i) * load(head + i);
    const float inverse = 1.0f / std::sqrt(sum_of(squares) / static_cast<float>(dim) + epsilon);
    for (int i = 0; i < dim; i += 16) {
        const Lanes w = dim - i < 16 ? load_first(weight + i, dim - i) : load(weight + i);
        store(head + i, load(head + i) * set(inverse) * w);
    }
}

// Rotates pairs (i, i + half) or (2 i, 2 i + 1) of the first 2·half dims by the angles of this position.
NLM_INLINE void rotate_head(float* head, const float* cosine, const float* sine, int half, int32_t style) {
    if (style == NLM_ROPE_INTERLEAVED) {
        for (int i = 0; i < half; i++) {
            const float x = head[2 * i], y = head[2 * i + 1];
            head[2 * i] = x * cosine[i] - y * sine[i];
            head[2 * i + 1] = y * cosine[i] + x * sine[i];
        }
        return;
    }
    for (int i = 0; i < half; i += 16) {
        const int count = half - i < 16 ? half - i : 16;
        const Lanes x = load_first(head + i, count), y = load_first(head + half + i, count);
        const Lanes c = load_first(cosine + i, count), s = load_first(sine + i, count);
        store_first(head + i, x * c - y * s, count);
        store_first(head + half + i, y * c + x * s, count);
    }
}

template <typename Cache> NLM_INLINE void scatter_k(Cache* k, const float* head, const KvLayout& layout, int64_t token) {
    Cache rounded[head_dim_limit];
    const int dim = static_cast<int>(layout.head_dim);
    store_head(rounded, head, dim);
    Cache* target = k + layout.k_index(token, 0);
    if (layout.pair == 2) {
        for (int i = 0; i < dim; i += 2) std::memcpy(target + i * layout.panel, rounded + i, 2 * sizeof(Cache));
    } else {
        for (int i = 0; i < dim; i++) target[i * layout.panel] = rounded[i];
    }
}

template <typename Cache> NLM_INLINE void scatter_v(Cache* v, const float* head, const KvLayout& layout, int64_t token) {
    Cache rounded[head_dim_limit];
    const int dim = static_cast<int>(layout.head_dim);
    store_head(rounded, head, dim);
    Cache* target = v + layout.v_index(token, 0);
    for (int i = 0; i < dim; i++) target[i * layout.pair] = rounded[i];
}

template <typename T, typename Cache> void write_kv_row(const nlm_write_kv_args& args, const KvLayout& layout, int64_t row) {
    const int32_t slot = args.slots[row];
    if (slot < 0) return;
    const nlm_kv_cache& cache = *args.cache;
    const int dim = cache.head_dim;
    const int half = args.rope_style == NLM_ROPE_NONE ? 0 : args.rotary_dim / 2;
    const float* cosine = nullptr;
    if (half > 0) {
        const int64_t position = args.positions[row] < 0 ? 0 : args.positions[row];
        const int64_t last = args.positions_max - 1;
        cosine = args.rope_table + (position < last ? position : last) * args.rotary_dim;
    }
    const int64_t q_width = static_cast<int64_t>(args.q_head_count) * dim;
    const int64_t kv_width = static_cast<int64_t>(cache.kv_head_count) * dim;
    const T* q = static_cast<const T*>(args.qkv) + row * (q_width + 2 * kv_width);
    const T* k = q + q_width;
    const T* v = k + kv_width;
    T* q_out = static_cast<T*>(args.q_out) + row * q_width;
    const T* q_norm = static_cast<const T*>(args.q_norm);
    const T* k_norm = static_cast<const T*>(args.k_norm);
    const int64_t token = slot % cache.block_size;
    char* block = static_cast<char*>(cache.data) + slot / cache.block_size * layout.block_bytes;

    float head[head_dim_limit + 16] = {};
    for (int64_t h = 0; h < args.q_head_count; h++) {
        load_head(head, q + h * dim, dim);
        if (q_norm) norm_head(head, q_norm, dim, args.norm_epsilon);
        if (half > 0) rotate_head(head, cosine, cosine + half, half, args.rope_style);
        store_head(q_out + h * dim, head, dim);
    }
    for (int64_t h = 0; h < cache.kv_head_count; h++) {
        char* target = block + layout.head_offset(args.layer, h);
        load_head(head, k + h * dim, dim);
        if (k_norm) norm_head(head, k_norm, dim, args.norm_epsilon);
        if (half > 0) rotate_head(head, cosine, cosine + half, half, args.rope_style);
        scatter_k(reinterpret_cast<Cache*>(target), head, layout, token);
        load_head(head, v + h * dim, dim);
        scatter_v(reinterpret_cast<Cache*>(target + layout.k_bytes), head, layout, token);
    }
}

template <typename T> void write_kv_typed(const nlm_write_kv_args& args, const KvLayout& layout, int64_t row) {
    switch (args.cache->type) {
    case NLM_BF16:
        return write_kv_row<T, Bf16>(args, layout, row);
    case NLM_F16:
        return write_kv_row<T, F16>(args, layout, row);
    default:
        return write_kv_row<T, float>(args, layout, row);
    }
}

void write_kv_rows(const nlm_write_kv_args& args, const KvLayout& layout, int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row++) {
        switch (args.type) {
        case NLM_BF16:
            write_kv_typed<Bf16>(args, layout, row);
            break;
        case NLM_F16:
            write_kv_typed<F16>(args, layout, row);
            break;
        default:
            write_kv_typed<float>(args, layout, row);
        }
    }
}

} // namespace nlm::cpu::NLM_FAMILY
