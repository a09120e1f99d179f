// The plan of one nlm_paged_attention call, shared by the entry point and the instruction families.
//
// The rows of a sequence are packed per KV head: row i is position first_position + i / group, query head i % group of the
// group, so a head's K and V are read once for the whole group. Jobs take up to QueryTile packed rows. A job runs its splits
// one after the other and merges them as it goes, or, where a thread's share would be too large, each split is a job of its
// own whose state goes to the workspace and a second pass merges. Both do the same arithmetic in the same order.
#pragma once

#include "kv_layout.h"

namespace nlm::cpu {

constexpr int QueryTile = 48;

struct SequencePlan {
    int64_t first_job;               // of this sequence in the call
    int64_t partial;                 // first state in the workspace, where splits are jobs
    int64_t first_row;               // row of q and out
    int32_t row_count;               // query rows
    int32_t length;                  // keys
    int32_t first_split, last_split; // splits that any row sees, half open
    int32_t tile_count;              // query tiles of QueryTile packed rows
    int32_t splits_are_jobs;
    const int32_t* blocks; // this sequence's block ids
};

struct AttentionPlan {
    const nlm_paged_attention_args* args;
    KvLayout layout;
    int64_t group;      // query heads per KV head
    int64_t split_keys; // multiple of key_tile
    SequencePlan* sequences;
    int64_t sequence_count;
    float* partials; // states of partial_stride floats: m, l, 14 unused, O
    int64_t partial_stride;
};

NLM_ALWAYS_INLINE int64_t first_position(const SequencePlan& sequence) {
    return sequence.length - sequence.row_count;
}
// First key that a row at this position sees.
NLM_ALWAYS_INLINE int64_t first_key(const nlm_paged_attention_args& args, int64_t position) {
    return args.window > 0 && position >= args.window ? position - args.window + 1 : 0;
}

// The sequence a job belongs to.
NLM_ALWAYS_INLINE const SequencePlan& sequence_of_job(const AttentionPlan& plan, int64_t job) {
    int64_t low = 0, high = plan.sequence_count;
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        (plan.sequences[middle].first_job <= job ? low : high) = middle;
    }
    return plan.sequences[low];
}

} // namespace nlm::cpu
