// Sequences over a paged cache, served in steps of chunks through nlm_write_kv and nlm_paged_attention.
#pragma once

#include "fixture.h"
#include "numbers.h"

#include <algorithm>
#include <memory>
#include <numeric>

namespace nlm::tests {

struct AttentionCase {
    int32_t type = NLM_F32, cache_type = NLM_F32;
    int32_t q_heads = 4, kv_heads = 2, head_dim = 16, block_size = 16;
    int32_t window = 0, split_keys = 64;
    float softcap = 0, scale = 0.3f;
    bool alibi = false, sinks = false;
    bool hints = false;                 // names the most rows of a sequence in each call
    std::vector<int32_t> lengths = {1}; // final length of each sequence
};

// New tokens of one sequence in a step. Drafts are guesses: rows of other tokens, which the right ones overwrite later.
struct Chunk {
    size_t sequence;
    int32_t count;
    bool draft = false;
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
        pool_->fill(0xff);
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
                const int64_t token = chunk.draft ? (done * 31 + 5) % source.rows : done;
                qkv.insert(qkv.end(), source.at(token, 0), source.at(token, 0) + source.columns * bytes_of(case_.type));
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
        most_rows_ = 0;
        for (const Chunk& chunk : step) most_rows_ = std::max(most_rows_, chunk.count);
        attend(q.data(), out.data(), start_buffer, length_buffer, row_buffer, table_buffer, static_cast<int32_t>(slots.size()));
        const std::vector<unsigned char> bits = out.read();
        const unsigned char* row = bits.data();
        for (const Chunk& chunk : step) {
            for (int32_t i = 0; i < chunk.count; i++, row += row_bytes)
                std::memcpy(outputs_[chunk.sequence].at(done_[chunk.sequence] - chunk.count + i, 0), row, row_bytes);
            if (chunk.draft) done_[chunk.sequence] -= chunk.count; // rejected
        }
    }

    int32_t done(size_t sequence) const { return done_[sequence]; }
    // The sequence starts again, its tokens in other blocks of its own.
    void preempt(size_t sequence) {
        done_[sequence] = 0;
        const auto first = tables_.begin() + static_cast<std::ptrdiff_t>(sequence) * blocks_per_sequence_;
        const int32_t used = (case_.lengths[sequence] + case_.block_size - 1) / case_.block_size;
        std::rotate(first, first + used / 2, first + used);
    }

    const Matrix& output(size_t sequence) const { return outputs_[sequence]; }
    const Matrix& qkv(size_t sequence) const { return tokens_[sequence].qkv; }
    // For tests that choose the numbers themselves, before the first run.
    Matrix& qkv(size_t sequence) { return tokens_[sequence].qkv; }
    float slope(int32_t head) const { return case_.alibi ? 0.25f / static_cast<float>(head + 1) : 0; }
    float sink(int32_t head) const { return 0.5f * static_cast<float>(head) - 0.75f; }

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
        Buffer<float> slope_buffer(device_, slopes), sink_buffer(device_, sinks);
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
        args.alibi_slopes = case_.alibi ? slope_buffer.data() : nullptr;
        args.sinks = case_.sinks ? sink_buffer.data() : nullptr;
        args.rows_max = row_count;
        args.sequences_max = static_cast<int32_t>(lengths.size());
        args.q_head_count = case_.q_heads;
        args.layer = 1;
        args.table_count = static_cast<int32_t>(case_.lengths.size());
        args.table_stride = blocks_per_sequence_;
        args.length_max = blocks_per_sequence_ * case_.block_size;
        args.split_keys = case_.split_keys;
        args.window = case_.window;
        args.query_rows_max = case_.hints ? most_rows_ : 0;
        args.scale = case_.scale;
        args.softcap = case_.softcap;
        args.workspace_bytes = nlm_paged_attention_workspace_bytes(&args);
        CHECK(args.workspace_bytes > 0, "%s", nlm_last_error());
        Buffer<unsigned char> workspace(device_, static_cast<size_t>(args.workspace_bytes));
        workspace.fill(0xff);
        args.workspace = workspace.data();
        require_ok(nlm_paged_attention(device_.stream(), &args), "nlm_paged_attention");
        device_.synchronize();
    }

    AttentionCase case_;
    TestDevice device_;
    nlm_kv_cache cache_{};
    std::unique_ptr<Buffer<unsigned char>> pool_;
    std::vector<Tokens> tokens_;
    std::vector<int32_t> tables_, done_;
    std::vector<Matrix> outputs_;
    int32_t blocks_per_sequence_, most_rows_ = 0;
};

// Prefill in chunks of a sequence, then decode of the rest; all sequences side by side.
inline std::vector<Step> chunked(const AttentionCase& c, int32_t chunk, int32_t decoded) {
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

} // namespace nlm::tests
