// Hopper's ring: tensor copies fill stages, barriers hand them over, a warp group multiplies 64 rows by 16 columns from them.
#include "mutants.h"
#include "sm90a/hopper.cuh"

using namespace nlm::tests;
using namespace nlm::sm90a;

namespace {

constexpr int rows = 64, columns = 16, stages = 2, k_tile = 64;
constexpr int k = 4 * k_tile + 24; // the last tile is not full
constexpr int tiles = 5;

struct alignas(swizzle_atom_bytes) Ring {
    struct alignas(swizzle_atom_bytes) Stage {
        Array<unsigned char, rows * swizzle_row_bytes> left;
        Array<unsigned char, columns * swizzle_row_bytes> right;
    };
    Array<Stage, stages> stage;
    Array<Barrier, stages> full, empty;
};

enum class Bug {
    none,
    missing_proxy_fence,    // after the barriers are initialised
    missing_bytes,          // the producer arrives without announcing its copies
    too_few_bytes,          // announces one copy of two
    too_many_bytes,         // announces bytes that never come
    missing_wait_for_empty, // refills a stage that is still read
    wrong_producer_phase,   // waits for the phase after
    missing_wait_for_full,  // multiplies before the copies have landed
    wrong_consumer_phase,
    early_release, // gives a stage back before the instructions that read it are waited for
    missing_fence,
    missing_matrix_wait, // reads sums while instructions may be under way
    missing_commit,
    missing_swizzle, // the descriptor names another layout than the copies made
    wrong_step,      // along k
    wrong_stage,     // descriptor of the stage beside
    one_warp_apart,  // one warp names another tile
    misplaced_tile   // not at a multiple of 1024 bytes
};

template <Bug bug> void produce(Ring& ring, const TensorMap& left, const TensorMap& right) {
    for (int tile = 0; tile < tiles; ++tile) {
        const int slot = tile % stages, parity = tile / stages % 2;
        constexpr int left_bytes = rows * swizzle_row_bytes, right_bytes = columns * swizzle_row_bytes;
        if (bug == Bug::wrong_producer_phase)
            barrier_wait(ring.empty[slot], parity);
        else if (bug != Bug::missing_wait_for_empty)
            barrier_wait(ring.empty[slot], parity ^ 1);
        if (bug == Bug::missing_bytes)
            barrier_arrive(ring.full[slot]);
        else
            barrier_arrive_expect(ring.full[slot], bug == Bug::too_few_bytes    ? left_bytes
                                                   : bug == Bug::too_many_bytes ? left_bytes + 2 * right_bytes
                                                                                : left_bytes + right_bytes);
        tensor_load<Keep::evict_first>(ring.stage[slot].left.data(), left, 0, tile * k_tile, ring.full[slot]);
        tensor_load<Keep::normal>(ring.stage[slot].right.data() + (bug == Bug::misplaced_tile ? 128 : 0), right, 0, tile * k_tile,
                                  ring.full[slot]);
    }
}

template <Bug bug> uint64_t descriptor_of(const void* tile) {
    const uint64_t descriptor = tile_descriptor(tile);
    return bug == Bug::missing_swizzle ? descriptor & ~(uint64_t{3} << 62) : descriptor;
}

template <Bug bug> void consume(Ring& ring, float* out) {
    float sums[columns / 2] = {};
    for (int tile = 0; tile < tiles; ++tile) {
        const int slot = tile % stages, parity = tile / stages % 2;
        if (bug != Bug::missing_wait_for_full)
            barrier_wait(ring.full[slot], bug == Bug::wrong_consumer_phase ? parity ^ 1 : parity);
        const int read = bug == Bug::wrong_stage ? 1 - slot : bug == Bug::one_warp_apart && warp_index() == 2 ? 1 - slot : slot;
        const uint64_t left = descriptor_of<bug>(ring.stage[read].left.data()),
                       right = descriptor_of<bug>(ring.stage[read].right.data());
        if (bug != Bug::missing_fence) wgmma_fence();
        for (int step = 0; step < k_tile / 16; ++step) {
            const int along = bug == Bug::wrong_step && step == 1 ? 3 : step;
            wgmma<bf16, columns>(sums, advance(left, along), advance(right, step));
        }
        if (bug != Bug::missing_commit) wgmma_commit();
        if (bug == Bug::early_release && lane_index() == 0) barrier_arrive(ring.empty[slot]);
        if (bug == Bug::missing_matrix_wait && tile + 1 == tiles) {
            for (int i = 0; i < columns / 2; ++i) store(out + thread_index() * columns / 2 + i, sums[i]);
            wgmma_finish(sums);
            return;
        }
        wgmma_finish(sums);
        if (bug != Bug::early_release && lane_index() == 0) barrier_arrive(ring.empty[slot]);
    }
    for (int i = 0; i < columns / 2; ++i) store(out + thread_index() * columns / 2 + i, sums[i]);
}

template <Bug bug> NLM_KERNEL multiply(TensorMap left, TensorMap right, float* out) {
    auto& ring = nlm::sm90a::shared_memory<Ring>();
    if (thread_index() == 0) {
        for (int i = 0; i < stages; ++i) {
            barrier_init(ring.full[i], 1);
            barrier_init(ring.empty[i], group_threads / warp_size);
        }
        if (bug != Bug::missing_proxy_fence) fence_async_proxy();
    }
    sync_threads();
    if (thread_index() < group_threads)
        consume<bug>(ring, out);
    else if (thread_index() == group_threads)
        produce<bug>(ring, left, right);
}

float value(int row, int i, int period) {
    return static_cast<float>((row * 5 + i * 3) % period - period / 2);
}

std::vector<bf16> matrix(int row_count, int period) {
    std::vector<bf16> values;
    for (int row = 0; row < row_count; ++row)
        for (int i = 0; i < k; ++i) values.push_back(from_float<bf16>(value(row, i, period)));
    return values;
}

template <Bug bug> Outcome run() {
    const DeviceArray<bf16> left(matrix(rows, 11)), right(matrix(columns, 7));
    const DeviceArray<float> out(rows * columns);
    return outcome_of(multiply<bug>, {1, 1, 2 * group_threads, sizeof(Ring)}, out,
                      make_tensor_map(NLM_BF16, left.data(), rows, k, k, rows),
                      make_tensor_map(NLM_BF16, right.data(), columns, k, k, columns), out.data());
}

// Sums of small integers are exact. Sum i of a thread stands where hopper.cuh says.
std::vector<float> right() {
    std::vector<float> sums;
    for (int thread = 0; thread < group_threads; ++thread)
        for (int i = 0; i < columns / 2; ++i) {
            const int row = thread / 32 * 16 + thread % 32 / 4 + i % 4 / 2 * 8, column = i / 4 * 8 + thread % 4 * 2 + i % 2;
            float sum = 0;
            for (int j = 0; j < k; ++j) sum += value(row, j, 11) * value(column, j, 7);
            sums.push_back(sum);
        }
    return sums;
}

const PlantedBugs planted({
    {"hopper", "none", run<Bug::none>, right, {}},
    {"hopper", "missing_proxy_fence", run<Bug::missing_proxy_fence>, right, {{Means::report, "without fence_async_proxy"}}},
    {"hopper", "missing_bytes", run<Bug::missing_bytes>, right, {{Means::report, "nobody waited for"}}},
    {"hopper", "too_few_bytes", run<Bug::too_few_bytes>, right, {{Means::report, "bytes land at the barrier"}}},
    {"hopper", "too_many_bytes", run<Bug::too_many_bytes>, right, {{Means::report, "waits for barrier_wait"}}},
    {"hopper", "missing_wait_for_empty", run<Bug::missing_wait_for_empty>, right, {{Means::report, "has had its 1 arrivals"}}},
    {"hopper", "wrong_producer_phase", run<Bug::wrong_producer_phase>, right, {{Means::report, "waits for barrier_wait"}}},
    {"hopper",
     "missing_wait_for_full",
     run<Bug::missing_wait_for_full>,
     right,
     {{Means::report, "has had its 1 arrivals"}, {Means::race_detector}}},
    {"hopper", "wrong_consumer_phase", run<Bug::wrong_consumer_phase>, right, {{Means::report, "block (0, 0)"}}},
    {"hopper", "early_release", run<Bug::early_release>, right, {{Means::schedules}, {Means::race_detector}}},
    {"hopper", "missing_fence", run<Bug::missing_fence>, right, {{Means::report, "no wgmma_fence"}}},
    {"hopper", "missing_matrix_wait", run<Bug::missing_matrix_wait>, right, {{Means::wrong}}},
    {"hopper", "missing_commit", run<Bug::missing_commit>, right, {{Means::report, "nobody waited for"}}},
    {"hopper", "missing_swizzle", run<Bug::missing_swizzle>, right, {{Means::report, "does not name the 128-byte swizzle"}}},
    {"hopper", "wrong_step", run<Bug::wrong_step>, right, {{Means::wrong}}},
    {"hopper", "wrong_stage", run<Bug::wrong_stage>, right, {{Means::wrong}}},
    {"hopper", "one_warp_apart", run<Bug::one_warp_apart>, right, {{Means::report, "another instruction or descriptor"}}},
    {"hopper", "misplaced_tile", run<Bug::misplaced_tile>, right, {{Means::report, "not aligned to 1024 bytes"}}},
});

} // namespace
