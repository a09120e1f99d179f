// Block barriers: what they order, and how a kernel that uses them wrongly is reported.
#include "emulator_fixture.h"

using namespace nlm::tests;

namespace {

struct Reversal {
    Array<int, 256> values;
};

NLM_KERNEL reverse_kernel(int* out) {
    auto& s = shared_memory<Reversal>();
    const int thread = thread_index();
    s.values[thread] = block_index() * 1000 + thread;
    sync_threads();
    out[block_index() * 256 + thread] = s.values[255 - thread];
}

NLM_KERNEL half_barrier_kernel() {
    if (thread_index() < 32) sync_threads();
}
NLM_KERNEL two_barriers_kernel() {
    if (thread_index() < 32)
        sync_threads();
    else
        sync_threads();
}
NLM_KERNEL crossed_waits_kernel() {
    if (warp_index() == 0) {
        sync_threads();
    } else if (lane_index() < 8) {
        sync_warp();
    }
}
NLM_KERNEL late_return_kernel() {
    if (thread_index() == 3 && block_index() == 2) return;
    sync_threads();
}

// As many barriers as rounds; every warp sees what every other wrote in the round before.
NLM_KERNEL rounds_kernel(int* out, int rounds) {
    auto& s = shared_memory<Reversal>();
    const int thread = thread_index(), count = thread_count();
    s.values[thread] = thread;
    for (int round = 0; round < rounds; ++round) {
        sync_threads();
        const int next = s.values[(thread + 33) % count];
        sync_threads();
        s.values[thread] = next + 1;
    }
    sync_threads();
    out[thread] = s.values[thread];
}

NLM_KERNEL deep_kernel(int* out) {
    volatile char frame[64 << 10];
    for (size_t i = 0; i < sizeof frame; i += 512) frame[i] = static_cast<char>(thread_index());
    sync_threads();
    int wrong = 0;
    for (size_t i = 0; i < sizeof frame; i += 512) wrong += frame[i] != static_cast<char>(thread_index());
    out[thread_index()] = wrong;
}

} // namespace

TEST("What_is_written_before_a_barrier_is_read_after_it_in_every_schedule") {
    for (const std::string& schedule : schedules()) {
        const Settings settings(schedule);
        DeviceArray<int> out(3 * 256), rounds(96);
        CHECK(report_of(reverse_kernel, {3, 1, 256, sizeof(Reversal)}, out.data()).empty());
        for (int i = 0; i < 3 * 256; ++i) CHECK(out[static_cast<size_t>(i)] == i / 256 * 1000 + 255 - i % 256);
        CHECK(report_of(rounds_kernel, {1, 1, 96, sizeof(Reversal)}, rounds.data(), 50).empty());
        for (int i = 0; i < 96; ++i) CHECK(rounds[static_cast<size_t>(i)] == (i + 33 * 50) % 96 + 50);
    }
}

TEST("A_barrier_that_some_threads_miss_is_reported_with_block_and_line") {
    for (const std::string& schedule : schedules()) {
        const Settings settings(schedule);
        for (const std::string& report : {report_of(half_barrier_kernel, {1, 1, 64}), report_of(late_return_kernel, {4, 1, 64})})
            CHECK(contains(report, "barriers_test.cpp:") && contains(report, "sync_threads") && contains(report, "ended"), "%s",
                  report.c_str());
        CHECK(contains(report_of(late_return_kernel, {4, 1, 64}), "block (2, 0)"));
    }
}

TEST("A_barrier_met_at_two_places_is_reported_with_both") {
    const std::string report = report_of(two_barriers_kernel, {1, 1, 64});
    const size_t first = report.find("barriers_test.cpp:");
    CHECK(first != std::string::npos && report.find("barriers_test.cpp:", first + 1) != std::string::npos, "%s", report.c_str());
}

TEST("A_deadlock_between_barriers_of_different_kinds_is_reported") {
    const std::string report = report_of(crossed_waits_kernel, {1, 1, 64});
    CHECK(contains(report, "deadlock") || contains(report, "have ended"), "%s", report.c_str());
}

TEST("A_failed_block_ends_its_launch_and_the_next_launch_is_untouched") {
    for (int round = 0; round < 20; ++round) {
        CHECK(!report_of(half_barrier_kernel, {5, 1, 64}).empty());
        DeviceArray<int> out(256);
        CHECK(report_of(reverse_kernel, {1, 1, 256, sizeof(Reversal)}, out.data()).empty());
        CHECK(out[0] == 255 && out[255] == 0);
    }
}

TEST("A_thread_has_room_for_64_KiB_of_its_own") {
    DeviceArray<int> out(64);
    CHECK(report_of(deep_kernel, {1, 1, 64}, out.data()).empty());
    for (size_t i = 0; i < 64; ++i) CHECK(out[i] == 0);
}
