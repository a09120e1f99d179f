// nlm_paged_attention: checks, plan and launch.
//
// The law: a row's bits depend on its q, on the K and V it sees and on engine constants. Key tiles of 64 keys lie at absolute
// positions and update the running maximum once each; splits of split_keys lie at absolute positions, each has its own state,
// and states are merged ascending from the first split's state itself. A tile or split that a row does not see leaves its
// state untouched. So neither batch, chunk, block size, thread count nor the choice of jobs below can show.
#include "paged_attention.h"
#include "family.h"
#include "graph.h"

#include <algorithm>
#include <cmath>

namespace nlm::cpu {

#define NLM_DECLARE_ATTENTION(family)                                                                                            \
    namespace family {                                                                                                           \
    void attention_job(const AttentionPlan& plan, int64_t job);                                                                  \
    void attention_merge(const AttentionPlan& plan, int64_t sequence, int64_t kv_head);                                          \
    }
NLM_DECLARE_ATTENTION(scalar)
NLM_DECLARE_ATTENTION(avx2)
NLM_DECLARE_ATTENTION(avx512)
NLM_DECLARE_ATTENTION(avx512_bf16)
#undef NLM_DECLARE_ATTENTION

namespace {

struct Family {
    void (*job)(const AttentionPlan&, int64_t);
    void (*merge)(const AttentionPlan&, int64_t, int64_t);
};

Family family_of(nlm_isa isa) {
    switch (isa) {
    case NLM_ISA_SCALAR:
        return {scalar::attention_job, scalar::attention_merge};
    case NLM_ISA_AVX2:
        return {avx2::attention_job, avx2::attention_merge};
    case NLM_ISA_AVX512:
        return {avx512::attention_job, avx512::attention_merge};
    default:
        return {avx512_bf16::attention_job, avx512_bf16::attention_merge};
    }
}

constexpr int64_t PartialStatesMax = 65536; // beyond it, splits stay inside their job
constexpr int64_t PartialHeader = 16;       // floats: m, l and padding up to a cache line

int64_t plan_bytes(const nlm_paged_attention_args& args) {
    return (static_cast<int64_t>(sizeof(SequencePlan)) * args.sequences_max + 63) / 64 * 64;
}
int64_t partial_stride(const nlm_paged_attention_args& args) {
    return PartialHeader + KvLayout(*args.cache).v_columns;
}
int64_t partial_capacity(const nlm_paged_attention_args& args) {
    const int64_t splits = args.length_max / split_keys_of(args) + 1;
    const int64_t rows = std::min<int64_t>(static_cast<int64_t>(args.rows_max) * args.q_head_count, PartialStatesMax);
    return std::min(rows * splits, PartialStatesMax);
}

int64_t workspace_bytes(const nlm_paged_attention_args& args) {
    return plan_bytes(args) + partial_capacity(args) * partial_stride(args) * static_cast<int64_t>(sizeof(float));
}

// Fills in what does not depend on the other sequences, after checking every number that comes from the device.
SequencePlan plan_sequence(const AttentionPlan& plan, int32_t index) {
    const nlm_paged_attention_args& args = *plan.args;
    SequencePlan sequence{};
    const int64_t start = args.query_starts[index], end = args.query_starts[index + 1];
    NLM_REQUIRE(start >= 0 && end >= start && end <= args.rows_max,
                "query_starts[%d]: expected rows ascending up to %d, found %lld..%lld", index, args.rows_max,
                static_cast<long long>(start), static_cast<long long>(end));
    sequence.first_row = start;
    sequence.length = args.lengths[index];
    if (start == end || sequence.length == 0) return sequence; // padding
    sequence.row_count = static_cast<int32_t>(end - start);
    check_range(sequence.length, sequence.row_count, args.length_max, "lengths");
    const int32_t table_row = args.table_rows ? args.table_rows[index] : index;
    check_range(table_row, 0, args.table_count - 1, "table_rows");
    sequence.blocks = args.block_tables + static_cast<int64_t>(table_row) * args.table_stride;

    const int64_t block_size = args.cache->block_size;
    const int64_t key_begin = first_key(args, first_position(sequence));
    const int64_t block_end = (sequence.length + block_size - 1) / block_size;
    NLM_REQUIRE(block_end <= args.table_stride, "lengths[%d]: expected at most %lld tokens, what a block table holds, found %d",
                index, static_cast<long long>(args.table_stride * block_size), sequence.length);
    for (int64_t block = key_begin / block_size; block < block_end; block++) {
        NLM_REQUIRE(sequence.blocks[block] >= 0 && sequence.blocks[block] < args.cache->block_count,
                    "block_tables[%d, %lld]: expected a block of 0 to %d, found %d", table_row, static_cast<long long>(block),
                    args.cache->block_count - 1, sequence.blocks[block]);
    }
    sequence.first_split = static_cast<int32_t>(key_begin / plan.split_keys);
    sequence.last_split = static_cast<int32_t>((sequence.length + plan.split_keys - 1) / plan.split_keys);
    sequence.tile_count = static_cast<int32_t>((sequence.row_count * plan.group + QueryTile - 1) / QueryTile);
    return sequence;
}

// Splits become jobs where one job would be more than an eighth of a thread's share. Returns the number of jobs.
int64_t plan_jobs(AttentionPlan& plan, int thread_count) {
    const int64_t kv_heads = plan.args->cache->kv_head_count;
    int64_t keys = 0; // of all jobs
    for (int64_t i = 0; i < plan.sequence_count; i++) {
        keys += kv_heads * plan.sequences[i].tile_count * plan.sequences[i].length;
    }
    int64_t jobs = 0, partials = 0;
    const int64_t capacity = partial_capacity(*plan.args);
    for (int64_t i = 0; i < plan.sequence_count; i++) {
        SequencePlan& sequence = plan.sequences[i];
        const int64_t splits = sequence.last_split - sequence.first_split;
        const int64_t states = splits * sequence.row_count * plan.args->q_head_count;
        const bool heavy = static_cast<int64_t>(sequence.length) * 8 * thread_count > keys;
        sequence.splits_are_jobs =
            thread_count > 1 && sequence.tile_count == 1 && splits > 1 && heavy && partials + states <= capacity;
        sequence.first_job = jobs;
        sequence.partial = partials;
        if (sequence.splits_are_jobs) partials += states;
        jobs += kv_heads * (sequence.splits_are_jobs ? splits : sequence.tile_count);
    }
    return jobs;
}

void run(nlm_device& device, const nlm_paged_attention_args& args) {
    AttentionPlan plan{&args,
                       KvLayout(*args.cache),
                       args.q_head_count / args.cache->kv_head_count,
                       split_keys_of(args),
                       static_cast<SequencePlan*>(args.workspace),
                       0,
                       reinterpret_cast<float*>(static_cast<char*>(args.workspace) + plan_bytes(args)),
                       partial_stride(args)};
    const int32_t count = true_count(args.sequences, args.sequences_max);
    for (int32_t i = 0; i < count; i++) {
        const SequencePlan sequence = plan_sequence(plan, i);
        if (sequence.row_count > 0) plan.sequences[plan.sequence_count++] = sequence;
    }
    const int64_t jobs = plan_jobs(plan, device.pool.thread_count());
    const Family family = family_of(device.isa);
    device.pool.run(jobs, [&](int64_t job, int) { family.job(plan, job); });

    int64_t split_sequences = 0; // moved to the front for the second pass
    for (int64_t i = 0; i < plan.sequence_count; i++) {
        if (plan.sequences[i].splits_are_jobs) std::swap(plan.sequences[split_sequences++], plan.sequences[i]);
    }
    const int64_t kv_heads = args.cache->kv_head_count;
    device.pool.run(split_sequences * kv_heads, [&](int64_t job, int) { family.merge(plan, job / kv_heads, job % kv_heads); });
}

} // namespace
} // namespace nlm::cpu

NLM_API int64_t nlm_paged_attention_workspace_bytes(const nlm_paged_attention_args* args) {
    using namespace nlm;
    using namespace nlm::cpu;
    int64_t bytes = -1;
    guard("nlm_paged_attention_workspace_bytes", [&] {
        check_args(args);
        check_attention_shape(*args);
        bytes = workspace_bytes(*args);
    });
    return bytes;
}

NLM_API int32_t nlm_paged_attention(nlm_stream* stream, const nlm_paged_attention_args* args) {
    using namespace nlm;
    using namespace nlm::cpu;
    return guard("nlm_paged_attention", [&] {
        check_call(stream, args);
        if (args->rows_max == 0 || args->sequences_max == 0) return;
        check_attention_shape(*args);
        check_attention(*args, KvLayout(*args->cache).block_bytes, workspace_bytes(*args));
        submit(stream, [device = stream->device, call = *args, cache = *args->cache]() mutable {
            call.cache = &cache;
            run(*device, call);
        });
    });
}
