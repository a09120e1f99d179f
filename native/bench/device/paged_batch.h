// A batch of sequences in a paged cache with random contents, ready for attention.
#pragma once

#include "bench.h"
#include "paper_attention.h"

#include <vector>

namespace nlm::bench {

enum class BlockOrder { Shuffled, Ascending }; // ascending: what a contiguous cache would read

struct Heads {
    int32_t q, kv, dim;
};

// What the sequences of a batch hold and ask: each has `length` keys, of which its last `query_rows` are this call's.
struct SequenceShape {
    int32_t length, query_rows;
};

// Calls rotate over layers and over copies of the batch, so that the cache never holds what the next call reads. Workspace and
// outputs are shared: only one call runs at a time.
class PagedBatch {
public:
    PagedBatch(const Bench& bench, Heads heads, int32_t layers, int32_t block_size, std::vector<SequenceShape> sequences,
               int32_t window = 0);

    // Queues the index-th call.
    void attend(int index, BlockOrder order) const;

    // The same by the PagedAttention paper's kernel, which reads the same bytes through the same shuffled tables as if they were
    // laid out its way. Decode only.
    void attend_as_in_paper(int index) const;
    // Whether it can: its logits have to fit into shared memory.
    bool fits_paper() const;

    Work work() const;
    const nlm_kv_cache& cache() const { return cache_; }

private:
    struct Tables {
        Memory shuffled, ascending;
    };

    static nlm_kv_cache describe(Heads heads, int32_t layers, int32_t block_size);
    static int64_t blocks_of(const std::vector<SequenceShape>& sequences, int32_t block_size);
    static int32_t copies_of(const Bench& bench, const nlm_kv_cache& cache, int64_t blocks);
    Tables build_tables(const Device& device) const;
    const int32_t* tables_of(int index, BlockOrder order) const;
    nlm_paged_attention_args arguments() const;
    nlm_bench_paper_attention_args paper_arguments(int index) const;
    int64_t workspace_bytes() const;
    int64_t query_rows() const;

    Heads heads_;
    std::vector<SequenceShape> sequences_;
    int32_t window_, length_max_, table_stride_;
    nlm_kv_cache cache_;
    int64_t blocks_; // of one copy of the batch
    int32_t copies_;
    Memory pool_;
    Tables tables_;
    Memory query_starts_, lengths_, q_, out_, workspace_;
    nlm_stream* stream_;
};

} // namespace nlm::bench
