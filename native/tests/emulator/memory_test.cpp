// Shared and global memory: bounds, alignment, poison, life time, atomics.
#include "emulator_fixture.h"

#include <cmath>

using namespace nlm::tests;

namespace {

struct Floats {
    Array<float, 32> values;
};

// What the block finds in its shared memory before it writes there.
NLM_KERNEL poison_kernel(float* out) {
    auto& s = shared_memory<Floats>();
    out[block_index() * 32 + thread_index()] = s.values[thread_index()];
    sync_threads();
    s.values[thread_index()] = 1;
}

NLM_KERNEL index_kernel(int index) {
    auto& s = shared_memory<Floats>();
    if (thread_index() == 9) s.values[index] = 0;
}

NLM_KERNEL load_kernel(const float* p, float* out) {
    if (thread_index() == 3) store(out, load(p));
}
NLM_KERNEL store_kernel(float* p) {
    if (thread_index() == 3 && block_index() == 1) store(p, 2.0f);
}
NLM_KERNEL vector_load_kernel(const void* p, float* out) {
    if (thread_index() == 0) store(out, load_vector<Vec<float, 4>>(p)[3]);
}
NLM_KERNEL vector_store_kernel(void* p) {
    if (thread_index() == 0) store_vector(p, Vec<uint32_t, 2>{{1, 2}});
}
NLM_KERNEL add_kernel(int32_t* total) {
    atomic_add(total, 1 + block_index());
}

struct Totals {
    Array<uint32_t, 4> words;
};

NLM_KERNEL atomics_kernel(uint32_t* words, uint64_t* sum) {
    auto& s = shared_memory<Totals>();
    if (thread_index() == 0)
        for (int i = 0; i < 4; ++i) s.words[i] = 0;
    sync_threads();
    const auto own = static_cast<uint32_t>(block_index() * thread_count() + thread_index());
    atomic_add(&s.words[0], own);
    atomic_max(&s.words[1], own);
    atomic_or(&s.words[2], 1u << (own % 32));
    sync_threads();
    if (thread_index() == 0) {
        atomic_add(&words[0], s.words[0]);
        atomic_max(&words[1], s.words[1]);
        atomic_or(&words[2], s.words[2]);
        atomic_add(sum, uint64_t{1} << 40);
    }
}

struct Arrival {
    Array<uint32_t, 1> last;
};

// The last block to arrive adds up what all have left, and resets the counter for the next launch.
NLM_KERNEL last_arriver_kernel(int* parts, uint32_t* arrived, int* total) {
    auto& s = shared_memory<Arrival>();
    if (thread_index() == 0) {
        store(&parts[block_index()], block_index() + 1);
        thread_fence();
        s.last[0] = atomic_add(arrived, 1u) == static_cast<uint32_t>(block_count() - 1);
    }
    sync_threads();
    if (s.last[0] == 0 || thread_index() != 0) return;
    int sum = 0;
    for (int i = 0; i < block_count(); ++i) sum += load(&parts[i]);
    store(total, sum);
    *arrived = 0;
}

NLM_KERNEL too_much_shared_kernel() {
    shared_memory<Floats>().values[0] = 0;
}

} // namespace

TEST("Shared_memory_is_poisoned_before_every_block") {
    DeviceArray<float> out(3 * 32);
    out.fill(0);
    CHECK(report_of(poison_kernel, {3, 1, 32, sizeof(Floats)}, out.data()).empty());
    for (size_t i = 0; i < out.size(); ++i) CHECK(std::isnan(out[i]), "block %zu saw %g", i / 32, static_cast<double>(out[i]));
}

TEST("An_index_outside_a_shared_array_is_reported_with_its_thread") {
    for (const int index : {32, -1, 1 << 30})
        CHECK(contains(report_of(index_kernel, {1, 1, 32, sizeof(Floats)}, index), "thread 9"), "index %d", index);
    CHECK(report_of(index_kernel, {1, 1, 32, sizeof(Floats)}, 31).empty());
}

TEST("A_kernel_that_uses_more_shared_memory_than_it_was_given_is_reported") {
    const std::string report = report_of(too_much_shared_kernel, {1, 1, 32, sizeof(Floats) - 1});
    CHECK(contains(report, "128") && contains(report, "127"), "%s", report.c_str());
}

TEST("A_global_access_outside_every_allocation_is_reported") {
    DeviceArray<float> data(64), out(1);
    data.fill(5);
    CHECK(report_of(load_kernel, {1, 1, 32}, data.data() + 63, out.data()).empty() && out[0] == 5);
    for (const std::string& report : {report_of(load_kernel, {1, 1, 32}, data.data() + 64, out.data()),
                                      report_of(load_kernel, {1, 1, 32}, data.data() - 1, out.data()),
                                      report_of(load_kernel, {1, 1, 32}, static_cast<const float*>(nullptr), out.data())})
        CHECK(contains(report, "load: 4 bytes") && contains(report, "block (0, 0), thread 3"), "%s", report.c_str());
    const std::string stored = report_of(store_kernel, {2, 1, 32}, data.data() + 64);
    CHECK(contains(stored, "store: 4 bytes") && contains(stored, "block (1, 0), thread 3"), "%s", stored.c_str());
    float local = 0; // the host's own memory is none of the device's
    CHECK(contains(report_of(store_kernel, {2, 1, 32}, &local), "no live allocation"));
    CHECK(contains(report_of(add_kernel, {1, 1, 32}, reinterpret_cast<int32_t*>(data.data() + 64)), "atomic"));
}

TEST("Freed_memory_is_out_of_bounds") {
    float* freed = nullptr;
    {
        const DeviceArray<float> data(64);
        freed = data.data();
    }
    CHECK(contains(report_of(store_kernel, {2, 1, 32}, freed), "no live allocation"));
    CHECK(cudaFree(freed) == cudaErrorInvalidValue, "freed twice");
    CHECK(cudaFree(nullptr) == cudaSuccess);
}

TEST("A_vector_access_at_an_address_that_is_not_its_multiple_is_reported") {
    DeviceArray<float> data(64), out(1);
    data.fill(1);
    CHECK(report_of(vector_load_kernel, {1, 1, 32}, data.data() + 4, out.data()).empty() && out[0] == 1);
    for (const int offset : {1, 2, 3})
        CHECK(contains(report_of(vector_load_kernel, {1, 1, 32}, data.data() + offset, out.data()), "not aligned to 16 bytes"));
    CHECK(contains(report_of(vector_store_kernel, {1, 1, 32}, data.data() + 1), "not aligned to 8 bytes"));
    CHECK(report_of(vector_store_kernel, {1, 1, 32}, data.data() + 2).empty());
    // Aligned, but the last element lies past the end.
    const DeviceArray<float> odd(6);
    CHECK(contains(report_of(vector_load_kernel, {1, 1, 32}, odd.data() + 4, out.data()), "16 bytes"));
}

TEST("Fresh_device_memory_is_poison_and_pinned_memory_is_reachable") {
    const DeviceArray<float> fresh(100);
    for (size_t i = 0; i < fresh.size(); ++i) CHECK(std::isnan(fresh[i]));
    void* pinned = nullptr;
    CHECK(cudaHostAlloc(&pinned, 64, cudaHostAllocMapped) == cudaSuccess);
    CHECK(report_of(store_kernel, {2, 1, 32}, static_cast<float*>(pinned)).empty() && *static_cast<float*>(pinned) == 2);
    CHECK(cudaFree(pinned) == cudaErrorInvalidValue, "pinned memory is not freed as device memory");
    CHECK(cudaFreeHost(pinned) == cudaSuccess);
}

TEST("Atomics_of_all_threads_and_blocks_add_up_in_every_schedule") {
    for (const std::string& schedule : schedules()) {
        const Settings settings(schedule);
        DeviceArray<uint32_t> words(std::vector<uint32_t>{0, 0, 0});
        DeviceArray<uint64_t> sum(std::vector<uint64_t>{0});
        CHECK(report_of(atomics_kernel, {5, 1, 96, sizeof(Totals)}, words.data(), sum.data()).empty());
        CHECK(words[0] == 480 * 479 / 2 && words[1] == 479 && words[2] == 0xffffffffu && sum[0] == uint64_t{5} << 40);
    }
}

TEST("The_last_block_to_arrive_sees_the_work_of_all_in_every_schedule") {
    for (const std::string& schedule : schedules()) {
        const Settings settings(schedule);
        DeviceArray<int> parts(7), total(1);
        DeviceArray<uint32_t> arrived(std::vector<uint32_t>{0});
        for (int round = 0; round < 3; ++round) {
            total[0] = 0;
            CHECK(
                report_of(last_arriver_kernel, {7, 1, 32, sizeof(Arrival)}, parts.data(), arrived.data(), total.data()).empty());
            CHECK(total[0] == 28 && arrived[0] == 0, "round %d: %d", round, total[0]);
        }
    }
}

TEST("Memory_is_counted_and_limited") {
    const int64_t live = counter("live_allocations"), bytes = counter("live_bytes");
    size_t free_before = 0, free_now = 0, total = 0;
    CHECK(cudaMemGetInfo(&free_before, &total) == cudaSuccess);
    {
        const DeviceArray<char> data(1000);
        CHECK(counter("live_allocations") == live + 1 && counter("live_bytes") == bytes + 1000);
        CHECK(cudaMemGetInfo(&free_now, &total) == cudaSuccess && free_now + 1000 == free_before && free_now < total);
    }
    CHECK(counter("live_allocations") == live && counter("live_bytes") == bytes);
    const Settings settings("memory=4096");
    void* memory = nullptr;
    CHECK(cudaMalloc(&memory, 4097) == cudaErrorMemoryAllocation && memory == nullptr);
    CHECK(cudaMalloc(&memory, 4096) == cudaSuccess);
    CHECK(cudaFree(memory) == cudaSuccess);
}
