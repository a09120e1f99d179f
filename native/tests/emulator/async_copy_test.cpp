// cp.async: poison at the issue, data at the wait, zeros for what is not valid, and the rules about both addresses.
#include "emulator_fixture.h"

#include <cmath>

using namespace nlm::tests;

namespace {

using Four = Vec<float, 4>;

struct Pieces {
    Array<Four, 96> rows;
};

// One piece per thread, read before its wait (found[0]), after a wait that may leave it pending (found[1]), after the last
// (found[2]).
NLM_KERNEL stages_kernel(const float* source, float* found) {
    auto& s = shared_memory<Pieces>();
    const int thread = thread_index();
    s.rows[thread] = Four{{9, 9, 9, 9}};
    cp_async16(&s.rows[thread], source + thread * 4);
    found[thread * 3] = s.rows[thread][0];
    cp_async_commit();
    cp_async_wait<1>();
    found[thread * 3 + 1] = s.rows[thread][1];
    cp_async_wait<0>();
    found[thread * 3 + 2] = s.rows[thread][2];
}

// Three groups in flight; each wait lands the oldest only.
NLM_KERNEL groups_kernel(const float* source, float* found) {
    auto& s = shared_memory<Pieces>();
    const int thread = thread_index();
    for (int group = 0; group < 3; ++group) {
        cp_async16(&s.rows[group * 32 + thread], source + (group * 32 + thread) * 4);
        cp_async_commit();
    }
    cp_async_wait<2>();
    for (int group = 0; group < 3; ++group) found[(thread * 3 + group) * 2] = s.rows[group * 32 + thread][0];
    cp_async_wait<1>();
    for (int group = 0; group < 3; ++group) found[(thread * 3 + group) * 2 + 1] = s.rows[group * 32 + thread][0];
    cp_async_wait<0>();
}

NLM_KERNEL invalid_kernel(const float* source, float* found) {
    auto& s = shared_memory<Pieces>();
    const int thread = thread_index();
    cp_async16(&s.rows[thread], thread % 2 == 0 ? source + thread * 4 : nullptr, thread % 2 == 0);
    cp_async_commit();
    cp_async_wait<0>();
    for (int i = 0; i < 4; ++i) found[thread * 4 + i] = s.rows[thread][i];
}

// Overwrites the source after the issue: what lands is what is there when the copy is waited for, the latest moment allowed.
NLM_KERNEL late_kernel(float* source, float* found) {
    auto& s = shared_memory<Pieces>();
    if (thread_index() != 0) return;
    cp_async16(&s.rows[0], source);
    cp_async_commit();
    store(source, 7.0f);
    cp_async_wait<0>();
    store(found, s.rows[0][0]);
}

NLM_KERNEL uncommitted_kernel(const float* source, float* found) {
    auto& s = shared_memory<Pieces>();
    cp_async16(&s.rows[thread_index()], source + thread_index() * 4);
    cp_async_wait<0>(); // waits for committed groups only
    found[thread_index()] = s.rows[thread_index()][0];
    cp_async_commit();
    cp_async_wait<0>();
}

NLM_KERNEL copy_kernel(const void* source, int shared_offset, bool wait) {
    auto& s = shared_memory<Pieces>();
    if (thread_index() != 6) return;
    cp_async16(reinterpret_cast<char*>(&s) + shared_offset, source);
    cp_async_commit();
    if (wait) cp_async_wait<0>();
}

constexpr Launch one_warp{1, 1, 32, sizeof(Pieces)};

std::vector<float> counted(size_t count) {
    std::vector<float> values;
    for (size_t i = 0; i < count; ++i) values.push_back(static_cast<float>(i));
    return values;
}

} // namespace

TEST("A_copy_is_poison_until_it_is_waited_for") {
    for (const std::string& schedule : schedules()) {
        const Settings settings(schedule);
        const DeviceArray<float> source(counted(128)), found(96);
        CHECK(report_of(stages_kernel, one_warp, source.data(), found.data()).empty());
        for (size_t thread = 0; thread < 32; ++thread) {
            CHECK(std::isnan(found[thread * 3]), "visible at the issue");
            CHECK(std::isnan(found[thread * 3 + 1]), "visible while it may be pending");
            CHECK(found[thread * 3 + 2] == static_cast<float>(thread * 4 + 2));
        }
    }
}

TEST("Groups_land_oldest_first") {
    const DeviceArray<float> source(counted(384)), found(192);
    CHECK(report_of(groups_kernel, one_warp, source.data(), found.data()).empty());
    for (size_t thread = 0; thread < 32; ++thread) {
        const float* f = found.data() + thread * 6;
        CHECK(f[0] == static_cast<float>(thread * 4) && std::isnan(f[2]) && std::isnan(f[4]));
        CHECK(f[1] == f[0] && f[3] == static_cast<float>((32 + thread) * 4) && std::isnan(f[5]));
    }
}

TEST("A_copy_that_is_not_valid_writes_zeros_and_reads_nothing") {
    const DeviceArray<float> source(counted(128)), found(128);
    CHECK(report_of(invalid_kernel, one_warp, source.data(), found.data()).empty());
    for (size_t i = 0; i < 128; ++i) CHECK(found[i] == (i / 4 % 2 == 0 ? static_cast<float>(i) : 0.0f));
}

TEST("A_copy_may_read_its_source_as_late_as_the_wait") {
    const DeviceArray<float> source(counted(4)), found(1);
    CHECK(report_of(late_kernel, one_warp, source.data(), found.data()).empty() && found[0] == 7);
}

TEST("A_wait_does_not_cover_what_was_not_committed") {
    const DeviceArray<float> source(counted(128)), found(32);
    CHECK(report_of(uncommitted_kernel, one_warp, source.data(), found.data()).empty());
    for (size_t i = 0; i < 32; ++i) CHECK(std::isnan(found[i]));
}

TEST("A_copy_with_a_wrong_address_is_reported") {
    const DeviceArray<float> source(counted(16));
    const auto report = [&](const void* from, size_t shared_offset) {
        return report_of(copy_kernel, one_warp, from, static_cast<int>(shared_offset), true);
    };
    CHECK(report(source.data() + 12, sizeof(Pieces) - 16).empty());
    CHECK(contains(report(source.data() + 16, 0), "no live allocation"), "past the end of the source");
    CHECK(contains(report(source.data() + 1, 0), "not aligned to 16 bytes"), "source between pieces");
    CHECK(contains(report(source.data(), 8), "not aligned to 16 bytes"), "destination between pieces");
    CHECK(contains(report(source.data(), sizeof(Pieces)), "outside the block's"), "past the end of shared memory");
    CHECK(contains(report(source.data(), sizeof(Pieces)), "thread 6"));
}

TEST("A_thread_that_ends_with_a_copy_under_way_is_reported") {
    const DeviceArray<float> source(counted(16));
    const std::string text = report_of(copy_kernel, one_warp, static_cast<const void*>(source.data()), 0, false);
    CHECK(contains(text, "nobody waited for") && contains(text, "thread 6"), "%s", text.c_str());
}
