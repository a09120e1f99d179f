// The one arithmetic of attention: decode, prefill, extended chunks and verified drafts all come through attend_tile and Merge,
// so a row has the same bits whichever kernel it went through.
//
// A warp works on 16 packed rows. Keys come in tiles of 64 at absolute positions: one update of a row's running maximum per tile;
// P·V in ascending steps of 16 keys; row sums per thread, columns ascending, added across the four threads of a row when the
// split closes. Splits lie at absolute positions and merge ascending from the first split's state itself. A tile or split that a
// row does not see leaves its state bit for bit as it was.
#pragma once

#include "key_ring.cuh"

namespace nlm::simt {

constexpr float minus_infinity = -INFINITY;

// The 16 rows of a warp, of which a thread has two: g and g + 8, g = lane / 4. Packed rows past the last one repeat it: they see
// what it sees and are not stored.
struct QueryRows {
    int first_packed, last_packed; // of the warp, of the sequence
    int position[2];               // sees keys up to its own
    int seen_from, seen_to;        // first and last key that some row sees; seen_to is -1 for a warp without rows
    int common_from, common_to;    // keys that all rows see

    NLM_DEVICE QueryRows(const AttentionCall& call, const SequencePlan& sequence, int first)
        : first_packed(first), last_packed(sequence.row_count * call.group - 1) {
        const int start = first_position(sequence);
        for (int r = 0; r < 2; ++r) position[r] = start + packed(r) / call.group;
        common_to = start + clamp(first) / call.group;
        seen_from = first_key(call.window, common_to);
        const int highest = start + clamp(first + tile_rows - 1) / call.group;
        common_from = first_key(call.window, highest);
        seen_to = first <= last_packed ? highest : -1;
    }
    NLM_DEVICE int clamp(int row) const { return row < last_packed ? row : last_packed; }
    NLM_DEVICE int unclamped(int r) const { return first_packed + lane_index() / 4 + 8 * r; }
    NLM_DEVICE int packed(int r) const { return clamp(unclamped(r)); }
    NLM_DEVICE bool exists(int r) const { return unclamped(r) <= last_packed; }
    NLM_DEVICE bool see(int tile) const { return tile <= seen_to && tile + key_tile > seen_from; }
    NLM_DEVICE bool all_see(int tile) const { return tile >= common_from && tile + key_tile - 1 <= common_to; }
};

// Q of 16 rows as left operands of the matrix products: in registers, or in shared memory where the head is too wide for them.
template <int Dim> struct QueryShared { Array<Chunk, Dim <= 128 ? 1 : tile_rows * KeyRow<Dim>::chunks> chunks; };
template <typename T, int Dim> class Query {
    static constexpr bool in_registers = Dim <= 128;

public:
    NLM_DEVICE explicit Query(QueryShared<Dim>& shared) : shared_(shared) {}

    NLM_DEVICE void load(const AttentionCall& call, const SequencePlan& sequence, int kv_head, const QueryRows& rows) {
        if constexpr (in_registers) {
            for (int r = 0; r < 2; ++r) {
                const T* row = static_cast<const T*>(call.q) + row_offset(call, sequence, kv_head, rows.packed(r));
#pragma unroll
                for (int k = 0; k < Dim / 8; ++k) words_[k / 2][k % 2 * 2 + r] = pair(row, k, call.pool.head_dim);
            }
        } else {
            sync_warp(); // the fragments of the item before have been read
            for (int r = 0; r < 2; ++r) {
                const T* row = static_cast<const T*>(call.q) + row_offset(call, sequence, kv_head, rows.packed(r));
#pragma unroll 4
                for (int k = 0; k < Dim / 8; ++k)
                    shared_.chunks[KeyRow<Dim>::place(lane_index() / 4 + 8 * r, k)][lane_index() % 4] =
                        pair(row, k, call.pool.head_dim);
            }
            sync_warp();
        }
    }
    // Dims 16 k to 16 k + 15 of the 16 rows.
    NLM_DEVICE void fragment(int k, uint32_t (&a)[4]) const {
        if constexpr (in_registers) {
            for (int i = 0; i < 4; ++i) a[i] = words_[k][i];
        } else {
            ldmatrix_x4(a, &shared_.chunks[KeyRow<Dim>::place(lane_index() % 16, 2 * k + lane_index() / 16)]);
        }
    }

private:
    // This thread's two dims of chunk k of a row; heads have an even number of dims.
    static NLM_DEVICE uint32_t pair(const T* row, int k, int head_dim) {
        const int dim = 8 * k + lane_index() % 4 * 2;
        return dim < head_dim ? simt::load(reinterpret_cast<const uint32_t*>(row + dim)) : 0u;
    }

    QueryShared<Dim>& shared_;
    uint32_t words_[in_registers ? Dim / 16 : 1][4];
};

// State of a thread's two rows since the split began: output columns 8 n + 2 (lane % 4) and the next, relative to 2^maximum.
template <int Dim> struct RowState {
    float output[Dim / 8][4]; // row g in elements 0 and 1, row g + 8 in 2 and 3
    float maximum[2], sum[2];

    NLM_DEVICE void clear() {
        for (int r = 0; r < 2; ++r) {
            maximum[r] = minus_infinity;
            sum[r] = 0.0f;
        }
#pragma unroll
        for (int n = 0; n < Dim / 8; ++n)
            for (int i = 0; i < 4; ++i) output[n][i] = 0.0f;
    }
    // Completes the row sums: the four threads of a row hold its columns.
    NLM_DEVICE void close() {
        for (int r = 0; r < 2; ++r) {
            sum[r] += shuffle_xor(sum[r], 1);
            sum[r] += shuffle_xor(sum[r], 2);
        }
    }
};

// scores[n] += Q · Kᵀ for the keys of a buffer, 8 per n.
template <typename T, int Dim, typename Ring>
NLM_DEVICE void score_keys(float (*scores)[4], const Query<T, Dim>& query, Ring& ring, int buffer) {
    const int lane = recomputed(lane_index()) & (warp_size - 1), key = lane % 8 + lane / 16 * 8, half = lane / 8 % 2;
#pragma unroll
    for (int k = 0; k < Dim / 16; ++k) {
        uint32_t a[4];
        query.fragment(k, a);
#pragma unroll
        for (int group = 0; group < Ring::keys / 16; ++group) {
            uint32_t b[4];
            ldmatrix_x4(b, ring.chunk(buffer, 16 * group + key, 2 * k + half));
            mma_m16n8k16<T>(scores[2 * group], a, {b[0], b[1]});
            mma_m16n8k16<T>(scores[2 * group + 1], a, {b[2], b[3]});
        }
    }
}

// output += P · V for the keys of a buffer, ascending in steps of 16.
template <typename T, int Dim, typename Ring>
NLM_DEVICE void add_values(RowState<Dim>& state, const uint32_t (*p)[4], Ring& ring, int buffer) {
    const int lane = recomputed(lane_index()) & (warp_size - 1);
#pragma unroll
    for (int group = 0; group < Ring::keys / 16; ++group) {
#pragma unroll
        for (int n = 0; n < Dim / 16; ++n) {
            uint32_t b[4];
            ldmatrix_x4_trans(b, ring.chunk(buffer, 16 * group + lane % 16, 2 * n + lane / 16));
            mma_m16n8k16<T>(state.output[2 * n], p[group], {b[0], b[1]});
            mma_m16n8k16<T>(state.output[2 * n + 1], p[group], {b[2], b[3]});
        }
    }
}

// tanh, with its limits at both ends; 2^x of a large x is infinite.
NLM_DEVICE float tanh_of(float x) {
    return 1.0f - 2.0f / (1.0f + exp2_approx(2.0f * log2_e * x));
}

// Scores times log2 e, -inf where a row does not see the key. Element 2 r + c of scores[n] is key 8 n + 2 (lane % 4) + c of row
// r.
NLM_DEVICE void finish_scores(float (&scores)[8][4], const AttentionCall& call, const QueryRows& rows, int kv_head, int tile) {
#pragma unroll
    for (int n = 0; n < 8; ++n)
        for (int i = 0; i < 4; ++i) scores[n][i] *= call.score_scale;
    if (call.softcap > 0.0f) {
#pragma unroll
        for (int n = 0; n < 8; ++n)
            for (int i = 0; i < 4; ++i) scores[n][i] = call.softcap * tanh_of(scores[n][i]);
    }
    const int lane_key = tile + (recomputed(lane_index()) & 3) * 2;
    if (call.alibi_slopes != nullptr) {
        for (int r = 0; r < 2; ++r) {
            const float slope = log2_e * load_readonly(call.alibi_slopes + kv_head * call.group + rows.packed(r) % call.group);
            const float distance = static_cast<float>(lane_key - rows.position[r]);
#pragma unroll
            for (int n = 0; n < 8; ++n)
                for (int c = 0; c < 2; ++c) scores[n][2 * r + c] += slope * (distance + static_cast<float>(8 * n + c));
        }
    }
    if (rows.all_see(tile)) return;
    for (int r = 0; r < 2; ++r) {
        const int from = first_key(call.window, rows.position[r]) - lane_key, to = rows.position[r] - lane_key;
#pragma unroll
        for (int n = 0; n < 8; ++n)
            for (int c = 0; c < 2; ++c)
                if (8 * n + c < from || 8 * n + c > to) scores[n][2 * r + c] = minus_infinity;
    }
}

// Turns the scores of a tile into probabilities p relative to the new maximum, as left operands in steps of 16 keys, and brings
// the state to that maximum.
template <typename T, int Dim> NLM_DEVICE void softmax_tile(float (&scores)[8][4], uint32_t (&p)[4][4], RowState<Dim>& state) {
    for (int r = 0; r < 2; ++r) {
        float best = minus_infinity;
#pragma unroll
        for (int n = 0; n < 8; ++n) best = fmaxf(best, fmaxf(scores[n][2 * r], scores[n][2 * r + 1]));
        best = fmaxf(best, shuffle_xor(best, 1));
        best = fmaxf(best, shuffle_xor(best, 2));
        const float maximum = fmaxf(state.maximum[r], best);
        // Of a row that has seen nothing yet: any finite number keeps 2^(-inf) = 0 apart from 2^(-inf + inf).
        const float base = maximum == minus_infinity ? 0.0f : maximum;
        const float factor = exp2_approx(state.maximum[r] - base); // 2^0 is 1 to the bit
        float sum = 0.0f;
#pragma unroll
        for (int n = 0; n < 8; ++n) {
            for (int i = 2 * r; i < 2 * r + 2; ++i) {
                scores[n][i] = exp2_approx(scores[n][i] - base); // exactly 0 where the row does not see the key
                sum += scores[n][i];
            }
        }
        state.maximum[r] = maximum;
        state.sum[r] = fmaf(state.sum[r], factor, sum);
#pragma unroll
        for (int n = 0; n < Dim / 8; ++n)
            for (int i = 2 * r; i < 2 * r + 2; ++i) state.output[n][i] *= factor;
    }
#pragma unroll
    for (int k = 0; k < 4; ++k)
        for (int i = 0; i < 4; ++i) p[k][i] = pack2<T>(scores[2 * k + i / 2][i % 2 * 2], scores[2 * k + i / 2][i % 2 * 2 + 1]);
}

// One tile of 64 keys. Every thread that shares the ring takes its buffers; a warp whose rows see none of the keys does no more.
template <typename T, int Dim, typename Ring> NLM_DEVICE void attend_tile(RowState<Dim>& state, const Query<T, Dim>& query,
                                                                          Ring& ring, const AttentionCall& call,
                                                                          const QueryRows& rows, int kv_head, int tile) {
    constexpr int buffers = Ring::steps / 2, groups = Ring::keys / 16;
    const bool sees = rows.see(tile);
    float scores[8][4];
    uint32_t p[4][4];
#pragma unroll
    for (int n = 0; n < 8; ++n)
        for (int i = 0; i < 4; ++i) scores[n][i] = 0.0f;
    static_for<0, buffers>([&](auto step) {
        const int buffer = ring.template next<step>(tile);
        if (sees) score_keys<T, Dim>(scores + 2 * groups * step, query, ring, buffer);
    });
    if (sees) {
        finish_scores(scores, call, rows, kv_head, tile);
        softmax_tile<T, Dim>(scores, p, state);
    }
    static_for<0, buffers>([&](auto step) {
        const int buffer = ring.template next<buffers + step>(tile);
        if (sees) add_values<T, Dim>(state, p + groups * step, ring, buffer);
    });
}

// How the state of a later split joins what was merged before it.
struct Merge {
    float maximum, sum, a, b;
    bool take, keep; // the first split that the row sees is taken as it is; one that it does not see changes nothing

    NLM_DEVICE Merge(float into_maximum, float into_sum, float next_maximum, float next_sum) {
        take = into_sum == 0.0f;
        keep = !take && next_sum == 0.0f;
        maximum = fmaxf(into_maximum, next_maximum);
        a = exp2_approx(into_maximum - maximum);
        b = exp2_approx(next_maximum - maximum);
        sum = fmaf(into_sum, a, next_sum * b);
        if (take || keep) {
            maximum = take ? next_maximum : into_maximum;
            sum = take ? next_sum : into_sum;
        }
    }
    NLM_DEVICE float output(float into, float next) const { return take ? next : keep ? into : fmaf(into, a, next * b); }
};

// What a row's output is multiplied by in the end. sink: log2 e times an extra logit, -inf for none.
NLM_DEVICE float output_scale(float maximum, float sum, float sink) {
    if (sink == minus_infinity) return 1.0f / sum;
    const float highest = fmaxf(sink, maximum), factor = exp2_approx(maximum - highest);
    return factor / fmaf(sum, factor, exp2_approx(sink - highest));
}

NLM_DEVICE float sink_of(const AttentionCall& call, int head) {
    return call.sinks != nullptr ? log2_e * load_readonly(call.sinks + head) : minus_infinity;
}

// Writes the rows of a warp; the state is closed and merged.
template <typename T, int Dim> NLM_DEVICE void store_rows(const AttentionCall& call, const SequencePlan& sequence, int kv_head,
                                                          const QueryRows& rows, const RowState<Dim>& state) {
    for (int r = 0; r < 2; ++r) {
        if (!rows.exists(r)) continue;
        const float scale =
            output_scale(state.maximum[r], state.sum[r], sink_of(call, kv_head * call.group + rows.packed(r) % call.group));
        T* out = static_cast<T*>(call.out) + row_offset(call, sequence, kv_head, rows.packed(r));
#pragma unroll
        for (int n = 0; n < Dim / 8; ++n) {
            const int dim = 8 * n + lane_index() % 4 * 2;
            if (dim < call.pool.head_dim)
                store(reinterpret_cast<uint32_t*>(out + dim),
                      pack2<T>(state.output[n][2 * r] * scale, state.output[n][2 * r + 1] * scale));
        }
    }
}

} // namespace nlm::simt
