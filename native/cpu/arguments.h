// How row-wise ops share the thread pool.
#pragma once

#include "check.h"
#include "device.h"

namespace nlm::cpu {

// Runs body(first, last) over rows in jobs that are worth a thread's while; which job a row is in has no effect on its bits.
template <typename Body> void run_rows(ThreadPool& pool, int64_t rows, int64_t work_per_row, const Body& body) {
    constexpr int64_t WorkPerJob = 32768; // elements: about 5 µs
    const int64_t rows_per_job = work_per_row >= WorkPerJob ? 1 : WorkPerJob / (work_per_row < 1 ? 1 : work_per_row);
    const int64_t jobs = (rows + rows_per_job - 1) / rows_per_job;
    if (jobs <= 1) {
        if (rows > 0) body(int64_t{0}, rows);
        return;
    }
    pool.run(jobs, [&](int64_t job, int) {
        const int64_t first = job * rows_per_job;
        body(first, first + rows_per_job < rows ? first + rows_per_job : rows);
    });
}

} // namespace nlm::cpu
