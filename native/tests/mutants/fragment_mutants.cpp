// One tile product through swizzled shared memory, ldmatrix and mma: d[16, 8] = a[16, 64] · b[64, 8].
#include "mutants.h"

using namespace nlm::tests;

namespace {

enum class Bug { none, missing_sync_warp, wrong_swizzle, no_swizzle, missing_trans, swapped_words, skipped_step };

constexpr int depth = 64, chunk = 8; // 16-bit elements of 16 bytes
using Chunk = Vec<bf16, chunk>;

struct Smem {
    Array<Chunk, 16 * depth / chunk> a; // 16 rows of 8 chunks
    Array<Chunk, depth> b;              // 64 rows of one chunk, and 7 unused ones beside it
};

template <Bug bug> NLM_DEVICE int place(int row, int column_chunk) {
    return row * (depth / chunk) + (bug == Bug::no_swizzle ? column_chunk : column_chunk ^ (row & 7));
}

template <Bug bug> NLM_KERNEL tile_product(const bf16* a, const bf16* b, float* d) {
    auto& s = shared_memory<Smem>();
    const int lane = lane_index();
    for (int i = lane; i < 16 * depth / chunk; i += warp_size)
        s.a[place<bug>(i / (depth / chunk), i % (depth / chunk))] = load_vector<Chunk>(a + i * chunk);
    for (int i = lane; i < depth; i += warp_size) s.b[i] = load_vector<Chunk>(b + i * chunk);
    if constexpr (bug != Bug::missing_sync_warp) sync_warp();
    float sums[4] = {};
    for (int k = 0; k < (bug == Bug::skipped_step ? depth - 16 : depth); k += 16) {
        uint32_t fragment_a[4], fragment_b[2];
        const int row = lane % 16, column_chunk = k / chunk + lane / 16;
        ldmatrix_x4(fragment_a, &s.a[place<bug>(row, bug == Bug::wrong_swizzle ? column_chunk ^ 1 : column_chunk)]);
        const void* row_b = &s.b[k + lane % 16];
        if constexpr (bug == Bug::missing_trans)
            ldmatrix_x2(fragment_b, row_b);
        else
            ldmatrix_x2_trans(fragment_b, row_b);
        if constexpr (bug == Bug::swapped_words) {
            const uint32_t word = fragment_a[1];
            fragment_a[1] = fragment_a[2];
            fragment_a[2] = word;
        }
        mma_m16n8k16<bf16>(sums, fragment_a, fragment_b);
    }
    for (int i = 0; i < 4; ++i) store(d + (lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2, sums[i]);
}

int value_a(int row, int k) {
    return (row * 7 + k * 3) % 11 - 5;
}
int value_b(int k, int column) {
    return (k * 5 + column * 3) % 13 - 6;
}

template <Bug bug> Outcome run() {
    const DeviceArray<bf16> a(16 * depth), b(depth * 8);
    const DeviceArray<float> d(16 * 8);
    for (int row = 0; row < 16; ++row)
        for (int k = 0; k < depth; ++k)
            a[static_cast<size_t>(row * depth + k)] = from_float<bf16>(static_cast<float>(value_a(row, k)));
    for (int k = 0; k < depth; ++k)
        for (int column = 0; column < 8; ++column)
            b[static_cast<size_t>(k * 8 + column)] = from_float<bf16>(static_cast<float>(value_b(k, column)));
    return outcome_of(tile_product<bug>, {1, 1, 32, sizeof(Smem)}, d, a.data(), b.data(), d.data());
}

std::vector<float> right() {
    std::vector<float> d;
    for (int row = 0; row < 16; ++row)
        for (int column = 0; column < 8; ++column) {
            int sum = 0;
            for (int k = 0; k < depth; ++k) sum += value_a(row, k) * value_b(k, column);
            d.push_back(static_cast<float>(sum));
        }
    return d;
}

const PlantedBugs planted({
    {"tile_product", "none", run<Bug::none>, right, {}},
    {"tile_product",
     "missing_sync_warp",
     run<Bug::missing_sync_warp>,
     right,
     {{Means::wrong}, {Means::schedules}, {Means::race_detector}}},
    {"tile_product", "wrong_swizzle", run<Bug::wrong_swizzle>, right, {{Means::wrong}}},
    {"tile_product", "no_swizzle", run<Bug::no_swizzle>, right, {{Means::conflicts}}},
    {"tile_product", "missing_trans", run<Bug::missing_trans>, right, {{Means::wrong}}},
    {"tile_product", "swapped_words", run<Bug::swapped_words>, right, {{Means::wrong}}},
    {"tile_product", "skipped_step", run<Bug::skipped_step>, right, {{Means::wrong}}},
});

} // namespace
