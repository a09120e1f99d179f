// nlm_write_kv, nlm_paged_attention: against plain doubles, and bit for bit against themselves in other company.
#include "attention_cases.h"

#include <array>

using namespace nlm::tests;

namespace {

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
        score *= c.scale;
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
                          target_name(isa), c.type, c.cache_type, c.q_heads, c.kv_heads, c.head_dim, c.block_size, c.window,
                          sequence, position, head, i, found, expected[static_cast<size_t>(i)]);
                }
            }
        }
    }
}

// One query of one head over one key: a call that is right in every argument.
struct SmallCall {
    explicit SmallCall(const TestDevice& device)
        : pool(device, static_cast<size_t>(2 * nlm_kv_block_bytes(&cache))), q(device, 8), out(device, 8),
          starts(device, std::vector<int32_t>{0, 1}), lengths(device, std::vector<int32_t>{1}),
          tables(device, std::vector<int32_t>{1}), args{} {
        cache.data = pool.data();
        args.size = sizeof args;
        args.out = out.data();
        args.q = q.data();
        args.cache = &cache;
        args.query_starts = starts.data();
        args.lengths = lengths.data();
        args.block_tables = tables.data();
        args.rows_max = args.sequences_max = args.table_count = args.q_head_count = args.table_stride = 1;
        args.length_max = 16;
        args.scale = 1;
        args.workspace_bytes = nlm_paged_attention_workspace_bytes(&args);
        workspace = std::make_unique<Buffer<unsigned char>>(device, static_cast<size_t>(args.workspace_bytes));
        args.workspace = workspace->data();
    }
    SmallCall(const SmallCall&) = delete;

    nlm_kv_cache cache{sizeof(nlm_kv_cache), NLM_F32, nullptr, 2, 16, 1, 1, 8};
    Buffer<unsigned char> pool;
    Buffer<float> q, out;
    Buffer<int32_t> starts, lengths, tables;
    std::unique_ptr<Buffer<unsigned char>> workspace;
    nlm_paged_attention_args args;
};

bool same_bits(const Matrix& a, const Matrix& b) {
    return a.data == b.data;
}

} // namespace

TEST("Attention_agrees_with_doubles_in_every_family_type_and_shape") {
    for (const nlm_isa isa : targets()) {
        for (const auto& [type, cache_type] : {std::pair{NLM_F32, NLM_F32}, std::pair{NLM_BF16, NLM_BF16},
                                               std::pair{NLM_F16, NLM_F16}, std::pair{NLM_F32, NLM_BF16}}) {
            if (quick() && type == NLM_F16) continue;
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
    for (const nlm_isa isa : targets()) {
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
    for (const nlm_isa isa : targets()) {
        for (const int32_t type : float_types()) {
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
                    CHECK(same_bits(first.output(0), other.output(0)), "%s type %d window %d: %s", target_name(isa), type, window,
                          what);
                };
                for (const int threads : thread_counts({1, 2, 3})) {
                    expect_same(alone, threads, 300, 0, "whole");
                    if (!quick()) expect_same(alone, threads, 1, 299, "token by token");
                }
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
    const std::vector<float> found = out.read();
    for (size_t i = 0; i < 24; i++) CHECK(found[i] == (i < 8 ? 0.0f : 9.0f));
}

TEST("Starts_lengths_and_block_ids_out_of_range_are_refused_or_harmless") {
    TestDevice device;
    SmallCall small(device);
    Buffer<int32_t> bad(device, 2);
    const auto check = [&](const char* name, const std::vector<int32_t>& numbers, const auto& change) {
        bad.write(numbers);
        nlm_paged_attention_args args = small.args;
        change(args);
        check_refused_or_harmless(device, nlm_paged_attention(device.stream(), &args), name);
    };
    check("query_starts", {1, 0}, [&](auto& a) { a.query_starts = bad.data(); });
    check("lengths", {17, 0}, [&](auto& a) { a.lengths = bad.data(); });
    check("lengths", {-1, 0}, [&](auto& a) { a.lengths = bad.data(); });
    check("block_tables", {2, 0}, [&](auto& a) { a.block_tables = bad.data(); });
    check("table_rows", {1, 0}, [&](auto& a) { a.table_rows = bad.data(); });
    CHECK(nlm_paged_attention(device.stream(), &small.args) == NLM_OK, "%s", nlm_last_error());
    device.synchronize();
}

TEST("Wrong_attention_arguments_are_refused_with_their_name") {
    TestDevice device;
    SmallCall small(device);
    CHECK(nlm_paged_attention(device.stream(), &small.args) == NLM_OK, "%s", nlm_last_error());

    const auto refuses = [&](const char* name, const auto& change) {
        nlm_paged_attention_args args = small.args;
        change(args);
        const int32_t status = nlm_paged_attention(device.stream(), &args);
        CHECK(refused_by_name(status, name), "%s: status %d, %s", name, status, nlm_last_error());
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
    nlm_kv_cache wrong = small.cache;
    wrong.head_dim = 264;
    refuses("head_dim", [&](auto& a) { a.cache = &wrong; });
    nlm_kv_cache odd = small.cache;
    odd.block_size = 12;
    refuses("block_size", [&](auto& a) { a.cache = &odd; });
    CHECK(nlm_paged_attention(nullptr, &small.args) == NLM_INVALID_ARGUMENT);
    CHECK(nlm_paged_attention(device.stream(), nullptr) == NLM_INVALID_ARGUMENT);
    CHECK(nlm_paged_attention_workspace_bytes(nullptr) == -1);
    CHECK(nlm_kv_block_bytes(nullptr) == -1);
}
