// Paged attention of one instruction family; plan and packing are in paged_attention.h, the law in the entry point's file.
#pragma once

#include "lanes.h"
#include "paged_attention.h"

namespace nlm::cpu::NLM_FAMILY {

// ---- products of rows with panels: acc[row][lane] += a[row][k] · b[k][lane] ----

// What fits into the registers of the family: rows · vectors sums beside one row of panels.
#if defined(__AVX512F__)
constexpr int RowsAtOnce = 6, VectorsAtOnce = 4;
#elif defined(__AVX2__)
constexpr int RowsAtOnce = 6, VectorsAtOnce = 1;
#else
constexpr int RowsAtOnce = 2, VectorsAtOnce = 1;
#endif

// Sixteen elements of a panel row, or eight from each of two panels of 8 tokens.
template <bool Halves> NLM_INLINE Lanes load_panel(const float* low, const float* high) {
    if constexpr (!Halves) return load(low);
    float whole[16];
    std::memcpy(whole, low, 32);
    std::memcpy(whole + 8, high, 32);
    return load(whole);
}
template <bool Halves> NLM_INLINE Lanes load_panel(const F16* low, const F16* high) {
    if constexpr (!Halves) return load(low);
    F16 whole[16];
    std::memcpy(whole, low, 16);
    std::memcpy(whole + 8, high, 16);
    return load(whole);
}

// F32 and F16 caches: one element per step.
template <typename Cache> struct FloatMath {
    using CacheElement = Cache;
    using Element = float; // of queries and probabilities
    using Left = Lanes;
    using Right = Lanes;
    static constexpr int Step = 1; // k per multiply
    static NLM_INLINE Left left(const Element* a, int64_t k) { return set(a[k]); }
    template <bool Halves> static NLM_INLINE Right right(const char* low, const char* high) {
        return load_panel<Halves>(reinterpret_cast<const Cache*>(low), reinterpret_cast<const Cache*>(high));
    }
    static NLM_INLINE Right keep(Right b, bool, bool) { return b; }
    static NLM_INLINE Lanes multiply(Left a, Right b, Lanes sum) { return fma(a, b, sum); }
    static NLM_INLINE void store_probabilities(Element* p, Lanes x) { store(p, x); }
};

struct LanePair {
    Lanes even, odd;
};

// Pairs of bf16, widened: even lanes of k first, then odd.
template <bool Halves> NLM_INLINE LanePair load_pairs(const char* low, const char* high) {
#if defined(__AVX512F__)
    __m512i pairs;
    if constexpr (Halves) {
        const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(low));
        const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(high));
        pairs = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
    } else {
        static_cast<void>(high);
        pairs = _mm512_loadu_si512(low);
    }
    return {{_mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16))},
            {_mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(0xffff0000u))))}};
#elif defined(__AVX2__)
    const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(low));
    const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(Halves ? high : low + 32));
    const __m256i odd = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
    return {{_mm256_castsi256_ps(_mm256_slli_epi32(first, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(second, 16))},
            {_mm256_castsi256_ps(_mm256_and_si256(first, odd)), _mm256_castsi256_ps(_mm256_and_si256(second, odd))}};
#else
    uint32_t pairs[16];
    std::memcpy(pairs, low, 32);
    std::memcpy(pairs + 8, Halves ? high : low + 32, 32);
    LanePair result;
    for (int i = 0; i < 16; i++) {
        result.even.v[i] = float_of(pairs[i] << 16);
        result.odd.v[i] = float_of(pairs[i] & 0xffff0000u);
    }
    return result;
#endif
}

// BF16 caches without a bf16 dot product: queries and probabilities stay fp32.
struct WideMath {
    using CacheElement = Bf16;
    using Element = float;
    using Left = LanePair;
    using Right = LanePair;
    static constexpr int Step = 2;
    static NLM_INLINE Left left(const Element* a, int64_t k) { return {set(a[2 * k]), set(a[2 * k + 1])}; }
    template <bool Halves> static NLM_INLINE Right right(const char* low, const char* high) {
        return load_pairs<Halves>(low, high);
    }
    static NLM_INLINE Right keep(Right b, bool even, bool odd) { return {even ? b.even : set(0.0f), odd ? b.odd : set(0.0f)}; }
    static NLM_INLINE Lanes multiply(Left a, Right b, Lanes sum) { return fma(a.odd, b.odd, fma(a.even, b.even, sum)); }
    static NLM_INLINE void store_probabilities(Element* p, Lanes x) { store(p, x); }
};

#if defined(__AVX512BF16__)
// BF16 caches and queries with the bf16 dot product; probabilities are rounded to bf16.
struct DotMath {
    using CacheElement = Bf16;
    using Element = Bf16;
    using Left = __m512i;
    using Right = __m512i;
    static constexpr int Step = 2;
    static NLM_INLINE Left left(const Element* a, int64_t k) {
        int32_t pair;
        std::memcpy(&pair, a + 2 * k, 4);
        return _mm512_set1_epi32(pair);
    }
    template <bool Halves> static NLM_INLINE Right right(const char* low, const char* high) {
        if constexpr (!Halves) return _mm512_loadu_si512(low);
        const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(low));
        const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(high));
        return _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
    }
    static NLM_INLINE Right keep(Right b, bool even, bool odd) {
        return _mm512_and_si512(b, _mm512_set1_epi32(static_cast<int>((even ? 0xffffu : 0) | (odd ? 0xffff0000u : 0))));
    }
    static NLM_INLINE Lanes multiply(Left a, Right b, Lanes sum) {
        return {_mm512_dpbf16_ps(sum.v, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b))};
    }
    static NLM_INLINE void store_probabilities(Element* p, Lanes x) {
        const __m256bh rounded = _mm512_cvtneps_pbh(x.v);
        std::memcpy(p, &rounded, 32);
    }
};
#endif

// One step of k for Rows rows and Vectors vectors of 16 lanes.
template <typename Math, int Rows, int Vectors>
NLM_INLINE void multiply_rows(Lanes (&sums)[Rows][Vectors], const typename Math::Element* a, int64_t a_stride, int64_t k,
                              const typename Math::Right (&b)[Vectors]) {
#pragma GCC unroll 8
    for (int row = 0; row < Rows; row++) {
        const typename Math::Left left = Math::left(a + row * a_stride, k);
#pragma GCC unroll 8
        for (int n = 0; n < Vectors; n++) sums[row][n] = Math::multiply(left, b[n], sums[row][n]);
    }
}

// ---- one job ----

// Where a tile of 64 keys lies: 4 groups of 16 tokens for Q·K, panels for P·V.
struct KeyTilePointers {
    const char* k[4][2]; // both halves of a group where panels have 8 tokens, else twice the same
    const char* v[8];
};

// The state of a row: maximum, sum and output, relative to 2^maximum.
struct RowState {
    float maximum, sum;
};

template <typename Math, bool Halves> class AttentionJob {
    using Element = typename Math::Element;
    static constexpr int Panel = Halves ? 8 : 16;
    static constexpr int VectorBytes = 16 * Math::Step * static_cast<int>(sizeof(typename Math::CacheElement));

public:
    AttentionJob(const AttentionPlan& plan, const SequencePlan& sequence, int64_t kv_head, int64_t tile)
        : args_(*plan.args), plan_(plan), sequence_(sequence), layout_(plan.layout), kv_head_(kv_head), first_(tile * QueryTile) {
        const int64_t packed = sequence.row_count * plan.group;
        count_ = static_cast<int>(packed - first_ < QueryTile ? packed - first_ : QueryTile);
        head_dim_ = static_cast<int>(layout_.head_dim);
        columns_ = static_cast<int>(layout_.v_columns);
        block_size_ = static_cast<uint32_t>(layout_.block_size);
        for (int row = 0; row < count_; row++) positions_[row] = first_position(sequence) + (first_ + row) / plan.group;
        key_begin_ = first_key(args_, position(0));
        key_end_ = position(count_ - 1) + 1;
        constexpr float Log2E = 1.44269504088896341f;
        score_scale_ = args_.softcap > 0 ? args_.scale / args_.softcap : args_.scale * Log2E;
        softcap_ = args_.softcap * Log2E;
        for (int row = 0; row < count_; row++) load_query(row);
    }

    // All splits, merged as they close, then the output rows.
    void run() {
        for (int64_t split = key_begin_ / plan_.split_keys; split * plan_.split_keys < key_end_; split++) {
            run_split(split);
            for (int row = 0; row < count_; row++) {
                if (!sees(row, split)) continue;
                if (split == first_key(args_, position(row)) / plan_.split_keys) {
                    merged_[row] = state_[row];
                    std::memcpy(merged_output(row), output(row), sizeof(float) * static_cast<size_t>(columns_));
                } else {
                    merge(merged_[row], merged_output(row), state_[row], output(row));
                }
            }
        }
        for (int row = 0; row < count_; row++) finish(row, merged_[row], merged_output(row));
    }

    // One split, its states to the workspace.
    void run_to_workspace(int64_t split) {
        run_split(split);
        for (int row = 0; row < count_; row++) {
            float* partial = partial_state(row, split);
            partial[0] = state_[row].maximum;
            partial[1] = state_[row].sum;
            std::memcpy(partial + 16, output(row), sizeof(float) * static_cast<size_t>(columns_));
        }
    }

    // The second pass over states in the workspace.
    void merge_workspace() {
        for (int row = 0; row < count_; row++) {
            int64_t split = first_key(args_, position(row)) / plan_.split_keys;
            float* merged = partial_state(row, split);
            RowState state = {merged[0], merged[1]};
            for (split++; sees(row, split); split++) {
                const float* partial = partial_state(row, split);
                merge(state, merged + 16, {partial[0], partial[1]}, partial + 16);
            }
            finish(row, state, merged + 16);
        }
    }

private:
    int64_t position(int row) const { return positions_[row]; }
    int64_t query_head(int row) const { return kv_head_ * plan_.group + (first_ + row) % plan_.group; }
    float* output(int row) { return outputs_[0] + row * columns_; }
    float* merged_output(int row) { return outputs_[1] + row * columns_; }
    bool sees(int row, int64_t split) const {
        return split * plan_.split_keys <= position(row) && first_key(args_, position(row)) < (split + 1) * plan_.split_keys;
    }
    float* partial_state(int row, int64_t split) const {
        const int64_t splits = sequence_.last_split - sequence_.first_split;
        const int64_t packed = sequence_.row_count * plan_.group;
        const int64_t index = (kv_head_ * packed + first_ + row) * splits + (split - sequence_.first_split);
        return plan_.partials + (sequence_.partial + index) * plan_.partial_stride;
    }
    // Element offset of a row's head in q and out.
    int64_t row_offset(int row) const {
        return ((sequence_.first_row + (first_ + row) / plan_.group) * args_.q_head_count + query_head(row)) * head_dim_;
    }

    template <typename T> void load_query_typed(int row) {
        const T* q = static_cast<const T*>(args_.q) + row_offset(row);
        Element* target = query_ + row * head_dim_;
        for (int i = 0; i < head_dim_; i++) target[i] = from_float<Element>(to_float(q[i]));
    }
    void load_query(int row) {
        switch (args_.type) {
        case NLM_BF16:
            return load_query_typed<Bf16>(row);
        case NLM_F16:
            return load_query_typed<F16>(row);
        default:
            return load_query_typed<float>(row);
        }
    }

    void run_split(int64_t split) {
        for (int row = 0; row < count_; row++) {
            state_[row] = {-INFINITY, 0.0f};
            sums_[row] = set(0.0f);
        }
        std::memset(outputs_[0], 0, sizeof(float) * static_cast<size_t>(count_ * columns_));
        const int64_t begin = split * plan_.split_keys;
        const int64_t end = begin + plan_.split_keys < key_end_ ? begin + plan_.split_keys : key_end_;
        const int64_t seen = key_begin_ / key_tile * key_tile;
        const int64_t first_tile = begin > seen ? begin : seen;
        KeyTilePointers pointers;
        locate(first_tile, pointers);
        for (int64_t tile = first_tile; tile < end; tile += key_tile) run_tile(tile, pointers);
        for (int row = 0; row < count_; row++) state_[row].sum = sum_of(sums_[row]);
    }

    // Panels that no row of this job sees may have no block: they point at one that exists and their lanes are masked.
    void locate(int64_t tile, KeyTilePointers& pointers) const {
        const char* data = static_cast<const char*>(args_.cache->data) + layout_.head_offset(args_.layer, kv_head_);
        const int64_t low = key_begin_ > tile ? key_begin_ : tile;
        const int64_t high = key_end_ < tile + key_tile ? key_end_ : tile + key_tile;
        for (int panel = 0; panel < key_tile / Panel; panel++) {
            int64_t token = tile + panel * Panel;
            if (token + Panel <= low || token >= high) token = low / Panel * Panel;
            const uint32_t number =
                static_cast<uint32_t>(token) / block_size_; // 32 bits: 64-bit division costs four times as much
            const int64_t inside = static_cast<uint32_t>(token) - number * block_size_;
            const char* block = data + sequence_.blocks[number] * layout_.block_bytes;
            const char* k = block + inside * head_dim_ * layout_.element_bytes;
            pointers.v[panel] = block + layout_.k_bytes + inside * columns_ * layout_.element_bytes;
            if constexpr (Halves) {
                pointers.k[panel / 2][panel % 2] = k;
            } else {
                pointers.k[panel][0] = pointers.k[panel][1] = k;
            }
        }
    }

    // The first rows of a tile ask for the next one, line by line as they compute: panels are short runs in scattered blocks,
    // which no hardware prefetcher follows, and a burst of requests would stall instead of overlapping.
    void run_tile(int64_t tile, KeyTilePointers& pointers) {
        const bool last = tile + key_tile >= key_end_;
        KeyTilePointers next = pointers;
        if (!last) locate(tile + key_tile, next);
        next_ = last ? nullptr : &next;
        int row = 0;
        for (; row + RowsAtOnce <= count_; row += RowsAtOnce) {
            run_rows<RowsAtOnce>(tile, pointers, row);
            next_ = nullptr;
        }
        if (row < count_) run_last_rows<RowsAtOnce - 1>(tile, pointers, row);
        pointers = next;
    }

    template <int Rows> void run_last_rows(int64_t tile, const KeyTilePointers& pointers, int row) {
        if constexpr (Rows > 1) {
            if (count_ - row < Rows) return run_last_rows<Rows - 1>(tile, pointers, row);
        }
        run_rows<Rows>(tile, pointers, row);
    }

    template <int Rows> void run_rows(int64_t tile, const KeyTilePointers& pointers, int row) {
        int low[Rows], high[Rows]; // keys of the tile that each row sees
        bool any = false;
        for (int r = 0; r < Rows; r++) {
            const int64_t end = position(row + r) + 1 - tile;
            const int64_t begin = first_key(args_, position(row + r)) - tile;
            low[r] = static_cast<int>(begin < 0 ? 0 : begin > key_tile ? key_tile : begin);
            high[r] = static_cast<int>(end < 0 ? 0 : end > key_tile ? key_tile : end);
            any = any || low[r] < high[r];
        }
        if (!any) return;
        alignas(64) float scores[Rows][key_tile];
        alignas(64) Element probabilities[Rows][key_tile];
        float rescale[Rows];
        multiply_keys<Rows>(pointers, row, scores);
        for (int r = 0; r < Rows; r++) {
            if (low[r] < high[r]) rescale[r] = softmax(row + r, tile, low[r], high[r], scores[r], probabilities[r]);
        }
        // Rows that see the same keys go together; a row's arithmetic is the same in any company.
        for (int r = 0; r < Rows;) {
            int next = r + 1;
            while (next < Rows && low[next] == low[r] && high[next] == high[r]) next++;
            if (low[r] < high[r])
                multiply_values_of<Rows>(next - r, pointers, row + r, low[r], high[r], rescale + r, probabilities[r]);
            r = next;
        }
    }

    template <int Rows> NLM_INLINE void multiply_keys(const KeyTilePointers& pointers, int row, float (&scores)[Rows][key_tile]) {
        const int steps = head_dim_ / Math::Step;
        const Element* query = query_ + row * head_dim_;
        const KeyTilePointers* next = next_;
        constexpr int Stride = Panel * Math::Step * static_cast<int>(sizeof(typename Math::CacheElement));
        for (int group = 0; group < 4; group += VectorsAtOnce) {
            Lanes sums[Rows][VectorsAtOnce];
            for (int r = 0; r < Rows; r++) {
                for (int n = 0; n < VectorsAtOnce; n++) sums[r][n] = set(0.0f);
            }
            for (int k = 0; k < steps; k++) {
                if (next) {
                    for (int n = 0; n < VectorsAtOnce; n++) __builtin_prefetch(next->k[group + n][0] + k * Stride);
                }
                typename Math::Right keys[VectorsAtOnce];
#pragma GCC unroll 8
                for (int n = 0; n < VectorsAtOnce; n++) {
                    keys[n] = Math::template right<Halves>(pointers.k[group + n][0] + k * Stride,
                                                           pointers.k[group + n][1] + k * Stride);
                }
                multiply_rows<Math, Rows, VectorsAtOnce>(sums, query, head_dim_, k, keys);
            }
            for (int r = 0; r < Rows; r++) {
                for (int n = 0; n < VectorsAtOnce; n++) store(scores[r] + 16 * (group + n), sums[r][n]);
            }
        }
    }

    // Turns scores into probabilities relative to the new maximum; returns the factor for the old state.
    NLM_INLINE float softmax(int row, int64_t tile, int low, int high, const float* scores, Element* probabilities) {
        Lanes s[4];
        LaneMask seen[4];
        Lanes highest = set(-INFINITY);
        for (int n = 0; n < 4; n++) {
            s[n] = load(scores + 16 * n) * set(score_scale_);
            if (args_.softcap > 0) s[n] = tanh(s[n]) * set(softcap_);
            if (args_.alibi_slopes) s[n] = s[n] + alibi(row, tile + 16 * n);
            seen[n] = lanes_between(low - 16 * n, high - 16 * n);
            s[n] = select(seen[n], s[n], set(-INFINITY));
            highest = max(highest, s[n]);
        }
        const float old = state_[row].maximum;
        const float tile_maximum = max_of(highest);
        const float maximum = tile_maximum > old ? tile_maximum : old;
        Lanes p[4];
        for (int n = 0; n < 4; n++) {
            p[n] = select(seen[n], exp2(s[n] - set(maximum)), set(0.0f));
            Math::store_probabilities(probabilities + 16 * n, p[n]);
        }
        const float factor = old == maximum ? 1.0f : first_lane(exp2(set(old - maximum))); // exp2(0) is 1 to the bit
        sums_[row] = fma(sums_[row], set(factor), (p[0] + p[1]) + (p[2] + p[3]));
        state_[row].maximum = maximum;
        return factor;
    }

    NLM_INLINE Lanes alibi(int row, int64_t key) const {
        static constexpr float Index[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
        const float slope = args_.alibi_slopes[query_head(row)] * 1.44269504088896341f;
        return (load(Index) + set(static_cast<float>(key - position(row)))) * set(slope);
    }

    template <int Rows> void multiply_values_of(int rows, const KeyTilePointers& pointers, int row, int low, int high,
                                                const float* rescale, const Element* probabilities) {
        if constexpr (Rows > 1) {
            if (rows < Rows) return multiply_values_of<Rows - 1>(rows, pointers, row, low, high, rescale, probabilities);
        }
        multiply_values<Rows>(pointers, row, low, high, rescale, probabilities);
    }

    template <int Rows>
    void multiply_values(const KeyTilePointers& pointers, int row, int low, int high, const float* rescale, const Element* p) {
        const int vectors = columns_ / 16;
        int vector = 0;
        for (; vector + VectorsAtOnce <= vectors; vector += VectorsAtOnce) {
            multiply_vectors<Rows, VectorsAtOnce>(pointers, row, vector, low, high, rescale, p);
        }
        for (; vector < vectors; vector++) multiply_vectors<Rows, 1>(pointers, row, vector, low, high, rescale, p);
    }

    template <int Rows, int Vectors> NLM_INLINE void multiply_vectors(const KeyTilePointers& pointers, int row, int vector,
                                                                      int low, int high, const float* rescale, const Element* p) {
        Lanes sums[Rows][Vectors];
        for (int r = 0; r < Rows; r++) {
            for (int n = 0; n < Vectors; n++) sums[r][n] = load(output(row + r) + 16 * (vector + n)) * set(rescale[r]);
        }
        constexpr int PanelSteps = Panel / Math::Step;
        const int64_t stride = static_cast<int64_t>(columns_) / 16 * VectorBytes;
        for (int panel = low / Panel; panel * Panel < high; panel++) {
            const int begin = low > panel * Panel ? low - panel * Panel : 0;
            const int end = high < (panel + 1) * Panel ? high - panel * Panel : Panel;
            const char* v = pointers.v[panel] + vector * VectorBytes;
            const char* next = next_ ? next_->v[panel] + vector * VectorBytes : nullptr;
            const auto step = [&](int k, auto edit) {
                if (next) {
                    for (int n = 0; n < Vectors; n++) __builtin_prefetch(next + k * stride + n * VectorBytes);
                }
                typename Math::Right values[Vectors];
#pragma GCC unroll 8
                for (int n = 0; n < Vectors; n++) {
                    const char* at = v + k * stride + n * VectorBytes;
                    values[n] = edit(Math::template right<false>(at, at));
                }
                multiply_rows<Math, Rows, Vectors>(sums, p, key_tile, panel * PanelSteps + k, values);
            };
            if (end - begin == Panel) {
                for (int k = 0; k < PanelSteps; k++) step(k, [](typename Math::Right b) { return b; });
            } else {
                // An unseen token may share a step with a seen one: its V may be NaN, and 0 · NaN is NaN.
                for (int k = begin / Math::Step; k * Math::Step < end; k++) {
                    const bool even = k * Math::Step >= begin, odd = k * Math::Step + 1 < end;
                    step(k, [&](typename Math::Right b) { return Math::keep(b, even, odd); });
                }
            }
        }
        for (int r = 0; r < Rows; r++) {
            for (int n = 0; n < Vectors; n++) store(output(row + r) + 16 * (vector + n), sums[r][n]);
        }
    }

    // into = into + next, for the later split next.
    void merge(RowState& into, float* into_output, RowState next, const float* next_output) const {
        const float maximum = next.maximum > into.maximum ? next.maximum : into.maximum;
        const float a = first_lane(exp2(set(into.maximum - maximum)));
        const float b = first_lane(exp2(set(next.maximum - maximum)));
        into = {maximum, into.sum * a + next.sum * b};
        for (int i = 0; i < columns_; i += 16) {
            store(into_output + i, fma(load(into_output + i), set(a), load(next_output + i) * set(b)));
        }
    }

    void finish(int row, RowState state, const float* values) const {
        float factor = 1.0f;
        if (args_.sinks) {
            const float sink = args_.sinks[query_head(row)] * 1.44269504088896341f;
            const float maximum = sink > state.maximum ? sink : state.maximum;
            factor = first_lane(exp2(set(state.maximum - maximum)));
            state.sum = state.sum * factor + first_lane(exp2(set(sink - maximum)));
        }
        const Lanes scale = set(factor / state.sum);
        switch (args_.type) {
        case NLM_BF16:
            return write_row<Bf16>(row, values, scale);
        case NLM_F16:
            return write_row<F16>(row, values, scale);
        default:
            return write_row<float>(row, values, scale);
        }
    }
    template <typename T> void write_row(int row, const float* values, Lanes scale) const {
        T* out = static_cast<T*>(args_.out) + row_offset(row);
        for (int i = 0; i < head_dim_; i += 16) {
            const Lanes y = load(values + i) * scale;
            if (head_dim_ - i >= 16) {
                store(out + i, y);
            } else {
                store_first(out + i, y, head_dim_ - i);
            }
        }
    }

    const nlm_paged_attention_args& args_;
    const AttentionPlan& plan_;
    const SequencePlan& sequence_;
    const KvLayout& layout_;
    int64_t kv_head_, first_; // first packed row
    int count_;               // packed rows
    int head_dim_, columns_;
    uint32_t block_size_;
    int64_t key_begin_, key_end_; // keys that any row sees
    float score_scale_, softcap_;
    const KeyTilePointers* next_ = nullptr; // of the next tile, while it is to be prefetched
    int64_t positions_[QueryTile];
    RowState state_[QueryTile], merged_[QueryTile];
    alignas(64) Lanes sums_[QueryTile];
    alignas(64) Element query_[QueryTile * head_dim_limit];
    alignas(64) float outputs_[2][QueryTile * head_dim_limit];
};

template <typename Math, bool Halves> void run_attention_job(const AttentionPlan& plan, int64_t job) {
    const SequencePlan& sequence = sequence_of_job(plan, job);
    const int64_t local = job - sequence.first_job;
    const int64_t kv_heads = plan.args->cache->kv_head_count;
    if (sequence.splits_are_jobs) {
        const int64_t split = sequence.first_split + local / kv_heads;
        AttentionJob<Math, Halves>(plan, sequence, local % kv_heads, 0).run_to_workspace(split);
    } else {
        // Later tiles see more keys: first, so that the last jobs of a call are short.
        const int64_t tile = sequence.tile_count - 1 - local / kv_heads;
        AttentionJob<Math, Halves>(plan, sequence, local % kv_heads, tile).run();
    }
}

template <typename Math, bool Halves>
void run_merge_job(const AttentionPlan& plan, const SequencePlan& sequence, int64_t kv_head) {
    AttentionJob<Math, Halves>(plan, sequence, kv_head, 0).merge_workspace();
}

// Calls function.template operator()<Math, Halves>() for the cache of the plan.
template <typename Function> void with_math(const AttentionPlan& plan, const Function& function) {
    const nlm_kv_cache& cache = *plan.args->cache;
    const bool halves = plan.layout.panel == 8;
    const auto choose = [&]<typename Math>() {
        return halves ? function.template operator()<Math, true>() : function.template operator()<Math, false>();
    };
    if (cache.type == NLM_F32) return choose.template operator()<FloatMath<float>>();
    if (cache.type == NLM_F16) return choose.template operator()<FloatMath<F16>>();
#if defined(__AVX512BF16__)
    if (plan.args->type == NLM_BF16) return choose.template operator()<DotMath>();
#endif
    return choose.template operator()<WideMath>();
}

void attention_job(const AttentionPlan& plan, int64_t job) {
    with_math(plan, [&]<typename Math, bool Halves>() { run_attention_job<Math, Halves>(plan, job); });
}

void attention_merge(const AttentionPlan& plan, int64_t sequence, int64_t kv_head) {
    with_math(plan, [&]<typename Math, bool Halves>() { run_merge_job<Math, Halves>(plan, plan.sequences[sequence], kv_head); });
}

} // namespace nlm::cpu::NLM_FAMILY
