// The bench-only exports (native/bench/bench_kernels.h): ceilings that do what they are timed for. The CPU backend has none.
#include "../bench/bench_kernels.h"
#include "fixture.h"

#include <numeric>

using namespace nlm::tests;

extern "C" {
__attribute__((weak)) int32_t nlm_bench_read(nlm_stream*, const void*, int64_t, int32_t, void*);
__attribute__((weak)) int32_t nlm_bench_write(nlm_stream*, void*, int64_t, int32_t);
__attribute__((weak)) int32_t nlm_bench_copy(nlm_stream*, void*, const void*, int64_t, int32_t);
__attribute__((weak)) int32_t nlm_bench_multiply(nlm_stream*, int32_t, int32_t, int32_t, void*, double*);
__attribute__((weak)) int32_t nlm_bench_replay(nlm_stream*, nlm_graph* const*, int32_t, int32_t, float*);
}

namespace {

constexpr const char* absent = "the cpu backend has no bench kernels";

// Words of a buffer that is not a multiple of any grid's stride.
std::vector<uint32_t> numbered(size_t count) {
    std::vector<uint32_t> words(count);
    std::iota(words.begin(), words.end(), 1u);
    return words;
}

} // namespace

TEST("A_bench_copy_copies_every_word_and_none_beyond") {
    if (nlm_bench_copy == nullptr) SKIP(absent);
    const TestDevice device;
    for (const size_t words : {size_t{4}, size_t{4 * 1023}, size_t{4 * 9001}}) {
        const Buffer<uint32_t> source(device, numbered(words));
        const Buffer<uint32_t> destination(device, std::vector<uint32_t>(words + 4, 0));
        for (const int32_t blocks : {1, 8})
            CHECK(nlm_bench_copy(device.stream(), destination.data(), source.data(), static_cast<int64_t>(4 * words), blocks) ==
                  NLM_OK);
        std::vector<uint32_t> expected = numbered(words);
        expected.resize(words + 4, 0);
        CHECK(destination.read() == expected, "%zu words", words);
    }
}

TEST("A_bench_write_writes_every_word_and_none_beyond") {
    if (nlm_bench_write == nullptr) SKIP(absent);
    const TestDevice device;
    constexpr size_t words = 4 * 9001;
    const Buffer<uint32_t> destination(device, std::vector<uint32_t>(words + 4, 0));
    CHECK(nlm_bench_write(device.stream(), destination.data(), 4 * words, 4) == NLM_OK);
    const std::vector<uint32_t> found = destination.read();
    size_t zeros = 0;
    for (size_t i = 0; i < words; ++i) zeros += found[i] == 0;
    CHECK(zeros <= 3, "%zu of %zu words are zero", zeros, words); // the pattern itself begins with three
    for (size_t i = words; i < words + 4; ++i) CHECK(found[i] == 0, "word %zu beyond the end", i - words);
}

TEST("A_bench_read_leaves_its_source_alone") {
    if (nlm_bench_read == nullptr) SKIP(absent);
    const TestDevice device;
    const std::vector<uint32_t> words = numbered(4 * 5003);
    const Buffer<uint32_t> source(device, words), sink(device, std::vector<uint32_t>(16, 0));
    CHECK(nlm_bench_read(device.stream(), source.data(), static_cast<int64_t>(4 * words.size()), 2, sink.data()) == NLM_OK);
    CHECK(source.read() == words);
}

TEST("A_bench_multiply_counts_its_operations_by_repeats_and_blocks") {
    if (nlm_bench_multiply == nullptr) SKIP(absent);
    const TestDevice device;
    const Buffer<float> sink(device, std::vector<float>(16, 0));
    double once = 0, more = 0;
    CHECK(nlm_bench_multiply(device.stream(), NLM_BF16, 1, 1, sink.data(), &once) == NLM_OK);
    CHECK(nlm_bench_multiply(device.stream(), NLM_F16, 3, 2, sink.data(), &more) == NLM_OK);
    device.synchronize();
    CHECK(once > 0 && more == 6 * once, "found %g and %g", once, more);
}

TEST("A_bench_replay_runs_every_graph_in_every_round_and_once_before") {
    if (nlm_bench_replay == nullptr) SKIP(absent);
    const TestDevice device;
    const Buffer<int32_t> ids(device, std::vector<int32_t>{0, 0}), sources(device, std::vector<int32_t>{0, -1});
    const Buffer<nlm_sample_result> results(device, std::vector<nlm_sample_result>{{7, 0, 0, 0}});
    nlm_feed_tokens_args args{};
    args.size = sizeof args;
    args.rows_max = 2;
    args.ids = ids.data();
    args.sources = sources.data();
    args.results = results.data();
    args.result_rows = 1;
    args.vocabulary = 100;
    nlm_graph* graphs[2] = {};
    for (nlm_graph*& graph : graphs) {
        CHECK(nlm_graph_begin(device.stream()) == NLM_OK);
        CHECK(nlm_feed_tokens(device.stream(), &args) == NLM_OK);
        CHECK(nlm_graph_end(device.stream(), &graph) == NLM_OK);
    }
    std::vector<float> milliseconds(6, -1.0f);
    CHECK(nlm_bench_replay(device.stream(), graphs, 2, 3, milliseconds.data()) == NLM_OK, "%s", nlm_last_error());
    for (const float time : milliseconds) CHECK(time >= 0);
    CHECK(ids.read() == (std::vector<int32_t>{7, 0}));
    for (nlm_graph* graph : graphs) CHECK(nlm_graph_destroy(graph) == NLM_OK);
}

TEST("Bench_exports_refuse_bad_arguments") {
    if (nlm_bench_copy == nullptr) SKIP(absent);
    const TestDevice device;
    const Buffer<uint32_t> memory(device, std::vector<uint32_t>(64, 1));
    nlm_stream* const stream = device.stream();
    void* const data = memory.data();
    double operations = 0;
    float milliseconds = 0;
    nlm_graph* none = nullptr;
    CHECK(nlm_bench_copy(stream, data, data, 15, 1) == NLM_INVALID_ARGUMENT);
    CHECK(nlm_bench_copy(nullptr, data, data, 16, 1) == NLM_INVALID_ARGUMENT);
    CHECK(nlm_bench_read(stream, nullptr, 16, 1, data) == NLM_INVALID_ARGUMENT);
    CHECK(nlm_bench_read(stream, data, 16, 0, data) == NLM_INVALID_ARGUMENT);
    CHECK(nlm_bench_write(stream, data, -16, 1) == NLM_INVALID_ARGUMENT);
    CHECK(nlm_bench_multiply(stream, NLM_F32, 1, 1, data, &operations) == NLM_INVALID_ARGUMENT);
    CHECK(nlm_bench_multiply(stream, NLM_BF16, 0, 1, data, &operations) == NLM_INVALID_ARGUMENT);
    CHECK(nlm_bench_replay(stream, &none, 1, 1, &milliseconds) == NLM_INVALID_ARGUMENT);
    CHECK(nlm_bench_replay(stream, &none, 0, 1, &milliseconds) == NLM_INVALID_ARGUMENT);
}
