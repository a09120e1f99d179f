// nlm_bench_paper_attention, the baseline of benchmarks, against plain doubles. The CPU backend does not have it.
#include "../bench/paper_attention.h"
#include "fixture.h"
#include "numbers.h"

#include <algorithm>
#include <numeric>

using namespace nlm::tests;

extern "C" __attribute__((weak)) int32_t nlm_bench_paper_attention(nlm_stream* stream,
                                                                   const nlm_bench_paper_attention_args* args);

namespace {

struct PaperCase {
    int32_t type, q_heads, kv_heads, head_dim, block_size;
    std::vector<int32_t> lengths;
};

// The operands of a call in host memory; K and V of slots that hold no key are NaN.
struct PaperBatch {
    explicit PaperBatch(const PaperCase& c)
        : shape(c), q(c.type, static_cast<int64_t>(c.lengths.size()) * c.q_heads, c.head_dim), k(c.type, 0, 0), v(c.type, 0, 0) {
        const int32_t longest = *std::max_element(c.lengths.begin(), c.lengths.end());
        table_stride = (longest + c.block_size - 1) / c.block_size;
        const int32_t blocks = table_stride * static_cast<int32_t>(c.lengths.size());
        k = v = Matrix(c.type, static_cast<int64_t>(blocks) * c.kv_heads, static_cast<int64_t>(c.head_dim) * c.block_size);
        std::fill(k.data.begin(), k.data.end(), static_cast<unsigned char>(0xff));
        std::fill(v.data.begin(), v.data.end(), static_cast<unsigned char>(0xff));
        q.randomize(1, 2);
        tables.resize(static_cast<size_t>(blocks));
        std::iota(tables.begin(), tables.end(), 0);
        std::reverse(tables.begin(), tables.end());
        Random random(2);
        for (size_t s = 0; s < c.lengths.size(); s++) {
            for (int32_t key = 0; key < c.lengths[s]; key++) {
                for (int32_t head = 0; head < c.kv_heads; head++) {
                    for (int32_t i = 0; i < c.head_dim; i++) {
                        k.set(row(s, key, head), k_column(key, i), random.uniform());
                        v.set(row(s, key, head), v_column(key, i), random.uniform());
                    }
                }
            }
        }
    }
    int64_t row(size_t sequence, int32_t key, int32_t head) const {
        return tables[sequence * static_cast<size_t>(table_stride) + static_cast<size_t>(key / shape.block_size)] *
                   int64_t{shape.kv_heads} +
               head;
    }
    int64_t k_column(int32_t key, int32_t i) const { return (i / 8 * shape.block_size + key % shape.block_size) * 8 + i % 8; }
    int64_t v_column(int32_t key, int32_t i) const { return i * shape.block_size + key % shape.block_size; }

    PaperCase shape;
    Matrix q, k, v;
    std::vector<int32_t> tables;
    int32_t table_stride;
    static constexpr float scale = 0.25f;
};

std::vector<double> reference(const PaperBatch& batch, size_t sequence, int32_t head) {
    const PaperCase& c = batch.shape;
    const int32_t kv_head = head / (c.q_heads / c.kv_heads);
    const int64_t q_row = static_cast<int64_t>(sequence) * c.q_heads + head;
    std::vector<double> out(static_cast<size_t>(c.head_dim)), scores;
    double highest = -INFINITY, total = 0;
    for (int32_t key = 0; key < c.lengths[sequence]; key++) {
        double score = 0;
        for (int32_t i = 0; i < c.head_dim; i++)
            score += batch.q.get(q_row, i) * batch.k.get(batch.row(sequence, key, kv_head), batch.k_column(key, i));
        scores.push_back(score * PaperBatch::scale);
        highest = std::max(highest, scores.back());
    }
    for (int32_t key = 0; key < c.lengths[sequence]; key++) {
        const double p = std::exp(scores[static_cast<size_t>(key)] - highest);
        total += p;
        for (int32_t i = 0; i < c.head_dim; i++)
            out[static_cast<size_t>(i)] += p * batch.v.get(batch.row(sequence, key, kv_head), batch.v_column(key, i));
    }
    for (double& value : out) value /= total;
    return out;
}

void check_case(const TestDevice& device, const PaperCase& c) {
    PaperBatch batch(c);
    Matrix out(c.type, batch.q.rows, c.head_dim);
    const Buffer<unsigned char> q(device, batch.q.data), k(device, batch.k.data), v(device, batch.v.data),
        result(device, out.data.size());
    const Buffer<int32_t> lengths(device, c.lengths), tables(device, batch.tables);
    const nlm_bench_paper_attention_args args{sizeof args,
                                              c.type,
                                              result.data(),
                                              q.data(),
                                              k.data(),
                                              v.data(),
                                              lengths.data(),
                                              tables.data(),
                                              static_cast<int32_t>(c.lengths.size()),
                                              c.q_heads,
                                              c.kv_heads,
                                              c.head_dim,
                                              c.block_size,
                                              batch.table_stride,
                                              *std::max_element(c.lengths.begin(), c.lengths.end()),
                                              PaperBatch::scale};
    require_ok(nlm_bench_paper_attention(device.stream(), &args), "nlm_bench_paper_attention");
    out.data = result.read();
    for (size_t sequence = 0; sequence < c.lengths.size(); sequence++) {
        for (int32_t head = 0; head < c.q_heads; head++) {
            const std::vector<double> expected = reference(batch, sequence, head);
            for (int32_t i = 0; i < c.head_dim; i++) {
                const double found = out.get(static_cast<int64_t>(sequence) * c.q_heads + head, i);
                CHECK(std::fabs(found - expected[static_cast<size_t>(i)]) <= (c.type == NLM_BF16 ? 5e-3 : 1e-3),
                      "type %d dim %d block %d sequence %zu head %d dim %d: %g, expected %g", c.type, c.head_dim, c.block_size,
                      sequence, head, i, found, expected[static_cast<size_t>(i)]);
            }
        }
    }
}

} // namespace

TEST("The_papers_kernel_agrees_with_doubles_at_every_block_size") {
    if (nlm_bench_paper_attention == nullptr) SKIP("the CPU backend has no such baseline");
    TestDevice device;
    for (const int32_t block_size : {8, 16, 32, 64, 128}) {
        check_case(device, {NLM_BF16, 4, 2, 64, block_size, {1, 7, 130}});
        check_case(device, {NLM_F16, 3, 3, 128, block_size, {65}});
    }
}

TEST("The_papers_kernel_refuses_shapes_it_was_not_built_for") {
    if (nlm_bench_paper_attention == nullptr) SKIP("the CPU backend has no such baseline");
    TestDevice device;
    const Buffer<unsigned char> data(device, 4096);
    const Buffer<int32_t> numbers(device, std::vector<int32_t>{1});
    const nlm_bench_paper_attention_args good{sizeof good,
                                              NLM_BF16,
                                              data.data(),
                                              data.data(),
                                              data.data(),
                                              data.data(),
                                              numbers.data(),
                                              numbers.data(),
                                              0 /* nothing */,
                                              2,
                                              1,
                                              64,
                                              16,
                                              1,
                                              16,
                                              1.0f};
    CHECK(nlm_bench_paper_attention(device.stream(), &good) == NLM_OK, "%s", nlm_last_error());
    const auto refuses = [&](const char* name, int32_t status, const auto& change) {
        nlm_bench_paper_attention_args args = good;
        args.sequences = 1;
        change(args);
        const int32_t found = nlm_bench_paper_attention(device.stream(), &args);
        CHECK(found == status && std::strstr(nlm_last_error(), name), "%s: status %d, %s", name, found, nlm_last_error());
    };
    refuses("type", NLM_INVALID_ARGUMENT, [](auto& a) { a.type = NLM_F32; });
    refuses("head_dim", NLM_INVALID_ARGUMENT, [](auto& a) { a.head_dim = 80; });
    refuses("block_size", NLM_INVALID_ARGUMENT, [](auto& a) { a.block_size = 24; });
    refuses("q_head_count", NLM_INVALID_ARGUMENT, [](auto& a) { a.kv_head_count = 2, a.q_head_count = 3; });
    refuses("k_cache", NLM_INVALID_ARGUMENT, [](auto& a) { a.k_cache = nullptr; });
    refuses("length_max", NLM_UNSUPPORTED, [](auto& a) { a.length_max = 1 << 20; });
    CHECK(nlm_bench_paper_attention(nullptr, &good) == NLM_INVALID_ARGUMENT);
}
