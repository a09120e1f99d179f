#include "thread_pool.h"

#include <atomic>
#include <chrono>
#include <climits>
#include <linux/futex.h>
#include <mutex>
#include <sched.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace nlm::cpu {

namespace {

void futex_wait(std::atomic<uint32_t>& word, uint32_t expected) {
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

void futex_wake_all(std::atomic<uint32_t>& word) {
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

// Waits for a condition on atomics: spins at most 20 microseconds, gives the processor away a few times, then sleeps until
// notify(). Longer spinning would win nothing on a quiet machine and lose everything on a shared one.
class Waiter {
public:
    template <typename Condition> void wait(const Condition& condition) {
        if (spin(condition)) return;
        for (int i = 0; i < 4; ++i) {
            sched_yield();
            if (condition()) return;
        }
        for (;;) {
            const uint32_t seen = epoch_.load(std::memory_order_seq_cst);
            sleepers_.fetch_add(1, std::memory_order_seq_cst);
            const bool ready = condition();
            if (!ready) futex_wait(epoch_, seen); // returns at once if notify() has moved the epoch since
            sleepers_.fetch_sub(1, std::memory_order_seq_cst);
            if (ready || condition()) return;
        }
    }

    // Called after the condition was made true.
    void notify() {
        epoch_.fetch_add(1, std::memory_order_seq_cst);
        if (sleepers_.load(std::memory_order_seq_cst) > 0) futex_wake_all(epoch_);
    }

private:
    template <typename Condition> static bool spin(const Condition& condition) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(20);
        do {
            for (int i = 0; i < 16; ++i) {
                if (condition()) return true;
                __builtin_ia32_pause();
            }
        } while (std::chrono::steady_clock::now() < end);
        return false;
    }

    alignas(64) std::atomic<uint32_t> epoch_{0};
    std::atomic<int> sleepers_{0};
};

} // namespace

// A run publishes body, context and job_count, then sets `waiting` to the number of jobs. Whoever lowers `waiting` from above
// zero owns one job, and only an owner may read the plain fields: the run cannot end, so they cannot change, before its
// owner counts it as finished.
struct ThreadPool::State {
    std::mutex run_lock; // a second caller queues here
    Body body = nullptr;
    void* context = nullptr;
    int64_t job_count = 0;
    alignas(64) std::atomic<int64_t> waiting{0};
    alignas(64) std::atomic<int64_t> unfinished{0};
    alignas(64) std::atomic<bool> stopping{false};
    Waiter work, completion;
    std::vector<std::thread> workers;

    // Takes jobs until none wait.
    void take_jobs(int thread) {
        int64_t waiting_now = waiting.load(std::memory_order_relaxed);
        while (waiting_now > 0) {
            if (!waiting.compare_exchange_weak(waiting_now, waiting_now - 1, std::memory_order_acq_rel,
                                               std::memory_order_relaxed))
                continue;
            body(context, job_count - waiting_now, thread);
            if (unfinished.fetch_sub(1, std::memory_order_acq_rel) == 1) completion.notify();
            waiting_now = waiting.load(std::memory_order_relaxed);
        }
    }

    void work_until_stopped(int thread) {
        for (;;) {
            work.wait([this] { return waiting.load(std::memory_order_acquire) > 0 || stopping.load(std::memory_order_acquire); });
            if (stopping.load(std::memory_order_acquire)) return;
            take_jobs(thread);
        }
    }

    void stop() {
        stopping.store(true, std::memory_order_release);
        work.notify();
        for (std::thread& worker : workers) worker.join();
    }
};

ThreadPool::ThreadPool(int thread_count) : state_(std::make_unique<State>()), thread_count_(thread_count < 1 ? 1 : thread_count) {
    state_->workers.reserve(static_cast<size_t>(thread_count_ - 1));
    try {
        for (int thread = 1; thread < thread_count_; ++thread)
            state_->workers.emplace_back([state = state_.get(), thread] { state->work_until_stopped(thread); });
    } catch (...) { // the system refused a thread: end those that run, then report
        state_->stop();
        throw;
    }
}

ThreadPool::~ThreadPool() {
    state_->stop();
}

void ThreadPool::run(int64_t job_count, Body body, void* context) {
    if (job_count <= 0) return;
    State& state = *state_;
    const std::lock_guard lock(state.run_lock);
    if (thread_count_ == 1 || job_count == 1) {
        for (int64_t job = 0; job < job_count; ++job) body(context, job, 0);
        return;
    }
    state.body = body;
    state.context = context;
    state.job_count = job_count;
    state.unfinished.store(job_count, std::memory_order_relaxed);
    state.waiting.store(job_count, std::memory_order_release);
    state.work.notify();
    state.take_jobs(0);
    state.completion.wait([&state] { return state.unfinished.load(std::memory_order_acquire) == 0; });
}

} // namespace nlm::cpu
