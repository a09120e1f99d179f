// Hopper's mbarriers, tensor copies and warp-group matrix instructions on the emulator: right results, and planted mistakes that
// must show.
#include "emulator_fixture.h"
#include "sm90a/hopper.cuh"

#include <cmath>

using namespace nlm::tests;
using namespace nlm::sm90a;

namespace {

// ---- one product of 64 rows by 16 columns through a ring of two stages: a small copy of what a gemm does ----

constexpr int rows = 64, columns = 16, stages = 2, k_tile = 64;

struct alignas(swizzle_atom_bytes) Ring {
    struct alignas(swizzle_atom_bytes) Stage {
        Array<unsigned char, rows * swizzle_row_bytes> left;
        Array<unsigned char, columns * swizzle_row_bytes> right;
    };
    Array<Stage, stages> stage;
    Array<Barrier, stages> full, empty;
};

enum class Mistake {
    none,
    no_proxy_fence,       // after initialising the barriers
    no_expected_bytes,    // the producer arrives without announcing the copies
    too_few_bytes,        // announces one copy of two
    too_many_bytes,       // announces bytes that never come
    no_wait_for_empty,    // refills a stage that is still read
    wrong_producer_phase, // waits for the phase after
    no_wait_for_full,     // the consumers do not wait for the copies
    wrong_consumer_phase,
    early_release, // a stage is given back before the instructions that read it are waited for
    no_wgmma_fence,
    no_wgmma_wait,     // sums are read while instructions may be under way
    no_swizzle,        // the descriptor names another layout than the copies made
    wrong_step,        // along k
    wrong_stage_order, // descriptor of the other stage
    one_warp_apart,    // one warp names another tile
    misplaced_tile,    // not at a multiple of 1024 bytes
    no_commit
};

template <Mistake mistake> void produce(Ring& ring, const TensorMap& left, const TensorMap& right, int tiles) {
    for (int tile = 0; tile < tiles; ++tile) {
        const int slot = tile % stages, parity = tile / stages % 2;
        constexpr int left_bytes = rows * swizzle_row_bytes, right_bytes = columns * swizzle_row_bytes;
        if (mistake == Mistake::wrong_producer_phase)
            barrier_wait(ring.empty[slot], parity);
        else if (mistake != Mistake::no_wait_for_empty)
            barrier_wait(ring.empty[slot], parity ^ 1);
        if (mistake == Mistake::no_expected_bytes)
            barrier_arrive(ring.full[slot]);
        else
            barrier_arrive_expect(ring.full[slot], mistake == Mistake::too_few_bytes    ? left_bytes
                                                   : mistake == Mistake::too_many_bytes ? left_bytes + 2 * right_bytes
                                                                                        : left_bytes + right_bytes);
        tensor_load<Keep::evict_first>(ring.stage[slot].left.data(), left, 0, tile * k_tile, ring.full[slot]);
        tensor_load<Keep::normal>(ring.stage[slot].right.data() + (mistake == Mistake::misplaced_tile ? 128 : 0), right, 0,
                                  tile * k_tile, ring.full[slot]);
    }
}

template <Mistake mistake> uint64_t descriptor_of(const void* tile) {
    const uint64_t descriptor = tile_descriptor(tile);
    return mistake == Mistake::no_swizzle ? descriptor & ~(uint64_t{3} << 62) : descriptor;
}

template <Mistake mistake> void consume(Ring& ring, float* out, int tiles) {
    float sums[columns / 2] = {};
    for (int tile = 0; tile < tiles; ++tile) {
        const int slot = tile % stages, parity = tile / stages % 2;
        if (mistake != Mistake::no_wait_for_full)
            barrier_wait(ring.full[slot], mistake == Mistake::wrong_consumer_phase ? parity ^ 1 : parity);
        const int read = mistake == Mistake::wrong_stage_order                     ? 1 - slot
                         : mistake == Mistake::one_warp_apart && warp_index() == 2 ? 1 - slot
                                                                                   : slot;
        const uint64_t left = descriptor_of<mistake>(ring.stage[read].left.data()),
                       right = descriptor_of<mistake>(ring.stage[read].right.data());
        if (mistake != Mistake::no_wgmma_fence) wgmma_fence();
        for (int step = 0; step < k_tile / 16; ++step) {
            const int along = mistake == Mistake::wrong_step && step == 1 ? 3 : step;
            wgmma<bf16, columns>(sums, advance(left, along), advance(right, step));
        }
        if (mistake != Mistake::no_commit) wgmma_commit();
        if (mistake == Mistake::early_release && lane_index() == 0) barrier_arrive(ring.empty[slot]);
        if (mistake == Mistake::no_wgmma_wait && tile + 1 == tiles) {
            for (int i = 0; i < columns / 2; ++i) store(out + thread_index() * columns / 2 + i, sums[i]);
            wgmma_finish(sums);
            return;
        }
        wgmma_finish(sums);
        if (mistake != Mistake::early_release && lane_index() == 0) barrier_arrive(ring.empty[slot]);
    }
    for (int i = 0; i < columns / 2; ++i) store(out + thread_index() * columns / 2 + i, sums[i]);
}

template <Mistake mistake> NLM_KERNEL multiply_kernel(TensorMap left, TensorMap right, float* out, int tiles) {
    auto& ring = nlm::sm90a::shared_memory<Ring>();
    if (thread_index() == 0) {
        for (int i = 0; i < stages; ++i) {
            barrier_init(ring.full[i], 1);
            barrier_init(ring.empty[i], group_threads / warp_size);
        }
        if (mistake != Mistake::no_proxy_fence) fence_async_proxy();
    }
    sync_threads();
    if (thread_index() < group_threads)
        consume<mistake>(ring, out, tiles);
    else if (thread_index() == group_threads)
        produce<mistake>(ring, left, right, tiles);
}

constexpr int k = 4 * k_tile + 24; // the last tile is not full

struct Operands {
    DeviceArray<bf16> left{rows * k}, right{columns * k};
    DeviceArray<float> out{rows * columns};

    Operands() {
        for (int i = 0; i < rows * k; ++i)
            left[static_cast<size_t>(i)] = from_float<bf16>(static_cast<float>((i * 7 + i / k) % 11 - 5));
        for (int i = 0; i < columns * k; ++i)
            right[static_cast<size_t>(i)] = from_float<bf16>(static_cast<float>((i * 5 + i / k) % 7 - 3));
    }
    TensorMap map(const DeviceArray<bf16>& matrix, int tile_rows) const {
        return make_tensor_map(NLM_BF16, matrix.data(), static_cast<int64_t>(matrix.size()) / k, k, k, tile_rows);
    }
    float expected(int row, int column) const {
        float sum = 0; // of small integers: exact
        for (int i = 0; i < k; ++i)
            sum += to_float(left[static_cast<size_t>(row * k + i)]) * to_float(right[static_cast<size_t>(column * k + i)]);
        return sum;
    }
    // Sum i of a thread is where hopper.cuh says.
    bool right_result() const {
        for (int thread = 0; thread < group_threads; ++thread)
            for (int i = 0; i < columns / 2; ++i) {
                const int row = thread / 32 * 16 + thread % 32 / 4 + i % 4 / 2 * 8, column = i / 4 * 8 + thread % 4 * 2 + i % 2;
                if (out[static_cast<size_t>(thread * columns / 2 + i)] != expected(row, column)) return false;
            }
        return true;
    }
};

// "" for the right result, "wrong" for another, else the report.
template <Mistake mistake> std::string outcome(const std::string& schedule) {
    const Settings settings(schedule);
    const Operands operands;
    operands.out.fill(NAN);
    const std::string report =
        report_of(multiply_kernel<mistake>, {1, 1, 2 * group_threads, sizeof(Ring)}, operands.map(operands.left, rows),
                  operands.map(operands.right, columns), operands.out.data(), nlm::simt::ceil_div(k, k_tile));
    return !report.empty() ? report : operands.right_result() ? "" : "wrong";
}

// At least one order of threads shows the mistake; `expected` is part of what is said, "wrong" where only the numbers tell, ""
// where it differs from order to order.
template <Mistake mistake> void check_caught(const char* expected) {
    bool caught = false;
    for (const std::string& schedule : schedules()) {
        const std::string found = outcome<mistake>(schedule);
        CHECK(found.empty() || contains(found, expected), "mistake %d: %s", static_cast<int>(mistake), found.c_str());
        caught |= !found.empty();
    }
    CHECK(caught, "mistake %d was not caught", static_cast<int>(mistake));
}

// ---- single parts ----

struct alignas(swizzle_atom_bytes) OneTile {
    Array<uint16_t, 16 * k_tile> tile;
    Array<Barrier, 1> landed;
};

NLM_KERNEL load_kernel(TensorMap map, int row, int column, uint16_t* before, uint16_t* after) {
    auto& s = nlm::sm90a::shared_memory<OneTile>();
    if (thread_index() != 0) return;
    barrier_init(s.landed[0], 1);
    fence_async_proxy();
    barrier_arrive_expect(s.landed[0], 16 * swizzle_row_bytes);
    tensor_load<Keep::normal>(s.tile.data(), map, row, column, s.landed[0]);
    for (int i = 0; i < 16 * k_tile; ++i) store(before + i, s.tile[i]);
    barrier_wait(s.landed[0], 0);
    for (int i = 0; i < 16 * k_tile; ++i) store(after + i, s.tile[i]);
}

// Threads wait for a phase that three of them end.
NLM_KERNEL phase_kernel(int arrivals, int parity) {
    auto& s = nlm::sm90a::shared_memory<OneTile>();
    if (thread_index() == 0) barrier_init(s.landed[0], 3);
    sync_warp();
    if (thread_index() < arrivals) barrier_arrive(s.landed[0]);
    barrier_wait(s.landed[0], parity);
}

NLM_KERNEL unwaited_kernel(TensorMap map) {
    auto& s = nlm::sm90a::shared_memory<OneTile>();
    if (thread_index() != 0) return;
    barrier_init(s.landed[0], 1);
    fence_async_proxy();
    barrier_arrive_expect(s.landed[0], 16 * swizzle_row_bytes);
    tensor_load<Keep::normal>(s.tile.data(), map, 0, 0, s.landed[0]);
}

NLM_KERNEL twice_kernel(bool initialise) {
    auto& s = nlm::sm90a::shared_memory<OneTile>();
    if (thread_index() != 0) return;
    if (!initialise) return barrier_arrive(s.landed[0]);
    barrier_init(s.landed[0], 1);
    barrier_init(s.landed[0], 1);
}

constexpr Launch one_warp{1, 1, 32, sizeof(OneTile)};

} // namespace

TEST("A_ring_of_tensor_copies_feeds_matrix_instructions_under_every_order") {
    for (const std::string& schedule : schedules()) {
        const std::string found = outcome<Mistake::none>(schedule);
        CHECK(found.empty(), "%s: %s", schedule.c_str(), found.c_str());
    }
}

TEST("Every_planted_mistake_with_barriers_and_copies_shows") {
    check_caught<Mistake::no_proxy_fence>("without fence_async_proxy");
    check_caught<Mistake::no_expected_bytes>("nobody waited for");
    check_caught<Mistake::too_few_bytes>("bytes land at the barrier");
    check_caught<Mistake::too_many_bytes>("waits for barrier_wait");
    check_caught<Mistake::no_wait_for_empty>("has had its 1 arrivals");
    check_caught<Mistake::wrong_producer_phase>("waits for barrier_wait");
    check_caught<Mistake::no_wait_for_full>("has had its 1 arrivals");
    check_caught<Mistake::wrong_consumer_phase>("");
    check_caught<Mistake::early_release>("wrong");
    check_caught<Mistake::misplaced_tile>("not aligned to 1024 bytes");
}

TEST("Every_planted_mistake_with_matrix_instructions_shows") {
    check_caught<Mistake::no_wgmma_fence>("no wgmma_fence");
    check_caught<Mistake::no_wgmma_wait>("wrong");
    check_caught<Mistake::no_swizzle>("does not name the 128-byte swizzle");
    check_caught<Mistake::wrong_step>("wrong");
    check_caught<Mistake::wrong_stage_order>("wrong");
    check_caught<Mistake::one_warp_apart>("another instruction or descriptor");
    check_caught<Mistake::no_commit>("nobody waited for");
}

TEST("A_tensor_copy_is_poison_until_its_barrier_is_waited_for_and_then_swizzled") {
    const int source_rows = 13, source_columns = 100, stride = 104;
    DeviceArray<bf16> source(static_cast<size_t>(source_rows * stride));
    for (size_t i = 0; i < source.size(); ++i) source[i].bits = static_cast<uint16_t>(i + 1);
    const DeviceArray<uint16_t> before(16 * k_tile), after(16 * k_tile);
    const TensorMap map = make_tensor_map(NLM_BF16, source.data(), source_rows, source_columns, stride, 16);
    for (const auto& [row, column] : {std::pair{0, 0}, {2, 64}, {-3, -8}, {40, 0}}) {
        CHECK(report_of(load_kernel, one_warp, map, row, column, before.data(), after.data()).empty());
        for (int i = 0; i < 16 * k_tile; ++i) {
            CHECK(before[static_cast<size_t>(i)] == 0xffff, "visible before the wait");
            const int r = i / k_tile, c = i % k_tile, place = r * k_tile + (c / 8 ^ r % 8) * 8 + c % 8;
            const bool inside = row + r >= 0 && row + r < source_rows && column + c >= 0 && column + c < source_columns;
            const int expected = inside ? (row + r) * stride + column + c + 1 : 0;
            CHECK(after[static_cast<size_t>(place)] == expected, "tile at %d, %d: row %d column %d", row, column, r, c);
        }
    }
}

TEST("A_barrier_counts_arrivals_and_phases") {
    CHECK(report_of(phase_kernel, one_warp, 3, 0).empty());
    CHECK(report_of(phase_kernel, one_warp, 0, 1).empty(), "the phase before the first counts as ended");
    const std::string stuck = report_of(phase_kernel, one_warp, 2, 0);
    CHECK(contains(stuck, "deadlock") && contains(stuck, "barrier_wait"), "%s", stuck.c_str());
    CHECK(contains(report_of(twice_kernel, one_warp, true), "initialised already"));
    CHECK(contains(report_of(twice_kernel, one_warp, false), "was not initialised"));
}

TEST("A_block_that_ends_with_a_tensor_copy_under_way_is_reported") {
    const DeviceArray<bf16> source(16 * k_tile);
    const TensorMap map = make_tensor_map(NLM_BF16, source.data(), 16, k_tile, k_tile, 16);
    CHECK(contains(report_of(unwaited_kernel, one_warp, map), "nobody waited for"));
}

TEST("A_tensor_copy_from_memory_that_is_gone_is_reported") {
    TensorMap map;
    {
        const DeviceArray<bf16> source(16 * k_tile);
        map = make_tensor_map(NLM_BF16, source.data(), 16, k_tile, k_tile, 16);
    }
    CHECK(contains(report_of(unwaited_kernel, one_warp, map), "no live allocation"));
}

TEST("A_matrix_that_the_copy_engine_cannot_address_is_refused") {
    const DeviceArray<bf16> source(16 * k_tile);
    const auto refused = [&](const void* base, int64_t matrix_rows, int64_t matrix_columns, int64_t stride, int tile_rows) {
        try {
            make_tensor_map(NLM_BF16, base, matrix_rows, matrix_columns, stride, tile_rows);
        } catch (const nlm::Error& error) {
            return error.status() == NLM_INVALID_ARGUMENT;
        }
        return false;
    };
    CHECK(!refused(source.data(), 16, 64, 64, 16));
    CHECK(refused(source.data() + 1, 15, 64, 64, 16), "base between 16 bytes");
    CHECK(refused(source.data(), 16, 60, 60, 16), "stride between 16 bytes");
    CHECK(refused(source.data(), 16, 64, 56, 16), "rows overlap");
    CHECK(refused(source.data(), 0, 64, 64, 16), "no rows");
    CHECK(refused(source.data(), 16, 64, 64, 257), "tile too high");
    CHECK(refused(source.data(), 16, 64, int64_t{1} << 40, 16), "stride past the engine's limit");
}
