// nlm_paged_attention: checks, workspace and which kernels run.
//
// The law: a row's bits depend on its q, on the K and V it sees and on engine constants. All kernels of a type share one
// arithmetic (device/attention_tile.cuh), so the choice below, the batch and the chunk cannot show.
#include "paged_attention.h"

#include <algorithm>

namespace nlm::simt {
namespace {

constexpr int64_t partial_states_max = 1 << 17; // beyond it, a sequence runs its splits one after the other

// Dim of the kernel's tiles, 0 where the plain kernel runs: products of 16-bit numbers need both sides in one type.
int padded_dim(const nlm_paged_attention_args& args) {
    if (args.type == NLM_F32 || args.type != args.cache->type) return 0;
    for (const int dim : {32, 64, 96, 128})
        if (args.cache->head_dim <= dim) return dim;
    return head_dim_limit;
}

int64_t split_count_max(const nlm_paged_attention_args& args) {
    return ceil_div(int64_t{args.length_max}, int64_t{split_keys_of(args)});
}

// States of all rows that may be cut into splits.
int64_t partial_states(const nlm_paged_attention_args& args) {
    const int64_t rows = std::min(int64_t{args.rows_max}, int64_t{args.sequences_max} * split_rows_max);
    return split_count_max(args) <= 1 ? 0 : rows * args.q_head_count * split_count_max(args);
}

// Parts of the workspace, one after the other, each at a multiple of 64 bytes.
class Workspace {
public:
    explicit Workspace(void* memory) : address_(reinterpret_cast<uintptr_t>(memory)) {}
    template <typename T> T* take(int64_t count) {
        T* part = reinterpret_cast<T*>(address_ + static_cast<uintptr_t>(bytes_));
        bytes_ += ceil_div(count * static_cast<int64_t>(sizeof(T)), int64_t{buffer_alignment}) * int64_t{buffer_alignment};
        return part;
    }
    int64_t bytes() const { return bytes_; }

private:
    uintptr_t address_;
    int64_t bytes_ = 0;
};

AttentionPlan plan_in(Workspace& workspace, const nlm_paged_attention_args& args) {
    AttentionPlan plan{};
    plan.partial_capacity = padded_dim(args) == 0 ? 0 : std::min(partial_states(args), partial_states_max);
    plan.sequence_count = workspace.take<int32_t>(1);
    plan.sequences = workspace.take<SequencePlan>(args.sequences_max);
    plan.split_ends = workspace.take<int64_t>(args.sequences_max);
    plan.serial_ends = workspace.take<int64_t>(args.sequences_max);
    plan.merge_ends = workspace.take<int64_t>(args.sequences_max);
    plan.partial_sums = workspace.take<Vec<float, 2>>(plan.partial_capacity);
    plan.partial_outputs = workspace.take<float>(plan.partial_capacity * padded_dim(args));
    return plan;
}

int64_t workspace_bytes(const nlm_paged_attention_args& args) {
    Workspace workspace(nullptr);
    plan_in(workspace, args);
    return workspace.bytes();
}

void check(const nlm_paged_attention_args& args) {
    check_attention_shape(args);
    check_attention(args, kv_pool(*args.cache, 0).block_bytes, workspace_bytes(args));
    NLM_REQUIRE(int64_t{args.rows_max} * args.q_head_count <= count_limit,
                "rows_max x q_head_count: expected below 2^31, found %lld",
                static_cast<long long>(int64_t{args.rows_max} * args.q_head_count));
    if (padded_dim(args) == 0) return;
    const int64_t pool_bytes = args.cache->block_count * kv_pool(*args.cache, 0).block_bytes;
    NLM_REQUIRE(pool_bytes / group_unit <= count_limit, "cache: expected at most 256 GiB, found %lld bytes",
                static_cast<long long>(pool_bytes));
    check_pointer(args.q, "q", 4); // dims move in pairs
    check_pointer(args.out, "out", 4);
}

AttentionCall call_of(const nlm_paged_attention_args& args) {
    Workspace workspace(args.workspace);
    AttentionCall call{};
    call.out = args.out;
    call.q = args.q;
    call.pool = kv_pool(*args.cache, args.layer);
    call.query_starts = args.query_starts;
    call.lengths = args.lengths;
    call.table_rows = args.table_rows;
    call.block_tables = args.block_tables;
    call.sequences = args.sequences;
    call.alibi_slopes = args.alibi_slopes;
    call.sinks = args.sinks;
    call.type = args.type;
    call.padded_dim = padded_dim(args);
    call.rows_max = args.rows_max;
    call.sequences_max = args.sequences_max;
    call.q_head_count = args.q_head_count;
    call.group = args.q_head_count / args.cache->kv_head_count;
    call.table_count = args.table_count;
    call.table_stride = args.table_stride;
    call.length_max = args.length_max;
    call.split_keys = split_keys_of(args);
    call.window = args.window;
    call.score_scale = args.softcap > 0 ? args.scale / args.softcap : args.scale * log2_e;
    call.softcap = args.softcap * log2_e;
    call.plan = plan_in(workspace, args);
    return call;
}

void run(const nlm_paged_attention_args& args, const nlm_device& device, cudaStream_t stream) {
    const AttentionCall call = call_of(args);
    launch_attention_plan(call, stream);
    if (call.padded_dim == 0) return launch_attention_plain(call, args.cache->type, device, stream);
    const int rows = args.query_rows_max == 0 ? args.rows_max : std::min(args.query_rows_max, args.rows_max);
    launch_attention_decode(call, std::min(rows, split_rows_max), device, stream);
    if (call.plan.partial_capacity > 0) launch_merge_states(call, device, stream);
    if (rows > split_rows_max || partial_states(args) > call.plan.partial_capacity)
        launch_attention_prefill(call, device, stream);
}

} // namespace
} // namespace nlm::simt

NLM_API int64_t nlm_paged_attention_workspace_bytes(const nlm_paged_attention_args* args) {
    using namespace nlm;
    int64_t bytes = -1;
    guard("nlm_paged_attention_workspace_bytes", [&] {
        check_args(args);
        check_attention_shape(*args);
        bytes = simt::workspace_bytes(*args);
    });
    return bytes;
}

NLM_API int32_t nlm_paged_attention(nlm_stream* stream, const nlm_paged_attention_args* args) {
    using namespace nlm;
    return guard("nlm_paged_attention", [&] {
        check_call(stream, args);
        if (args->rows_max == 0 || args->sequences_max == 0) return;
        simt::check(*args);
        simt::run(*args, use_device(stream), cuda_stream(stream));
    });
}
