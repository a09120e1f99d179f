// Persistent worker threads of one CPU device. The calling thread works too. Jobs are taken by an atomic counter, so which
// thread runs a job is unspecified: a job's bits must depend on its index only.
#pragma once

#include <cstdint>
#include <memory>

namespace nlm::cpu {

class ThreadPool {
public:
    // thread_count includes the caller; at least 1.
    explicit ThreadPool(int thread_count);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int thread_count() const { return thread_count_; }

    // Runs body(context, job, thread) for each job in [0, job_count); thread in [0, thread_count) names scratch space.
    // Returns when all are done. One caller at a time. body must not throw.
    using Body = void (*)(void* context, int64_t job, int thread);
    void run(int64_t job_count, Body body, void* context);

    // The same for a callable: pool.run(n, [&](int64_t job, int thread) { … }).
    template <typename Callable> void run(int64_t job_count, const Callable& callable) {
        run(
            job_count, [](void* context, int64_t job, int thread) { (*static_cast<const Callable*>(context))(job, thread); },
            const_cast<void*>(static_cast<const void*>(&callable)));
    }

private:
    struct State;
    std::unique_ptr<State> state_;
    int thread_count_;
};

} // namespace nlm::cpu
