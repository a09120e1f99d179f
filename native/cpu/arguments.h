// What the row-wise ops share beside core/check.h.
#pragma once

#include "check.h"
#include "device.h"

#include <limits>

namespace nlm::cpu {

constexpr int64_t count_limit = std::numeric_limits<int32_t>::max();

// The stream is not null and the args block is as large as this library's.
template <typename Args> void check_call(const nlm_stream* stream, const Args* args) {
    NLM_REQUIRE(stream != nullptr, "stream: expected a stream, found null");
    check_args(args);
}

// rows · columns elements must be addressable.
inline void check_extent(int64_t rows, int64_t columns, int64_t element_bytes, const char* name) {
    checked_product(checked_product(rows, columns, name), element_bytes, name);
}

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
