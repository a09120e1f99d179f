// nlm_write_kv, nlm_paged_attention: against plain doubles, and bit for bit against themselves in other company.
#include "fixture.h"
#include "numbers.h"

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>

using namespace nlm::tests;

namespace {

struct AttentionCase {
    int32_t type = NLM_F32, cache_type = NLM_F32;
    int32_t q_heads = 4, kv_heads = 2, head_dim = 16, block_size = 16;
    int32_t window = 0, split_keys = 64;
    float softcap = 0;
    bool alibi = false, sinks = false;
    std::vector<int32_t> lengths = {1}; // final length of each sequence
};

// New tokens of one sequence in a step.
struct Chunk {
    size_t sequence;
    int32_t count;
};
using Step = std::vector<Chunk>;

// q, k, v of one sequence, made from its number alone.
struct Tokens {
    Matrix qkv;
    Tokens(const AttentionCase& c, size_t sequence)
        : qkv(c.type, c.lengths[sequence], static_cast<int64_t>(c.q_heads + 2 * c.kv_heads) * c.head_dim) {
        qkv.randomize(100 + sequence, 2);
    }
};

// A cache full of NaN into which steps write their tokens before they attend.
class AttentionRun {
public:
    AttentionRun(const AttentionCase& c, nlm_isa isa, int threads, uint64_t layout_seed = 1)
        : case_(c), device_(isa, threads), blocks_per_sequence_(0) {
        for (size_t i = 0; i < c.lengths.size(); i++) tokens_.emplace_back(c, i);
        const int32_t longest = *std::max_element(c.lengths.begin(), c.lengths.end());
        blocks_per_sequence_ = (longest + c.block_size - 1) / c.block_size;
        cache_.size = sizeof cache_;
        cache_.type = c.cache_type;
        cache_.block_size = c.block_size;
        cache_.layer_count = 2;
        cache_.kv_head_count = c.kv_heads;
        cache_.head_dim = c.head_dim;
        cache_.block_count = blocks_per_sequence_ * static_cast<int32_t>(c.lengths.size()) + 2;
        pool_ = std::make_unique<Buffer<unsigned char>>(device_,
                                                        static_cast<size_t>(nlm_kv_block_bytes(&cache_) * cache_.block_count));
        std::fill_n(pool_->data(), pool_->size(), static_cast<unsigned char>(0xff));
        cache_.data = pool_->data();
        // Blocks in no order; a table ends with ids that no pool has.
        std::vector<int32_t> ids(static_cast<size_t>(cache_.block_count));
        std::iota(ids.begin(), ids.end(), 0);
        Random random(layout_seed);
        for (size_t i = ids.size(); i > 1; i--) std::swap(ids[i - 1], ids[random.next() % i]);
        size_t next = 0;
        for (const int32_t length : c.lengths) {
            for (int32_t block = 0; block < blocks_per_sequence_; block++)
                tables_.push_back(block * c.block_size < length ? ids[next++] : -7);
            done_.push_back(0);
            outputs_.emplace_back(c.type, length, static_cast<int64_t>(c.q_heads) * c.head_dim);
        }
    }

    void run(const std::vector<Step>& steps) {
        for (const Step& step : steps) run(step);
    }

    void run(const Step& step) {
        std::vector<int32_t> starts{0}, lengths, rows, slots, positions;
        std::vector<unsigned char> qkv;
        for (const Chunk& chunk : step) {
            Matrix& source = tokens_[chunk.sequence].qkv;
            int32_t& done = done_[chunk.sequence];
            for (int32_t i = 0; i < chunk.count; i++, done++) {
                qkv.insert(qkv.end(), source.at(done, 0), source.at(done, 0) + source.columns * bytes_of(case_.type));
                slots.push_back(table(chunk.sequence)[done / case_.block_size] * case_.block_size + done % case_.block_size);
                positions.push_back(done);
            }
            starts.push_back(starts.back() + chunk.count);
            lengths.push_back(done);
            rows.push_back(static_cast<int32_t>(chunk.sequence));
        }
        const size_t row_bytes = static_cast<size_t>(case_.q_heads * case_.head_dim * bytes_of(case_.type));
        Buffer<unsigned char> qkv_buffer(device_, qkv), q(device_, slots.size() * row_bytes),
            out(device_, slots.size() * row_bytes);
        Buffer<int32_t> slot_buffer(device_, slots), start_buffer(device_, starts), length_buffer(device_, lengths);
        Buffer<int32_t> row_buffer(device_, rows), table_buffer(device_, tables_), position_buffer(device_, positions);
        write(qkv_buffer.data(), q.data(), slot_buffer);
        attend(q.data(), out.data(), start_buffer, length_buffer, row_buffer, table_buffer, static_cast<int32_t>(slots.size()));
        const unsigned char* row = out.data();
        for (const Chunk& chunk : step) {
            for (int32_t i = 0; i < chunk.count; i++, row += row_bytes)
                std::memcpy(outputs_[chunk.sequence].at(done_[chunk.sequence] - chunk.count + i, 0), row, row_bytes);
        }
    }

    const Matrix& output(size_t sequence) const { return outputs_[sequence]; }
    const Matrix& qkv(size_t sequence) const { return tokens_[sequence].qkv; }
    float slope(int32_t head) const { return case_.alibi ? 0.25f / static_cast<float>(head + 1) : 0; }
    float sink(int32_t head) const { return 0.5f * static_cast<float>(head) - 0.75f; }
    static constexpr float scale = 0.3f;

private:
    const int32_t* table(size_t sequence) const { return tables_.data() + sequence * static_cast<size_t>(blocks_per_sequence_); }

    void write(const void* qkv, void* q, const Buffer<int32_t>& slots) {
        nlm_write_kv_args args{};
        args.size = sizeof args;
        args.type = case_.type;
        args.q_out = q;
        args.cache = &cache_;
        args.qkv = qkv;
        args.slots = slots.data();
        args.rows_max = static_cast<int32_t>(slots.size());
        args.q_head_count = case_.q_heads;
        args.layer = 1;
        require_ok(nlm_write_kv(device_.stream(), &args), "nlm_write_kv");
    }

    void attend(const void* q, void* out, const Buffer<int32_t>& starts, const Buffer<int32_t>& lengths,
                const Buffer<int32_t>& rows, const Buffer<int32_t>& tables, int32_t row_count) {
        std::vector<float> slopes, sinks;
        for (int32_t head = 0; head < case_.q_heads; head++) {
            slopes.push_back(slope(head));
            sinks.push_back(sink(head));
        }
        nlm_paged_attention_args args{};
        args.size = sizeof args;
        args.type = case_.type;
        args.out = out;
        args.q = q;
        args.cache = &cache_;
        args.query_starts = starts.data();
        args.lengths = lengths.data();
        args.table_rows = rows.data();
        args.block_tables = tables.data();
        args.alibi_slopes = case_.alibi ? slopes.data() : nullptr;
        args.sinks = case_.sinks ? sinks.data() : nullptr;
        args.rows_max = row_count;
        args.sequences_max = static_cast<int32_t>(lengths.size());
        args.q_head_count = case_.q_heads;
        args.layer = 1;
        args.table_count = static_cast<int32_t>(case_.lengths.size());
        args.table_stride = blocks_per_sequence_;
        args.length_max = blocks_per_sequence_ * case_.block_size;
        args.split_keys = case_.split_keys;
        args.window = case_.window;
        args.scale = scale;
        args.softcap = case_.softcap;
        args.workspace_bytes = nlm_paged_attention_workspace_bytes(&args);
        CHECK(args.workspace_bytes > 0, "%s", nlm_last_error());
        Buffer<unsigned char> workspace(device_, static_cast<size_t>(args.workspace_bytes));
        std::fill_n(workspace.data(), workspace.size(), static_cast<unsigned char>(0xff));
        args.workspace = workspace.data();
        require_ok(nlm_paged_attention(device_.stream(), &args), "nlm_paged_attention");
    }

    AttentionCase case_;
    TestDevice device_;
    nlm_kv_cache cache_{};
    std::unique_ptr<Buffer<unsigned char>> pool_;
    std::vector<Tokens> tokens_;
    std::vector<int32_t> tables_, done_;
    std::vector<Matrix> outputs_;
    int32_t blocks_per_sequence_;
};

std::vector<double> reference(const AttentionCase& c, const AttentionRun& run, size_t sequence, int32_t position, int32_t head) {
    const Matrix& qkv = run.qkv(sequence);
    const int32_t kv_head = head / (c.q_heads / c.kv_heads), first = c.window > 0 ? std::max(0, position - c.window + 1) : 0;
    const int64_t k_column = static_cast<int64_t>(c.q_heads + kv_head) * c.head_dim;
    const int64_t v_column = k_column + static_cast<int64_t>(c.kv_heads) * c.head_dim;
    std::vector<double> scores;
    double highest = c.sinks ? run.sink(head) : -INFINITY;
    for (int32_t key = first; key <= position; key++) {
        double score = 0;
        for (int32_t i = 0; i < c.head_dim; i++)
            score += qkv.get(position, head * c.head_dim + i) * rounded(c.cache_type, qkv.get(key, k_column + i));
        score *= AttentionRun::scale;
        if (c.softcap > 0) score = c.softcap * std::tanh(score / c.softcap);
        score += run.slope(head) * (key - position);
        scores.push_back(score);
        highest = std::max(highest, score);
    }
    std::vector<double> out(static_cast<size_t>(c.head_dim));
    double total = c.sinks ? std::exp(run.sink(head) - highest) : 0;
    for (int32_t key = first; key <= position; key++) {
        const double p = std::exp(scores[static_cast<size_t>(key - first)] - highest);
        total += p;
        for (int32_t i = 0; i < c.head_dim; i++)
            out[static_cast<size_t>(i)] += p * rounded(c.cache_type, qkv.get(key, v_column + i));
    }
    for (double& value : out) value /= total;
    return out;
}

// Values lie in [-2, 2]: what rounding of probabilities and of the output may cost.
double tolerance(const AttentionCase& c) {
    return c.type == NLM_BF16 ? 2e-2 : c.type == NLM_F16 ? 2e-3 : 2e-5;
}

void check_against_doubles(const AttentionCase& c, nlm_isa isa, const std::vector<Step>& steps) {
    AttentionRun run(c, isa, 2);
    run.run(steps);
    for (size_t sequence = 0; sequence < c.lengths.size(); sequence++) {
        for (int32_t position = 0; position < c.lengths[sequence]; position++) {
            for (int32_t head = 0; head < c.q_heads; head++) {
                const std::vector<double> expected = reference(c, run, sequence, position, head);
                for (int32_t i = 0; i < c.head_dim; i++) {
                    const double found = run.output(sequence).get(position, head * c.head_dim + i);
                    CHECK(std::fabs(found - expected[static_cast<size_t>(i)]) <= tolerance(c),
                          "%s types %d/%d heads %d/%d dim %d block %d window %d, sequence %zu position %d head %d dim %d: %g, "
                          "expected %g",
                          family_name(isa), c.type, c.cache_type, c.q_heads, c.kv_heads, c.head_dim, c.block_size, c.window,
                          sequence, position, head, i, found, expected[static_cast<size_t>(i)]);
                }
            }
        }
    }
}

// Prefill in chunks of a sequence, then decode of the rest; all sequences side by side.
std::vector<Step> chunked(const AttentionCase& c, int32_t chunk, int32_t decoded) {
    std::vector<Step> steps;
    std::vector<int32_t> done(c.lengths.size(), 0);
    for (bool more = true; more;) {
        Step step;
        for (size_t i = 0; i < c.lengths.size(); i++) {
            const int32_t prompt = std::max(c.lengths[i] - decoded, 1);
            const int32_t count = done[i] < prompt ? std::min(chunk, prompt - done[i]) : std::min(1, c.lengths[i] - done[i]);
            if (count > 0) step.push_back({i, count});
            done[i] += count;
        }
        more = !step.empty();
        if (more) steps.push_back(step);
    }
    return steps;
}

bool same_bits(const Matrix& a, const Matrix& b) {
    return a.data == b.data;
}

} // namespace

TEST("Attention_agrees_with_doubles_in_every_family_type_and_shape") {
    for (const nlm_isa isa : supported_families()) {
        for (const auto& [type, cache_type] : {std::pair{NLM_F32, NLM_F32}, std::pair{NLM_BF16, NLM_BF16},
                                               std::pair{NLM_F16, NLM_F16}, std::pair{NLM_F32, NLM_BF16}}) {
            for (const int32_t block_size : {8, 16, 24, 64}) {
                AttentionCase c;
                c.type = type;
                c.cache_type = cache_type;
                c.block_size = block_size;
                c.lengths = {1, 5, 64, 65, 150};
                check_against_doubles(c, isa, chunked(c, 47, 3));
            }
            for (const auto& [q_heads, kv_heads, head_dim] :
                 {std::array{1, 1, 8}, std::array{8, 1, 64}, std::array{7, 7, 24}, std::array{12, 4, 80}, std::array{6, 2, 128},
                  std::array{3, 1, 256}, std::array{50, 1, 16}, std::array{2, 1, 40}}) {
                AttentionCase c;
                c.type = type;
                c.cache_type = cache_type;
                c.q_heads = q_heads;
                c.kv_heads = kv_heads;
                c.head_dim = head_dim;
                c.lengths = {70, 13};
                check_against_doubles(c, isa, chunked(c, 64, 2));
            }
        }
    }
}

TEST("Windows_softcap_alibi_and_sinks_agree_with_doubles") {
    for (const nlm_isa isa : supported_families()) {
        for (const int32_t type : {NLM_F32, NLM_BF16}) {
            for (const int32_t window : {0, 1, 7, 64, 100}) {
                AttentionCase c;
                c.type = c.cache_type = type;
                c.window = window;
                c.block_size = window == 7 ? 8 : 16;
                c.softcap = window % 2 ? 5.0f : 0.0f;
                c.alibi = window != 64;
                c.sinks = window != 1;
                c.lengths = {150, 3, 200};
                check_against_doubles(c, isa, chunked(c, 50, 5));
            }
        }
    }
}

TEST("A_row_has_the_same_bits_in_any_chunk_batch_block_size_and_thread_count") {
    for (const nlm_isa isa : supported_families()) {
        for (const int32_t type : {NLM_F32, NLM_BF16, NLM_F16}) {
            for (const int32_t window : {0, 90}) {
                AttentionCase alone;
                alone.type = alone.cache_type = type;
                alone.q_heads = 6;
                alone.head_dim = 32;
                alone.window = window;
                alone.sinks = window > 0;
                alone.lengths = {300};
                AttentionRun first(alone, isa, 1);
                first.run(chunked(alone, 300, 0));

                const auto expect_same = [&](const AttentionCase& c, int threads, int32_t chunk, int32_t decoded,
                                             const char* what) {
                    AttentionRun other(c, isa, threads, 77);
                    other.run(chunked(c, chunk, decoded));
                    CHECK(same_bits(first.output(0), other.output(0)), "%s type %d window %d: %s", family_name(isa), type, window,
                          what);
                };
                expect_same(alone, 2, 300, 0, "two threads");
                expect_same(alone, 3, 300, 0, "three threads");
                expect_same(alone, 1, 1, 299, "token by token");
                expect_same(alone, 3, 1, 299, "token by token with three threads");
                for (const int32_t chunk : {7, 16, 64, 100}) expect_same(alone, 2, chunk, 20, "chunks");
                for (const int32_t block_size : {8, 32, 40, 64}) {
                    AttentionCase c = alone;
                    c.block_size = block_size;
                    expect_same(c, 2, 33, 10, "block size");
                }
                AttentionCase crowd = alone;
                crowd.lengths = {300, 1, 17, 64, 129, 290, 2, 70, 5};
                expect_same(crowd, 3, 300, 0, "beside others");
                expect_same(crowd, 2, 21, 30, "beside others in chunks");
            }
        }
    }
}

TEST("Sequences_and_rows_beyond_the_true_counts_and_of_length_0_are_left_alone") {
    AttentionCase c;
    c.lengths = {20};
    TestDevice device;
    nlm_kv_cache cache{sizeof(nlm_kv_cache), NLM_F32, nullptr, 2, 16, 1, 1, 8};
    Buffer<unsigned char> pool(device, static_cast<size_t>(2 * nlm_kv_block_bytes(&cache)));
    cache.data = pool.data();
    Buffer<float> q(device, 3 * 8), out(device, std::vector<float>(3 * 8, 9.0f));
    Buffer<int32_t> starts(device, std::vector<int32_t>{0, 1, 2, 3}), lengths(device, std::vector<int32_t>{1, 0, 1});
    Buffer<int32_t> tables(device, std::vector<int32_t>{0, -1, 99}), count(device, std::vector<int32_t>{2});
    nlm_paged_attention_args args{};
    args.size = sizeof args;
    args.out = out.data();
    args.q = q.data();
    args.cache = &cache;
    args.query_starts = starts.data();
    args.lengths = lengths.data();
    args.block_tables = tables.data();
    args.sequences = count.data();
    args.rows_max = args.sequences_max = args.table_count = 3;
    args.q_head_count = args.table_stride = 1;
    args.length_max = 16;
    args.scale = 1;
    args.workspace_bytes = nlm_paged_attention_workspace_bytes(&args);
    Buffer<unsigned char> workspace(device, static_cast<size_t>(args.workspace_bytes));
    args.workspace = workspace.data();
    CHECK(nlm_paged_attention(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
    for (size_t i = 0; i < 24; i++) CHECK(out[i] == (i < 8 ? 0.0f : 9.0f));
}

TEST("Wrong_attention_arguments_are_refused_with_their_name") {
    TestDevice device;
    nlm_kv_cache cache{sizeof(nlm_kv_cache), NLM_F32, nullptr, 2, 16, 1, 1, 8};
    Buffer<unsigned char> pool(device, static_cast<size_t>(2 * nlm_kv_block_bytes(&cache)));
    cache.data = pool.data();
    Buffer<float> q(device, 8), out(device, 8);
    Buffer<int32_t> starts(device, std::vector<int32_t>{0, 1}), lengths(device, std::vector<int32_t>{1});
    Buffer<int32_t> tables(device, std::vector<int32_t>{1});
    nlm_paged_attention_args good{};
    good.size = sizeof good;
    good.out = out.data();
    good.q = q.data();
    good.cache = &cache;
    good.query_starts = starts.data();
    good.lengths = lengths.data();
    good.block_tables = tables.data();
    good.rows_max = good.sequences_max = good.table_count = good.q_head_count = good.table_stride = 1;
    good.length_max = 16;
    good.scale = 1;
    good.workspace_bytes = nlm_paged_attention_workspace_bytes(&good);
    Buffer<unsigned char> workspace(device, static_cast<size_t>(good.workspace_bytes));
    good.workspace = workspace.data();
    CHECK(nlm_paged_attention(device.stream(), &good) == NLM_OK, "%s", nlm_last_error());

    const auto refuses = [&](const char* name, const auto& change) {
        nlm_paged_attention_args args = good;
        change(args);
        const int32_t status = nlm_paged_attention(device.stream(), &args);
        CHECK(status == NLM_INVALID_ARGUMENT && std::strstr(nlm_last_error(), name), "%s: status %d, %s", name, status,
              nlm_last_error());
    };
    refuses("size", [](auto& a) { a.size = 8; });
    refuses("type", [](auto& a) { a.type = NLM_I32; });
    refuses("out", [](auto& a) { a.out = nullptr; });
    refuses("q", [](auto& a) { a.q = reinterpret_cast<const char*>(a.q) + 1; });
    refuses("cache", [](auto& a) { a.cache = nullptr; });
    refuses("lengths", [](auto& a) { a.lengths = nullptr; });
    refuses("workspace_bytes", [](auto& a) { a.workspace_bytes = 0; });
    refuses("workspace", [](auto& a) { a.workspace = nullptr; });
    refuses("q_head_count", [](auto& a) { a.q_head_count = -1; });
    refuses("layer", [](auto& a) { a.layer = 1; });
    refuses("split_keys", [](auto& a) { a.split_keys = 65; });
    refuses("window", [](auto& a) { a.window = -1; });
    refuses("scale", [](auto& a) { a.scale = NAN; });
    refuses("rows_max", [](auto& a) { a.rows_max = -1; });
    refuses("query_starts", [](auto& a) {
        static const int32_t backwards[] = {1, 0};
        a.query_starts = backwards;
    });
    refuses("lengths", [](auto& a) {
        static const int32_t too_long[] = {17};
        a.lengths = too_long;
    });
    refuses("lengths", [](auto& a) {
        static const int32_t negative[] = {-1};
        a.lengths = negative;
    });
    refuses("block_tables", [](auto& a) {
        static const int32_t outside[] = {2};
        a.block_tables = outside;
    });
    refuses("table_rows", [](auto& a) {
        static const int32_t outside[] = {1};
        a.table_rows = outside;
    });
    nlm_kv_cache wrong = cache;
    wrong.head_dim = 264;
    refuses("head_dim", [&](auto& a) { a.cache = &wrong; });
    nlm_kv_cache odd = cache;
    odd.block_size = 12;
    refuses("block_size", [&](auto& a) { a.cache = &odd; });
    CHECK(nlm_paged_attention(nullptr, &good) == NLM_INVALID_ARGUMENT);
    CHECK(nlm_paged_attention(device.stream(), nullptr) == NLM_INVALID_ARGUMENT);
    CHECK(nlm_paged_attention_workspace_bytes(nullptr) == -1);
    CHECK(nlm_kv_block_bytes(nullptr) == -1);
}
