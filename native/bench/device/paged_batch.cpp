#include "paged_batch.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <random>
#include <stdexcept>

namespace nlm::bench {

namespace {

int32_t ceil_div(int32_t a, int32_t b) {
    return (a + b - 1) / b;
}

int32_t longest(const std::vector<SequenceShape>& sequences) {
    int32_t length = 0;
    for (const SequenceShape& sequence : sequences) length = std::max(length, sequence.length);
    return length;
}

std::vector<int32_t> starts_of(const std::vector<SequenceShape>& sequences) {
    std::vector<int32_t> starts{0};
    for (const SequenceShape& sequence : sequences) starts.push_back(starts.back() + sequence.query_rows);
    return starts;
}

std::vector<int32_t> lengths_of(const std::vector<SequenceShape>& sequences) {
    std::vector<int32_t> lengths;
    for (const SequenceShape& sequence : sequences) lengths.push_back(sequence.length);
    return lengths;
}

} // namespace

PagedBatch::PagedBatch(const Bench& bench, Heads heads, int32_t layers, int32_t block_size, std::vector<SequenceShape> sequences,
                       int32_t window)
    : heads_(heads), sequences_(std::move(sequences)), window_(window), length_max_(longest(sequences_)),
      table_stride_(ceil_div(length_max_, block_size)), cache_(describe(heads, layers, block_size)),
      blocks_(blocks_of(sequences_, block_size)), copies_(copies_of(bench, cache_, blocks_)),
      pool_(random_bf16(bench.device, copies_ * blocks_ * nlm_kv_block_bytes(&cache_))), tables_(build_tables(bench.device)),
      query_starts_(upload(bench.device, starts_of(sequences_))), lengths_(upload(bench.device, lengths_of(sequences_))),
      q_(random_bf16(bench.device, 2 * query_rows() * heads.q * heads.dim)),
      out_(bench.device, 2 * query_rows() * heads.q * heads.dim), workspace_(bench.device, workspace_bytes()),
      stream_(bench.device.stream()) {
    cache_.data = pool_.data();
    cache_.block_count = static_cast<int32_t>(copies_ * blocks_);
}

nlm_kv_cache PagedBatch::describe(Heads heads, int32_t layers, int32_t block_size) {
    nlm_kv_cache cache{};
    cache.size = sizeof cache;
    cache.type = NLM_BF16;
    cache.block_count = 1;
    cache.block_size = block_size;
    cache.layer_count = layers;
    cache.kv_head_count = heads.kv;
    cache.head_dim = heads.dim;
    return cache;
}

int64_t PagedBatch::blocks_of(const std::vector<SequenceShape>& sequences, int32_t block_size) {
    int64_t blocks = 0;
    for (const SequenceShape& sequence : sequences) blocks += ceil_div(sequence.length, block_size);
    return blocks;
}

// All layers of one copy lie between two calls on the same bytes; small batches need more copies to outgrow the cache.
int32_t PagedBatch::copies_of(const Bench& bench, const nlm_kv_cache& cache, int64_t blocks) {
    if (bench.is_rehearsal()) return 2;
    const double once = static_cast<double>(blocks * nlm_kv_block_bytes(&cache));
    return static_cast<int32_t>(std::clamp(std::ceil(512e6 / once), 1.0, 64.0));
}

PagedBatch::Tables PagedBatch::build_tables(const Device& device) const {
    std::vector<int32_t> ascending(static_cast<size_t>(copies_ * blocks_));
    std::iota(ascending.begin(), ascending.end(), 0);
    std::vector<int32_t> shuffled = ascending;
    std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(16));
    const auto tables = [&](const std::vector<int32_t>& order) {
        std::vector<int32_t> rows;
        size_t next = 0;
        for (int32_t copy = 0; copy < copies_; ++copy)
            for (const SequenceShape& sequence : sequences_) {
                const int32_t used = ceil_div(sequence.length, cache_.block_size);
                rows.insert(rows.end(), order.begin() + static_cast<ptrdiff_t>(next),
                            order.begin() + static_cast<ptrdiff_t>(next) + used);
                rows.resize(rows.size() + static_cast<size_t>(table_stride_ - used), 0);
                next += static_cast<size_t>(used);
            }
        return upload(device, rows);
    };
    return {tables(shuffled), tables(ascending)};
}

int64_t PagedBatch::query_rows() const {
    int64_t rows = 0;
    for (const SequenceShape& sequence : sequences_) rows += sequence.query_rows;
    return rows;
}

nlm_paged_attention_args PagedBatch::arguments() const {
    nlm_paged_attention_args args{};
    args.size = sizeof args;
    args.type = NLM_BF16;
    args.cache = &cache_;
    args.rows_max = static_cast<int32_t>(query_rows());
    args.sequences_max = static_cast<int32_t>(sequences_.size());
    args.q_head_count = heads_.q;
    args.table_count = args.sequences_max;
    args.table_stride = table_stride_;
    args.length_max = length_max_;
    args.window = window_;
    for (const SequenceShape& sequence : sequences_) args.query_rows_max = std::max(args.query_rows_max, sequence.query_rows);
    args.scale = 1 / std::sqrt(static_cast<float>(heads_.dim));
    return args;
}

int64_t PagedBatch::workspace_bytes() const {
    const nlm_paged_attention_args args = arguments();
    return std::max<int64_t>(64, nlm_paged_attention_workspace_bytes(&args));
}

const int32_t* PagedBatch::tables_of(int index, BlockOrder order) const {
    const int32_t copy = index / cache_.layer_count % copies_;
    const Memory& tables = order == BlockOrder::Shuffled ? tables_.shuffled : tables_.ascending;
    return tables.as<int32_t>() + copy * static_cast<int64_t>(sequences_.size()) * table_stride_;
}

void PagedBatch::attend(int index, BlockOrder order) const {
    nlm_paged_attention_args args = arguments();
    args.out = out_.data();
    args.q = q_.data();
    args.query_starts = query_starts_.as<int32_t>();
    args.lengths = lengths_.as<int32_t>();
    args.block_tables = tables_of(index, order);
    args.workspace = workspace_.data();
    args.workspace_bytes = workspace_.bytes();
    args.layer = index % cache_.layer_count;
    require(nlm_paged_attention(stream_, &args));
}

// The paper keeps K and V of each layer in tensors of their own: the pool's bytes are cut up that way.
nlm_bench_paper_attention_args PagedBatch::paper_arguments(int index) const {
    const int64_t tensor_bytes = int64_t{2} * cache_.block_count * cache_.block_size * heads_.kv * heads_.dim;
    if (2 * tensor_bytes * cache_.layer_count > pool_.bytes())
        throw std::logic_error("a block holds less than its keys and values");
    char* const keys = pool_.data() + index % cache_.layer_count * 2 * tensor_bytes;
    nlm_bench_paper_attention_args args{};
    args.size = sizeof args;
    args.type = NLM_BF16;
    args.out = out_.data();
    args.q = q_.data();
    args.k_cache = keys;
    args.v_cache = keys + tensor_bytes;
    args.lengths = lengths_.as<int32_t>();
    args.block_tables = tables_of(index, BlockOrder::Shuffled);
    args.sequences = static_cast<int32_t>(sequences_.size());
    args.q_head_count = heads_.q;
    args.kv_head_count = heads_.kv;
    args.head_dim = heads_.dim;
    args.block_size = cache_.block_size;
    args.table_stride = table_stride_;
    args.length_max = length_max_;
    args.scale = 1 / std::sqrt(static_cast<float>(heads_.dim));
    return args;
}

void PagedBatch::attend_as_in_paper(int index) const {
    const nlm_bench_paper_attention_args args = paper_arguments(index);
    require(nlm_bench_paper_attention(stream_, &args));
}

bool PagedBatch::fits_paper() const {
    const nlm_bench_paper_attention_args args = paper_arguments(0);
    const int32_t status = nlm_bench_paper_attention(stream_, &args);
    if (status != NLM_UNSUPPORTED) require(status);
    return status == NLM_OK;
}

// Each key and value that some row sees is read once; a row at position p sees p + 1 keys, or the window's.
Work PagedBatch::work() const {
    const double row_bytes = 2.0 * heads_.q * heads_.dim;
    Work work;
    for (const SequenceShape& sequence : sequences_) {
        const int32_t first = sequence.length - sequence.query_rows; // position of the first query row
        const int32_t first_key = window_ > 0 ? std::max(0, first + 1 - window_) : 0;
        work.read += 4.0 * heads_.kv * heads_.dim * (sequence.length - first_key) + row_bytes * sequence.query_rows;
        work.written += row_bytes * sequence.query_rows;
        for (int32_t position = first; position < sequence.length; ++position) {
            const int32_t visible = window_ > 0 ? std::min(window_, position + 1) : position + 1;
            work.operations += 4.0 * visible * heads_.q * heads_.dim;
        }
    }
    return work;
}

} // namespace nlm::bench
