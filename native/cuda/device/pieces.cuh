// Rows in pieces of eight columns: a thread moves a piece by 16-byte accesses where everything is aligned for them, element by
// element elsewhere. Which thread owns which column is the same in both, so the bits are too.
#pragma once

#include "simt.cuh"

namespace nlm::simt {

constexpr int piece_columns = 8;

// Columns of a row from `first` that a piece holds: 8, fewer at the end, 0 past it.
NLM_HOST_DEVICE int piece_size(int columns, int64_t first) {
    const int64_t left = columns - first;
    return left < 0 ? 0 : left < piece_columns ? static_cast<int>(left) : piece_columns;
}

// v[i] = p[i] for i < count, 0 past it. wide: p is 16-byte aligned.
template <typename T> NLM_DEVICE void load_piece(const T* p, int count, bool wide, float (&v)[piece_columns]) {
    constexpr int elements = 16 / sizeof(T);
    if (wide && count == piece_columns) {
        for (int part = 0; part < piece_columns; part += elements) {
            const auto values = load_vector<Vec<T, elements>>(p + part);
            for (int i = 0; i < elements; ++i) v[part + i] = to_float(values[i]);
        }
    } else {
        for (int i = 0; i < piece_columns; ++i) v[i] = i < count ? to_float(load(p + i)) : 0.0f;
    }
}

template <typename T> NLM_DEVICE void store_piece(T* p, int count, bool wide, const float (&v)[piece_columns]) {
    constexpr int elements = 16 / sizeof(T);
    if (wide && count == piece_columns) {
        for (int part = 0; part < piece_columns; part += elements) {
            Vec<T, elements> values;
            for (int i = 0; i < elements; ++i) values[i] = from_float<T>(v[part + i]);
            store_vector(p + part, values);
        }
    } else {
        for (int i = 0; i < piece_columns; ++i)
            if (i < count) store(p + i, from_float<T>(v[i]));
    }
}

// Whether rows that start at p, `stride` elements apart, all start at a multiple of 16 bytes. Null counts as aligned.
inline bool rows_are_wide(const void* p, int64_t stride, int64_t element_bytes) {
    return p == nullptr || (reinterpret_cast<uintptr_t>(p) % 16 == 0 && stride * element_bytes % 16 == 0);
}

} // namespace nlm::simt
