// Shuffles, votes and warp barriers: what they give, and what happens to kernels that break their rules.
#include "emulator_fixture.h"

#include <set>

using namespace nlm::tests;

namespace {

template <typename T> T lane_value(int thread) {
    return static_cast<T>(thread) * 1000 + 7;
}

// Four results per thread.
template <typename T> NLM_KERNEL shuffle_kernel(T* out) {
    const int thread = thread_index();
    const T own = lane_value<T>(thread);
    out[thread * 4] = shuffle(own, (lane_index() * 5 + 3) % 32);
    out[thread * 4 + 1] = shuffle_xor(own, 9);
    out[thread * 4 + 2] = shuffle_up(own, 3);
    out[thread * 4 + 3] = shuffle_down(own, 4);
}

template <typename T> void check_shuffles() {
    DeviceArray<T> out(96 * 4);
    CHECK(report_of(shuffle_kernel<T>, {1, 1, 96}, out.data()).empty());
    for (int thread = 0; thread < 96; ++thread) {
        const int lane = thread % 32, base = thread - lane;
        const T* found = out.data() + thread * 4;
        CHECK(found[0] == lane_value<T>(base + (lane * 5 + 3) % 32));
        CHECK(found[1] == lane_value<T>(base + (lane ^ 9)));
        CHECK(found[2] == lane_value<T>(lane < 3 ? thread : thread - 3), "shuffle_up keeps the lowest lanes' own values");
        CHECK(found[3] == lane_value<T>(lane > 27 ? thread : thread + 4), "shuffle_down keeps the highest lanes' own values");
    }
}

NLM_KERNEL vote_kernel(uint32_t* out, uint32_t pattern) {
    const bool own = (pattern >> lane_index() & 1u) != 0;
    const uint32_t votes = ballot(own), some = any(own), every = all(own);
    if (lane_index() == 17) {
        out[warp_index() * 3] = votes;
        out[warp_index() * 3 + 1] = some;
        out[warp_index() * 3 + 2] = every;
    }
}

struct Exchange {
    Array<int, 64> values;
};

// Each half warp passes values round inside itself.
NLM_KERNEL half_warp_kernel(int* out) {
    auto& s = shared_memory<Exchange>();
    const int thread = thread_index(), lane = lane_index(), first = thread - lane % 16;
    const uint32_t half = lane < 16 ? 0xffffu : 0xffff0000u;
    s.values[thread] = thread;
    sync_warp(half);
    const int neighbour = s.values[first + (thread - first + 1) % 16];
    sync_warp(half);
    s.values[thread] = neighbour * 2;
    sync_warp(half);
    out[thread] = s.values[first + (thread - first + 1) % 16];
}

NLM_KERNEL divergent_shuffle_kernel(int* out) {
    int value = lane_index();
    if (lane_index() < 16) value = shuffle_xor(value, 1);
    out[thread_index()] = value;
}
NLM_KERNEL two_places_kernel(int* out) {
    int value = lane_index();
    if (lane_index() < 16)
        value = shuffle_xor(value, 1);
    else
        value = shuffle_xor(value, 2);
    out[thread_index()] = value;
}
NLM_KERNEL foreign_mask_kernel() {
    sync_warp(lane_index() == 5 ? 0xffu << 8 : full_mask);
}
NLM_KERNEL shuffle_meets_barrier_kernel() {
    if (lane_index() == 0)
        sync_warp();
    else
        shuffle(1, 0);
}
NLM_KERNEL early_return_kernel() {
    if (lane_index() == 31) return;
    ballot(true);
}

NLM_KERNEL uniform_branch_kernel(uint32_t* out) {
    uint32_t votes = 0;
    if (warp_index() == 1) votes = ballot(lane_index() % 2 == 0);
    sync_threads();
    out[thread_index()] = votes;
}

} // namespace

TEST("Shuffles_give_each_lane_the_value_of_its_source") {
    for (const std::string& schedule : schedules()) {
        const Settings settings(schedule);
        check_shuffles<int32_t>();
        check_shuffles<float>();
        check_shuffles<uint64_t>();
        check_shuffles<double>();
    }
}

TEST("Votes_collect_every_lane_of_their_warp") {
    for (const std::string& schedule : schedules()) {
        const Settings settings(schedule);
        DeviceArray<uint32_t> out(9);
        for (const uint32_t pattern : {0u, 1u, 0x80000000u, 0xdeadbeefu, 0xffffffffu}) {
            CHECK(report_of(vote_kernel, {1, 1, 96}, out.data(), pattern).empty());
            for (size_t warp = 0; warp < 3; ++warp)
                CHECK(out[warp * 3] == pattern && out[warp * 3 + 1] == (pattern != 0) &&
                      out[warp * 3 + 2] == (pattern == 0xffffffffu));
        }
    }
}

TEST("Parts_of_a_warp_meet_apart_under_their_own_masks") {
    for (const std::string& schedule : schedules()) {
        const Settings settings(schedule);
        DeviceArray<int> out(64);
        CHECK(report_of(half_warp_kernel, {1, 1, 64, sizeof(Exchange)}, out.data()).empty());
        for (int thread = 0; thread < 64; ++thread)
            CHECK(out[static_cast<size_t>(thread)] == (thread / 16 * 16 + (thread % 16 + 2) % 16) * 2);
    }
}

TEST("A_branch_that_is_uniform_over_the_warp_may_hold_collectives") {
    DeviceArray<uint32_t> out(64);
    CHECK(report_of(uniform_branch_kernel, {1, 1, 64}, out.data()).empty());
    CHECK(out[0] == 0 && out[32] == 0x55555555u);
}

TEST("A_collective_that_some_lanes_miss_is_reported_with_its_place") {
    for (const std::string& schedule : schedules()) {
        const Settings settings(schedule);
        DeviceArray<int> out(32);
        const std::string divergent = report_of(divergent_shuffle_kernel, {1, 1, 32}, out.data());
        CHECK(contains(divergent, "16 of 32 threads wait") && contains(divergent, "16 have ended") &&
                  contains(divergent, "shuffle at collectives_test.cpp:"),
              "%s", divergent.c_str());
        const std::string returned = report_of(early_return_kernel, {1, 1, 32});
        CHECK(contains(returned, "31 of 32 threads wait") && contains(returned, "vote at"), "%s", returned.c_str());
    }
}

TEST("Lanes_that_meet_at_two_places_are_reported_with_both") {
    DeviceArray<int> out(32);
    const std::string places = report_of(two_places_kernel, {1, 1, 32}, out.data());
    const size_t first = places.find("collectives_test.cpp:");
    CHECK(contains(places, "lanes of one warp meet") && first != std::string::npos &&
              places.find("collectives_test.cpp:", first + 1) != std::string::npos,
          "%s", places.c_str());
    const std::string kinds = report_of(shuffle_meets_barrier_kernel, {1, 1, 32});
    CHECK(contains(kinds, "sync_warp") && contains(kinds, "shuffle"), "%s", kinds.c_str());
    const std::string foreign = report_of(foreign_mask_kernel, {1, 1, 32});
    CHECK(contains(foreign, "mask"), "%s", foreign.c_str());
}
