#include "harness.h"
#include "thread_pool.h"

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

using nlm::cpu::ThreadPool;

TEST("Every_job_runs_exactly_once_whatever_the_counts") {
    for (const int threads : {1, 2, 3, 8}) {
        ThreadPool pool(threads);
        for (const int64_t jobs : {0, 1, 2, 3, 7, 64, 1000}) {
            std::vector<std::atomic<int>> runs(static_cast<size_t>(jobs));
            std::atomic<bool> thread_in_range{true};
            pool.run(jobs, [&](int64_t job, int thread) {
                runs[static_cast<size_t>(job)].fetch_add(1);
                if (thread < 0 || thread >= threads) thread_in_range = false;
            });
            for (const std::atomic<int>& count : runs)
                CHECK(count.load() == 1, "threads %d jobs %lld", threads, static_cast<long long>(jobs));
            CHECK(thread_in_range.load());
        }
    }
}

TEST("Plain_writes_of_a_job_are_seen_by_the_caller_and_by_later_runs") {
    ThreadPool pool(4);
    std::vector<int> values(257, 0);
    for (int round = 0; round < 2000; ++round)
        pool.run(static_cast<int64_t>(values.size()), [&](int64_t job, int) { values[static_cast<size_t>(job)] += 1; });
    for (const int value : values) CHECK(value == 2000, "found %d", value);
}

TEST("Scratch_named_by_the_thread_is_never_shared") {
    ThreadPool pool(4);
    std::vector<int64_t> sums(4, 0);
    for (int round = 0; round < 500; ++round)
        pool.run(100, [&](int64_t job, int thread) { sums[static_cast<size_t>(thread)] += job; });
    CHECK(sums[0] + sums[1] + sums[2] + sums[3] == 500 * 4950);
}

TEST("A_run_after_workers_fell_asleep_still_completes") {
    ThreadPool pool(3);
    std::atomic<int> total{0};
    for (int round = 0; round < 20; ++round) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1)); // longer than workers spin and yield
        pool.run(9, [&](int64_t, int) { total.fetch_add(1); });
    }
    CHECK(total.load() == 180);
}

TEST("Callers_on_several_threads_take_turns") {
    ThreadPool pool(2);
    std::atomic<int> total{0};
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 4; ++caller)
        callers.emplace_back([&] {
            for (int round = 0; round < 200; ++round) pool.run(5, [&](int64_t, int) { total.fetch_add(1); });
        });
    for (std::thread& caller : callers) caller.join();
    CHECK(total.load() == 4 * 200 * 5);
}

TEST("Pools_start_and_stop_cleanly_many_times") {
    for (int round = 0; round < 100; ++round) {
        ThreadPool pool(1 + round % 4);
        if (round % 3 != 0) {
            std::atomic<int> total{0};
            pool.run(round, [&](int64_t, int) { total.fetch_add(1); });
            CHECK(total.load() == round);
        }
    }
}
