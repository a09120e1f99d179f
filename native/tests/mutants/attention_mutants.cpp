// The parts of attention put together wrongly: two warps of 16 rows look up keys of a paged cache through a ring each.
#include "mutants.h"

#include "device/attention_tile.cuh"

using namespace nlm::tests;
using nlm::key_tile;

namespace {

enum class Bug {
    none,
    unswizzled_read,
    one_ring_for_all,
    fetches_past_the_end,
    sees_one_more,
    masks_nothing,
    unclosed_sums,
    unwaited_copies
};

constexpr int dim = 32, heads = 2, rows = 16, length = 70, block_size = 8, blocks = (length + block_size - 1) / block_size;

// Reads chunks where they would lie without the swizzle.
template <Bug bug> struct Ring : KeyRing<dim, 16, 4, warp_size> {
    using Base = KeyRing<dim, 16, 4, warp_size>;
    using Base::Base;
    NLM_DEVICE Chunk* chunk(int first, int row, int chunk) {
        if (bug == Bug::unswizzled_read) chunk ^= KeyRow<dim>::swizzle(row);
        return Base::chunk(first, row, chunk);
    }
};

struct Smem {
    struct OfWarp {
        KeyRing<dim, 16, 4, warp_size>::Shared ring;
        QueryShared<dim> query;
    };
    Array<OfWarp, heads> of_warp;
};

template <Bug bug> NLM_KERNEL lookup(AttentionCall call, SequencePlan sequence, float* out) {
    auto& s = shared_memory<Smem>();
    const int head = warp_index();
    Ring<bug> ring(s.of_warp[bug == Bug::one_ring_for_all ? 0 : head].ring, call);
    Query<bf16, dim> query(s.of_warp[head].query);
    QueryRows seen(call, sequence, 0);
    if (bug == Bug::sees_one_more)
        for (int* last : {&seen.position[0], &seen.position[1], &seen.seen_to}) ++*last;
    if (bug == Bug::masks_nothing) seen.common_to = length + key_tile;
    RowState<dim> state;
    state.clear();
    query.load(call, sequence, head, seen);
    const int end = bug == Bug::sees_one_more ? length + 1 : length;
    ring.open(sequence, head, 0, bug == Bug::fetches_past_the_end ? 2 * key_tile : end);
    for (int tile = 0; tile < length; tile += key_tile) attend_tile<bf16, dim>(state, query, ring, call, seen, head, tile);
    if (bug != Bug::unwaited_copies) ring.close();
    if (bug != Bug::unclosed_sums) state.close();
    for (int n = 0; n < dim / 8; ++n) {
        for (int i = 0; i < 4; ++i) {
            const int row = lane_index() / 4 + i / 2 * 8, column = 8 * n + lane_index() % 4 * 2 + i % 2;
            store(out + (head * rows + row) * dim + column, state.output[n][i] / state.sum[i / 2]);
        }
    }
}

// Keys 2 i and 2 i + 1 have the code of i, six signs; a query asks for the code of its own position.
float sign_of(int key, int bit) {
    return key / 2 >> bit & 1 ? 1.0f : -1.0f;
}
float value_of(int head, int key) {
    return static_cast<float>(head == 0 ? key : -key);
}

template <Bug bug> Outcome run() {
    nlm_kv_cache cache{sizeof cache, NLM_BF16, nullptr, blocks, block_size, 1, heads, dim};
    AttentionCall call{};
    call.pool = kv_pool(cache, 0);
    const DeviceArray<bf16> pool(static_cast<size_t>(call.pool.block_bytes / 2 * blocks)), q(rows * heads * dim);
    const DeviceArray<float> out(heads * rows * dim);
    pool.fill(from_float<bf16>(NAN));
    q.fill(from_float<bf16>(0));
    std::vector<int32_t> ids; // the last blocks come first; past the table's end lie ids that no pool has
    for (int block = 0; block < 2 * key_tile / block_size; ++block) ids.push_back(block < blocks ? blocks - 1 - block : -1);
    const DeviceArray<int32_t> table(ids);
    for (int head = 0; head < heads; ++head) {
        for (int key = 0; key < length; ++key) {
            const int64_t start = call.pool.head_offset(ids[static_cast<size_t>(key / block_size)], head) +
                                  int64_t{key % block_size} * call.pool.row_bytes;
            for (int i = 0; i < dim; ++i) {
                pool[static_cast<size_t>(start / 2 + i)] = from_float<bf16>(i < 6 ? sign_of(key, i) : 0);
                pool[static_cast<size_t>((start + call.pool.half_bytes) / 2 + i)] = from_float<bf16>(value_of(head, key));
            }
        }
        for (int row = 0; row < rows; ++row)
            for (int i = 0; i < 6; ++i)
                q[static_cast<size_t>((row * heads + head) * dim + i)] = from_float<bf16>(16 * sign_of(length - rows + row, i));
    }
    out.fill(NAN);
    call.pool.data = reinterpret_cast<char*>(pool.data());
    call.q = q.data();
    call.block_tables = table.data();
    call.q_head_count = heads;
    call.group = 1;
    call.table_stride = static_cast<int32_t>(ids.size());
    call.score_scale = 8; // a wrong sign costs 2^256
    SequencePlan sequence{};
    sequence.row_count = rows;
    sequence.length = length;
    return outcome_of(lookup<bug>, {1, 1, heads * warp_size, sizeof(Smem)}, out, call, sequence, out.data());
}

// The mean of the keys of the code that the row sees: one where it is the first of the two.
std::vector<float> right() {
    std::vector<float> values;
    for (int head = 0; head < heads; ++head) {
        for (int key = length - rows; key < length; ++key) {
            const float value = key % 2 == 0 ? value_of(head, key) : (value_of(head, key - 1) + value_of(head, key)) / 2;
            values.insert(values.end(), dim, value);
        }
    }
    return values;
}

const PlantedBugs planted({
    {"lookup", "none", run<Bug::none>, right, {}},
    {"lookup", "unswizzled_read", run<Bug::unswizzled_read>, right, {{Means::wrong}}},
    {"lookup", "one_ring_for_all", run<Bug::one_ring_for_all>, right, {{Means::wrong}, {Means::race_detector}}},
    {"lookup", "fetches_past_the_end", run<Bug::fetches_past_the_end>, right, {{Means::wrong}}},
    {"lookup", "sees_one_more", run<Bug::sees_one_more>, right, {{Means::wrong}}},
    {"lookup", "masks_nothing", run<Bug::masks_nothing>, right, {{Means::wrong}}},
    {"lookup", "unclosed_sums", run<Bug::unclosed_sums>, right, {{Means::wrong}}},
    {"lookup", "unwaited_copies", run<Bug::unwaited_copies>, right, {{Means::report, "asynchronous copies"}}},
});

} // namespace
