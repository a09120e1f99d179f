// nlm_gather_rows: picks rows by index. Copies bytes, so it needs no instruction family.
#include "arguments.h"
#include "graph.h"
#include "row_args.h"

#include <cstring>

namespace nlm::cpu {
namespace {

void run(nlm_device& device, const nlm_gather_rows_args& args) {
    const int32_t rows = true_count(args.rows, args.rows_max);
    for (int32_t i = 0; i < rows; i++) {
        NLM_REQUIRE(args.indices[i] < args.x_rows, "indices[%d]: expected less than x_rows %d, found %d", i, args.x_rows,
                    args.indices[i]);
    }
    const int64_t bytes = type_bytes(args.type) * args.columns;
    run_rows(device.pool, rows, bytes / 4, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; i++) {
            if (args.indices[i] < 0) continue;
            std::memcpy(static_cast<char*>(args.out) + i * bytes, static_cast<const char*>(args.x) + args.indices[i] * bytes,
                        static_cast<size_t>(bytes));
        }
    });
}

} // namespace
} // namespace nlm::cpu

NLM_API int32_t nlm_gather_rows(nlm_stream* stream, const nlm_gather_rows_args* args) {
    using namespace nlm;
    using namespace nlm::cpu;
    return guard("nlm_gather_rows", [&] {
        check_call(stream, args);
        if (args->rows_max == 0) return;
        check(*args);
        submit(stream, [device = stream->device, call = *args] { run(*device, call); });
    });
}
