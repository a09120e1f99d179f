// Hopper's mbarriers, tensor copies and warp-group matrix instructions on the emulator, one by one. What happens to mistakes with
// them is in mutants/hopper_mutants.cpp.
#include "emulator_fixture.h"
#include "sm90a/hopper.cuh"

#include <cmath>

using namespace nlm::tests;
using namespace nlm::sm90a;

namespace {

constexpr int k_tile = 64;

struct alignas(swizzle_atom_bytes) OneTile {
    Array<uint16_t, 16 * k_tile> tile;
    Array<Barrier, 1> landed;
};

struct alignas(swizzle_atom_bytes) Operands {
    Array<uint16_t, 64 * k_tile> left[2];
    Array<uint16_t, 24 * k_tile> right[2];
    Array<Barrier, 1> landed;
};

// One warp group; k of two tiles.
NLM_KERNEL multiply_kernel(TensorMap left, TensorMap right, float* sums) {
    auto& s = nlm::sm90a::shared_memory<Operands>();
    if (thread_index() == 0) {
        barrier_init(s.landed[0], 1);
        fence_async_proxy();
        barrier_arrive_expect(s.landed[0], 2 * (64 + 24) * swizzle_row_bytes);
        for (int tile = 0; tile < 2; ++tile) {
            tensor_load<Keep::normal>(s.left[tile].data(), left, 0, tile * k_tile, s.landed[0]);
            tensor_load<Keep::evict_first>(s.right[tile].data(), right, 0, tile * k_tile, s.landed[0]);
        }
    }
    sync_threads();
    barrier_wait(s.landed[0], 0);
    float d[12] = {};
    wgmma_fence();
    for (int step = 0; step < 8; ++step)
        wgmma<bf16, 24>(d, advance(tile_descriptor(s.left[step / 4].data()), step % 4),
                        advance(tile_descriptor(s.right[step / 4].data()), step % 4));
    wgmma_commit();
    wgmma_finish(d);
    for (int i = 0; i < 12; ++i) store(sums + thread_index() * 12 + i, d[i]);
}

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

TEST("Matrix_instructions_multiply_swizzled_tiles_and_keep_their_lane_layout") {
    const int k = 100; // the copies fill up with zeros
    const auto value = [](int row, int i, int period) { return static_cast<float>((row * 5 + i * 3) % period - period / 2); };
    DeviceArray<bf16> left(64 * 104), right(24 * 104);
    for (int row = 0; row < 64; ++row)
        for (int i = 0; i < k; ++i) left[static_cast<size_t>(row * 104 + i)] = from_float<bf16>(value(row, i, 11));
    for (int row = 0; row < 24; ++row)
        for (int i = 0; i < k; ++i) right[static_cast<size_t>(row * 104 + i)] = from_float<bf16>(value(row, i, 7));
    const DeviceArray<float> sums(64 * 24);
    for (const std::string& schedule : schedules()) {
        const Settings settings(schedule);
        sums.fill(NAN);
        const std::string report = report_of(multiply_kernel, {1, 1, group_threads, sizeof(Operands)},
                                             make_tensor_map(NLM_BF16, left.data(), 64, k, 104, 64),
                                             make_tensor_map(NLM_BF16, right.data(), 24, k, 104, 24), sums.data());
        CHECK(report.empty(), "%s", report.c_str());
        for (int thread = 0; thread < group_threads; ++thread)
            for (int i = 0; i < 12; ++i) {
                const int row = thread / 32 * 16 + thread % 32 / 4 + i % 4 / 2 * 8, column = i / 4 * 8 + thread % 4 * 2 + i % 2;
                float expected = 0; // of small integers: exact
                for (int j = 0; j < k; ++j) expected += value(row, j, 11) * value(column, j, 7);
                CHECK(sums[static_cast<size_t>(thread * 12 + i)] == expected, "thread %d sum %d", thread, i);
            }
    }
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
