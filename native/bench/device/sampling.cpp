// The sampler: rows x vocabulary x what a request asks for.
#include "bench.h"

#include <algorithm>

namespace nlm::bench {

namespace {

struct Mode {
    const char* name;
    float temperature, top_p;
    int32_t top_k, top_logprobs;
};

constexpr Mode modes[] = {{"greedy", 0, 1, 0, -1},
                          {"temperature", 0.8f, 1, 0, -1},
                          {"top-p 0.9", 0.8f, 0.9f, 0, -1},
                          {"top-k 50", 0.8f, 1, 50, -1},
                          {"top-k 50, top-p 0.9", 0.8f, 0.9f, 50, -1},
                          {"greedy, 5 log-probabilities", 0, 1, 0, 5}};
constexpr int32_t top_logprobs_max = 5;

std::vector<nlm_sample_row> rows_of(const Mode& mode, int32_t count) {
    std::vector<nlm_sample_row> rows(static_cast<size_t>(count));
    for (size_t i = 0; i < rows.size(); ++i) {
        nlm_sample_row& row = rows[i];
        row = {};
        row.seed = 1000 + i;
        row.position = 17;
        row.forced_token = -1;
        row.temperature = mode.temperature;
        row.top_p = mode.top_p;
        row.top_k = mode.top_k;
        row.repetition_penalty = 1;
        row.count_row = row.mask_row = -1;
        row.top_logprobs = mode.top_logprobs;
    }
    return rows;
}

void measure_sample(Bench& bench, const Memory& logits, int32_t rows, int32_t vocabulary, const Mode& mode) {
    const int64_t call_bytes = int64_t{4} * rows * vocabulary, copies = std::max<int64_t>(1, logits.bytes() / call_bytes);
    const Memory parameters = upload(bench.device, rows_of(mode, rows)),
                 results(bench.device, rows * static_cast<int64_t>(sizeof(nlm_sample_result))),
                 top_ids(bench.device, int64_t{4} * rows * top_logprobs_max),
                 top_values(bench.device, int64_t{4} * rows * top_logprobs_max);
    nlm_sample_args args{};
    args.size = sizeof args;
    args.rows_max = rows;
    args.results = results.as<nlm_sample_result>();
    args.parameters = parameters.as<nlm_sample_row>();
    args.logits_stride = args.vocabulary = vocabulary;
    if (mode.top_logprobs > 0) {
        args.top_ids = top_ids.as<int32_t>();
        args.top_values = top_values.as<float>();
        args.top_logprobs_max = top_logprobs_max;
    }
    const Memory workspace(bench.device, std::max<int64_t>(64, nlm_sample_workspace_bytes(&args)));
    args.workspace = workspace.data();
    args.workspace_bytes = workspace.bytes();
    const auto call = [&](int index) {
        args.logits = reinterpret_cast<const float*>(logits.data() + index % copies * call_bytes);
        require(nlm_sample(bench.device.stream(), &args));
    };
    Work work;
    work.read = static_cast<double>(call_bytes);
    Target target;
    if (rows == 256 && vocabulary == 131072) target = {Target::MicrosecondsMost, 60};
    if (rows == 1) target = {Target::MicrosecondsMost, 12};
    bench.measure("sample " + std::to_string(rows) + "x" + std::to_string(vocabulary) + " " + mode.name, work,
                  {{"nlm_sample", call, work.read, target}});
}

} // namespace

void bench_sampling(Bench& bench) {
    const bool rehearsal = bench.is_rehearsal();
    const std::vector<int32_t> row_counts = rehearsal ? std::vector<int32_t>{3} : std::vector<int32_t>{1, 32, 256};
    std::vector<int32_t> vocabularies{32768, 131072, 151936};
    if (bench.options.quick) vocabularies = {131072};
    if (rehearsal) vocabularies = {1024};
    const Memory logits = random_logits(bench.device, rehearsal ? 2 * 3 * 4096 : int64_t{640} << 20);
    for (const int32_t vocabulary : vocabularies)
        for (const int32_t rows : row_counts)
            for (const Mode& mode : modes) measure_sample(bench, logits, rows, vocabulary, mode);
}

} // namespace nlm::bench
