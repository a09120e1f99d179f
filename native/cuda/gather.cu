// nlm_gather_rows: picks rows by index. Moves bytes, so it needs no element type.
#include "device/simt.cuh"
#include "row_args.h"
#include "runtime.h"

namespace nlm::simt {
namespace {

constexpr int gather_threads = 256;

// One block per row of `units` accesses as wide as Unit. An index outside x leaves the row as it is.
template <typename Unit> NLM_KERNEL NLM_LAUNCH_BOUNDS(gather_threads, 4) gather_rows(nlm_gather_rows_args args, int64_t units) {
    const int64_t row = block_index();
    if (row >= true_count(args.rows, args.rows_max)) return;
    const int64_t index = load(args.indices + row);
    if (index < 0 || index >= args.x_rows) return;
    const Unit* from = static_cast<const Unit*>(args.x) + index * units;
    Unit* to = static_cast<Unit*>(args.out) + row * units;
    for (int64_t i = thread_index(); i < units; i += gather_threads) store(to + i, load(from + i));
}

} // namespace
} // namespace nlm::simt

NLM_API int32_t nlm_gather_rows(nlm_stream* stream, const nlm_gather_rows_args* args) {
    using namespace nlm;
    return guard("nlm_gather_rows", [&] {
        check_call(stream, args);
        if (args->rows_max == 0) return;
        check(*args);
        const cudaStream_t queue = cuda_stream(stream);
        const simt::Launch shape{args->rows_max, 1, simt::gather_threads};
        const int64_t bytes = type_bytes(args->type) * args->columns;
        const uintptr_t bits =
            reinterpret_cast<uintptr_t>(args->out) | reinterpret_cast<uintptr_t>(args->x) | static_cast<uintptr_t>(bytes);
        if (bits % 16 == 0)
            simt::launch(simt::gather_rows<simt::Vec<uint32_t, 4>>, shape, queue, *args, bytes / 16);
        else if (bits % 4 == 0)
            simt::launch(simt::gather_rows<uint32_t>, shape, queue, *args, bytes / 4);
        else
            simt::launch(simt::gather_rows<uint16_t>, shape, queue, *args, bytes / 2);
    });
}
