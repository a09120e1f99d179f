// nlm_sample and nlm_count_tokens: every filter against sorting in doubles, the distribution by chi-square, seeds and bits.
#include "fixture.h"
#include "numbers.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>
#include <set>

using namespace nlm::tests;

namespace {

nlm_sample_row neutral() {
    nlm_sample_row row{};
    row.forced_token = row.count_row = row.mask_row = row.top_logprobs = -1;
    row.top_p = row.repetition_penalty = row.temperature = 1;
    return row;
}

// Everything a call needs; members may be filled in before run().
struct Sampling {
    Sampling(nlm_isa isa, int threads, int32_t vocabulary, const std::vector<std::vector<float>>& rows, int32_t top_max = 0)
        : device(isa, threads), vocabulary(vocabulary), row_count(static_cast<int32_t>(rows.size())), top_max(top_max),
          logits(device, rows.size() * static_cast<size_t>(vocabulary + 3)), results(device, rows.size()),
          parameters(device, rows.size()), top_ids(device, rows.size() * static_cast<size_t>(top_max)),
          top_values(device, rows.size() * static_cast<size_t>(top_max)),
          processed(device, rows.size() * static_cast<size_t>(vocabulary)), counts(device, 2 * static_cast<size_t>(vocabulary)),
          prompt(device, 2 * words()), allowed(device, 2 * words()) {
        for (size_t row = 0; row < rows.size(); row++) {
            std::copy(rows[row].begin(), rows[row].end(),
                      logits.host.begin() + static_cast<std::ptrdiff_t>(row * static_cast<size_t>(vocabulary + 3)));
            parameters[row] = neutral();
        }
    }

    size_t words() const { return static_cast<size_t>(vocabulary + 31) / 32; }

    // Uploads every member.
    nlm_sample_args arguments() {
        logits.upload();
        parameters.upload();
        counts.upload();
        prompt.upload();
        allowed.upload();
        bias_id_buffer = std::make_unique<Buffer<int32_t>>(device, bias_ids);
        bias_value_buffer = std::make_unique<Buffer<float>>(device, bias_values);
        nlm_sample_args args{};
        args.size = sizeof args;
        args.rows_max = row_count;
        args.results = results.data();
        args.top_ids = top_max ? top_ids.data() : nullptr;
        args.top_values = top_max ? top_values.data() : nullptr;
        args.processed = with_processed ? processed.data() : nullptr;
        args.logits = logits.data();
        args.parameters = parameters.data();
        args.token_counts = counts.data();
        args.prompt_mask = prompt.data();
        args.allowed_mask = allowed.data();
        args.bias_ids = bias_id_buffer->data();
        args.bias_values = bias_value_buffer->data();
        args.logits_stride = vocabulary + 3;
        args.vocabulary = vocabulary;
        args.count_rows = args.mask_rows = 2;
        args.bias_total = static_cast<int32_t>(bias_ids.size());
        args.top_logprobs_max = top_max;
        args.workspace_bytes = nlm_sample_workspace_bytes(&args);
        if (!workspace) workspace = std::make_unique<Buffer<unsigned char>>(device, static_cast<size_t>(args.workspace_bytes));
        args.workspace = workspace->data();
        return args;
    }
    void run() {
        nlm_sample_args args = arguments();
        CHECK(nlm_sample(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
        device.synchronize();
        results.download();
        top_ids.download();
        top_values.download();
        if (with_processed) processed.download();
        counts.download();
    }
    void count_tokens(int32_t row, const std::vector<int32_t>& prompt_ids, const std::vector<int32_t>& output_ids) {
        counts.upload();
        prompt.upload();
        const nlm_count_tokens_args args = count_arguments(row, prompt_ids, output_ids);
        CHECK(nlm_count_tokens(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
        counts.download();
        prompt.download();
    }
    nlm_count_tokens_args count_arguments(int32_t row, const std::vector<int32_t>& prompt_ids,
                                          const std::vector<int32_t>& output_ids) const {
        return {sizeof(nlm_count_tokens_args),
                row,
                counts.data(),
                prompt.data(),
                prompt_ids.data(),
                output_ids.data(),
                static_cast<int32_t>(prompt_ids.size()),
                static_cast<int32_t>(output_ids.size()),
                2,
                vocabulary};
    }
    // Ids that the filters kept, ascending.
    std::vector<int32_t> kept(size_t row) const {
        std::vector<int32_t> ids;
        for (int32_t i = 0; i < vocabulary; i++)
            if (processed[row * static_cast<size_t>(vocabulary) + static_cast<size_t>(i)] != -INFINITY) ids.push_back(i);
        return ids;
    }

    TestDevice device;
    int32_t vocabulary, row_count, top_max;
    bool with_processed = true;
    Mirror<float> logits;
    Mirror<nlm_sample_result> results;
    Mirror<nlm_sample_row> parameters;
    Mirror<int32_t> top_ids;
    Mirror<float> top_values, processed;
    Mirror<uint16_t> counts;
    Mirror<uint32_t> prompt, allowed;
    std::vector<int32_t> bias_ids;
    std::vector<float> bias_values;
    std::unique_ptr<Buffer<int32_t>> bias_id_buffer;
    std::unique_ptr<Buffer<float>> bias_value_buffer;
    std::unique_ptr<Buffer<unsigned char>> workspace;
};

std::vector<float> random_logits(uint64_t seed, int32_t vocabulary, double scale = 8) {
    Random random(seed);
    std::vector<float> row;
    for (int32_t i = 0; i < vocabulary; i++) row.push_back(static_cast<float>(scale * (random.uniform() + random.uniform())));
    return row;
}

// What min-p, top-k and top-p leave, by sorting.
std::vector<int32_t> kept_by_sorting(const std::vector<float>& z, const nlm_sample_row& p) {
    std::vector<int32_t> ids(z.size());
    std::iota(ids.begin(), ids.end(), 0);
    std::stable_sort(ids.begin(), ids.end(),
                     [&](int32_t a, int32_t b) { return z[static_cast<size_t>(a)] > z[static_cast<size_t>(b)]; });
    const auto value = [&](int32_t id) { return static_cast<double>(z[static_cast<size_t>(id)]); };
    const auto weight = [&](int32_t id) { return std::exp((value(id) - value(ids[0])) / static_cast<double>(p.temperature)); };
    if (p.min_p > 0) std::erase_if(ids, [&](int32_t id) { return weight(id) < static_cast<double>(p.min_p); });
    if (p.top_k > 0 && static_cast<size_t>(p.top_k) < ids.size()) {
        const double least = value(ids[static_cast<size_t>(p.top_k - 1)]);
        std::erase_if(ids, [&](int32_t id) { return value(id) < least; });
    }
    if (p.top_p < 1) {
        double total = 0, mass = 0;
        for (const int32_t id : ids) total += weight(id);
        size_t size = 0;
        while (size < ids.size() && (size == 0 || mass < static_cast<double>(p.top_p) * total)) mass += weight(ids[size++]);
        ids.resize(size);
    }
    std::erase_if(ids, [&](int32_t id) { return value(id) == -INFINITY; }); // kept or not, it is never drawn
    std::sort(ids.begin(), ids.end());
    return ids;
}

void check_kept(const std::vector<int32_t>& found, const std::vector<float>& row, const nlm_sample_row& p, nlm_isa isa) {
    const std::vector<int32_t> expected = kept_by_sorting(row, p);
    // A mass within a millionth of top_p may fall either way.
    nlm_sample_row less = p, more = p;
    less.top_p -= 1e-6f;
    more.top_p += p.top_p < 1 ? 1e-6f : 0.0f;
    const std::vector<int32_t> smallest = kept_by_sorting(row, less), largest = kept_by_sorting(row, more);
    const bool borderline = std::includes(found.begin(), found.end(), smallest.begin(), smallest.end()) &&
                            std::includes(largest.begin(), largest.end(), found.begin(), found.end());
    CHECK(found == expected || (p.top_p < 1 && borderline), "%s V=%zu T=%g k=%d p=%g min_p=%g: %zu kept, expected %zu",
          target_name(isa), row.size(), p.temperature, p.top_k, p.top_p, p.min_p, found.size(), expected.size());
}

// Ids of a row by value, equal values by id.
std::vector<int32_t> ids_by_value(const std::vector<float>& row) {
    std::vector<int32_t> ids(row.size());
    std::iota(ids.begin(), ids.end(), 0);
    std::stable_sort(ids.begin(), ids.end(),
                     [&](int32_t a, int32_t b) { return row[static_cast<size_t>(a)] > row[static_cast<size_t>(b)]; });
    return ids;
}

struct WideCase {
    std::vector<float> row;
    int32_t top_k;
    float top_p, min_p, temperature;
};

// Rows over several chunks of a GPU's scan. The flat ones keep more tokens than a block has room for, the whole numbers tie.
std::vector<WideCase> wide_cases(int32_t vocabulary) {
    const std::vector<float> steep = random_logits(71, vocabulary, 8), flat = random_logits(72, vocabulary, 0.01);
    std::vector<float> whole = steep, equal(steep.size(), 2.5f), holes = steep;
    for (float& value : whole) value = std::round(value / 3);
    for (size_t i = 0; i < holes.size(); i += 2) holes[i] = -INFINITY;
    return {{steep, 0, 1, 0, 0},     {steep, 0, 1, 0, 1},      {steep, 40, 1, 0, 1},      {steep, 40, 0.9f, 0, 0.7f},
            {steep, 0, 0.9f, 0, 1},  {steep, 0, 0.999f, 0, 2}, {steep, 0, 1, 0.1f, 1},    {steep, 300, 0.8f, 0.01f, 1.5f},
            {flat, 0, 0.5f, 0, 1},   {flat, 5000, 1, 0, 1},    {flat, 5000, 0.5f, 0, 1},  {flat, 0, 0.9f, 0.99f, 1},
            {whole, 7, 1, 0, 1},     {whole, 2500, 1, 0, 1},   {whole, 2500, 0.9f, 0, 4}, {whole, 0, 0.3f, 0, 1},
            {equal, 0, 0.3f, 0, 1},  {equal, 3, 0.25f, 0, 1},  {equal, 0, 0.0f, 0, 1},    {holes, 0, 0.9999f, 0, 3},
            {holes, 15000, 1, 0, 1}, {holes, 0, 0.5f, 1, 1},   {flat, 0, 1, 0, 0.001f},   {equal, 0, 1, 0, 1}};
}

} // namespace

TEST("Greedy_takes_the_first_of_the_best_and_its_log_probability_and_rank_are_exact") {
    for (const nlm_isa isa : targets()) {
        for (const int32_t vocabulary : {1, 2, 63, 64, 65, 1000, 32000}) {
            std::vector<float> row = random_logits(3, vocabulary);
            const size_t first = static_cast<size_t>(vocabulary) / 3, second = static_cast<size_t>(vocabulary) - 1;
            row[first] = row[second] = 20;
            if (vocabulary > 2) row[0] = -INFINITY;
            const int32_t top = std::min(vocabulary, 7);
            Sampling s(isa, 1, vocabulary, {row}, top);
            s.parameters[0].temperature = 0;
            s.parameters[0].top_logprobs = top;
            s.run();
            double total = 0;
            for (const float value : row) total += std::exp(static_cast<double>(value) - 20);
            CHECK(s.results[0].token == static_cast<int32_t>(first) && s.results[0].rank == 1 && s.results[0].flags == 0);
            CHECK(std::fabs(s.results[0].logprob + std::log(total)) < 1e-5, "%d: %g", vocabulary, s.results[0].logprob);
            CHECK((s.kept(0) == std::vector<int32_t>{static_cast<int32_t>(first)}));
            std::vector<int32_t> ids(row.size());
            std::iota(ids.begin(), ids.end(), 0);
            std::stable_sort(ids.begin(), ids.end(),
                             [&](int32_t a, int32_t b) { return row[static_cast<size_t>(a)] > row[static_cast<size_t>(b)]; });
            for (size_t i = 0; i < static_cast<size_t>(top); i++) {
                CHECK(s.top_ids[i] == ids[i], "%d: place %zu is %d, expected %d", vocabulary, i, s.top_ids[i], ids[i]);
                const double expected = static_cast<double>(row[static_cast<size_t>(ids[i])]) - 20 - std::log(total);
                CHECK(std::isinf(expected) ? s.top_values[i] == -INFINITY : std::fabs(s.top_values[i] - expected) < 2e-5);
            }
        }
    }
}

TEST("Filters_keep_what_sorting_keeps") {
    uint64_t seed = 1;
    for (const nlm_isa isa : targets()) {
        for (const int32_t vocabulary : {1, 50, 512, 5000}) {
            for (int i = 0; i < 60; i++) {
                Random random(++seed);
                nlm_sample_row p = neutral();
                p.temperature = static_cast<float>(0.2 + 1.5 * std::fabs(random.uniform()));
                if (random.integer(0, 1)) p.top_k = random.integer(1, vocabulary + 2);
                if (random.integer(0, 1)) p.top_p = static_cast<float>(std::fabs(random.uniform()));
                if (random.integer(0, 2) == 0) p.min_p = static_cast<float>(std::fabs(random.uniform()) * 0.3);
                // a flat row has its mass everywhere, whole numbers have ties
                std::vector<float> row = random_logits(seed, vocabulary, i % 3 == 0 ? 0.05 : 6);
                if (i % 4 == 1)
                    for (float& value : row) value = std::round(value);
                Sampling s(isa, 1, vocabulary, {row});
                s.parameters[0] = p;
                s.run();
                const std::vector<int32_t> found = s.kept(0);
                check_kept(found, row, p, isa);
                CHECK(std::binary_search(found.begin(), found.end(), s.results[0].token));
            }
        }
    }
}

TEST("A_vocabulary_of_many_chunks_is_filtered_and_reported_as_by_sorting_and_rows_keep_their_bits_alone") {
    const int32_t vocabulary = 16403, top = 20;
    for (const nlm_isa isa : targets()) {
        const std::vector<WideCase> cases = wide_cases(vocabulary);
        std::vector<std::vector<float>> rows;
        for (const WideCase& c : cases) rows.push_back(c.row);
        Sampling s(isa, 2, vocabulary, rows, top);
        for (size_t i = 0; i < cases.size(); i++) {
            nlm_sample_row& p = s.parameters[i];
            p.top_k = cases[i].top_k;
            p.top_p = cases[i].top_p;
            p.min_p = cases[i].min_p;
            p.temperature = cases[i].temperature;
            p.seed = 1000 + i;
            p.position = static_cast<int32_t>(i) * 3;
            p.top_logprobs = top;
        }
        s.run();
        for (size_t i = 0; i < cases.size(); i += quick() ? 5 : 1) {
            const std::vector<int32_t> found = s.kept(i), ids = ids_by_value(cases[i].row);
            const nlm_sample_result& result = s.results[i];
            if (cases[i].temperature > 0)
                check_kept(found, cases[i].row, s.parameters[i], isa);
            else
                CHECK(found == std::vector<int32_t>{ids[0]}, "%s greedy", target_name(isa));
            CHECK(std::binary_search(found.begin(), found.end(), result.token), "%s case %zu", target_name(isa), i);
            const auto place = std::find(ids.begin(), ids.end(), result.token) - ids.begin();
            CHECK(result.rank == place + 1, "%s case %zu: rank %d, expected %td", target_name(isa), i, result.rank, place + 1);
            const auto first = s.top_ids.host.begin() + static_cast<std::ptrdiff_t>(i) * top;
            CHECK(std::equal(first, first + top, ids.begin()), "%s case %zu: alternatives", target_name(isa), i);

            Sampling alone(isa, 1, vocabulary, {cases[i].row}, top);
            alone.parameters[0] = s.parameters[i];
            alone.run();
            CHECK(std::memcmp(&alone.results[0], &result, sizeof result) == 0, "%s case %zu", target_name(isa), i);
            CHECK(std::memcmp(alone.top_values.host.data(), &s.top_values[i * top], top * sizeof(float)) == 0, "%s case %zu",
                  target_name(isa), i);
            CHECK(std::memcmp(alone.processed.host.data(), &s.processed[i * static_cast<size_t>(vocabulary)],
                              alone.processed.host.size() * sizeof(float)) == 0,
                  "%s case %zu: processed", target_name(isa), i);
        }
    }
}

TEST("Edits_reach_every_chunk_and_the_same_token_may_be_biased_twice") {
    const int32_t vocabulary = 12301;
    for (const nlm_isa isa : targets()) {
        const std::vector<float> row = random_logits(81, vocabulary, 2);
        Sampling s(isa, 1, vocabulary, {row, row});
        std::vector<double> expected(row.begin(), row.end());
        std::vector<int32_t> prompt, output;
        for (int32_t i = 0; i < vocabulary; i++) {
            if (i % 7 == 3) expected[static_cast<size_t>(i)] = -INFINITY;
            if (i % 7 != 3) s.allowed[static_cast<size_t>(i) / 32] |= 1u << i % 32;
        }
        for (int32_t i = 0; i < 300; i++) {
            s.bias_ids.push_back(i * 401 % vocabulary);
            s.bias_values.push_back(static_cast<float>(i % 13) / 4 - 1);
        }
        s.bias_ids.insert(s.bias_ids.end(), {vocabulary - 1, vocabulary - 1, 8200, 8200});
        s.bias_values.insert(s.bias_values.end(), {0.5f, 0.25f, 1, -2});
        for (size_t i = 0; i < s.bias_ids.size(); i++)
            expected[static_cast<size_t>(s.bias_ids[i])] += static_cast<double>(s.bias_values[i]);
        for (int32_t i = 0; i < 2500; i++) output.push_back(i * i % 3011 * 4); // more than one chunk of ids, many twice and more
        for (int32_t i = 0; i < 1100; i++) prompt.push_back(vocabulary - 1 - i * 11);
        std::vector<int32_t> counts(row.size());
        std::vector<bool> seen(row.size());
        for (const int32_t id : output) counts[static_cast<size_t>(id)]++;
        for (const int32_t id : prompt) seen[static_cast<size_t>(id)] = true;
        for (size_t i = 0; i < row.size(); i++) {
            if (seen[i] || counts[i] > 0) expected[i] = expected[i] > 0 ? expected[i] / 1.25 : expected[i] * 1.25;
            expected[i] -= 0.25 * counts[i] + (counts[i] > 0 ? 0.5 : 0);
        }
        nlm_sample_row& p = s.parameters[0];
        p.mask_row = p.count_row = 0;
        p.bias_count = static_cast<int32_t>(s.bias_ids.size());
        p.repetition_penalty = 1.25f;
        p.frequency_penalty = 0.25f;
        p.presence_penalty = 0.5f;
        p.top_k = 2000;
        s.count_tokens(0, prompt, output);
        for (size_t i = 0; i < row.size(); i++) CHECK(s.counts[i] == counts[i], "%s: count of %zu", target_name(isa), i);
        s.run();
        const double best = *std::max_element(expected.begin(), expected.end());
        std::vector<double> sorted = expected;
        std::nth_element(sorted.begin(), sorted.begin() + 1999, sorted.end(), std::greater<>());
        for (size_t i = 0; i < row.size(); i++) {
            const double found = s.processed[i], wanted = expected[i] - best;
            if (std::fabs(expected[i] - sorted[1999]) < 1e-5) continue; // may fall either way
            CHECK(expected[i] > sorted[1999] ? std::fabs(found - wanted) < 1e-5 : found == -INFINITY,
                  "%s token %zu: %g, expected %g", target_name(isa), i, found, wanted);
        }
        CHECK(s.results[1].token >= 0 && s.processed[row.size() + 3] != -INFINITY, "%s: the neighbour is as it was",
              target_name(isa));
    }
}

TEST("Mask_bias_and_penalties_change_logits_in_their_order") {
    const int32_t vocabulary = 75;
    for (const nlm_isa isa : targets()) {
        const std::vector<float> row = random_logits(5, vocabulary, 3);
        Sampling s(isa, 1, vocabulary, {row, row});
        nlm_sample_row& p = s.parameters[1];
        p.temperature = 0.5f;
        p.count_row = p.mask_row = 1;
        p.repetition_penalty = 1.5f;
        p.presence_penalty = 0.25f;
        p.frequency_penalty = 0.125f;
        s.bias_ids = {9, 0, 3, -1, vocabulary, 74};
        s.bias_values = {100, 1, -2, 50, 50, 0.5f};
        p.bias_start = 1;
        p.bias_count = 5;
        for (int32_t i = 0; i < vocabulary; i++)
            if (i % 5 != 4) s.allowed[s.words() + static_cast<size_t>(i) / 32] |= 1u << i % 32;
        const std::vector<int32_t> prompt{1, 2, 40}, output{2, 3, 3, 3, 70};
        s.count_tokens(1, prompt, output);
        s.run();
        std::vector<int32_t> counts(static_cast<size_t>(vocabulary));
        for (const int32_t token : output) counts[static_cast<size_t>(token)]++;
        std::vector<double> expected;
        for (int32_t i = 0; i < vocabulary; i++) {
            const size_t at = static_cast<size_t>(i);
            double value = i % 5 == 4 ? -INFINITY : static_cast<double>(row[at]);
            value += i == 0 ? 1 : i == 3 ? -2 : i == 74 ? 0.5 : 0;
            const bool seen = counts[at] > 0 || std::count(prompt.begin(), prompt.end(), i) > 0;
            if (seen) value = value > 0 ? value / 1.5 : value * 1.5;
            expected.push_back(value - 0.125 * counts[at] - 0.25 * (counts[at] > 0));
        }
        const double best = *std::max_element(expected.begin(), expected.end());
        for (int32_t i = 0; i < vocabulary; i++) {
            const size_t at = static_cast<size_t>(i);
            const double wanted = (expected[at] - best) / 0.5, found = s.processed[static_cast<size_t>(vocabulary) + at];
            CHECK(found == wanted || std::fabs(found - wanted) < 1e-5, "%s token %d: %g, expected %g", target_name(isa), i, found,
                  wanted);
            const float neighbour = row[at] - *std::max_element(row.begin(), row.end());
            CHECK(s.processed[at] == neighbour, "the neighbour's row stays as it is");
        }
        const int32_t drawn = s.results[1].token;
        CHECK(s.counts[static_cast<size_t>(vocabulary + drawn)] == counts[static_cast<size_t>(drawn)] + 1,
              "the drawn token is counted");
        CHECK(std::accumulate(s.counts.host.begin(), s.counts.host.begin() + vocabulary, 0) == 0, "another row's counts stay");
    }
}

TEST("The_smallest_temperatures_draw_one_of_the_best_tokens") {
    for (const nlm_isa isa : targets()) {
        std::vector<float> row = random_logits(91, 300);
        row[7] = row[270] = 30;
        Sampling s(isa, 1, 300, std::vector<std::vector<float>>(4, row));
        for (size_t i = 0; i < 4; i++) {
            s.parameters[i].temperature = i % 2 ? 1e-40f : 1e-30f; // the inverse of 1e-40 is past fp32
            s.parameters[i].seed = i;
            if (i >= 2) s.parameters[i].top_p = 0.9f;
        }
        s.parameters[0].count_row = 0;
        s.run();
        for (size_t i = 0; i < 4; i++)
            CHECK(s.results[i].token == 7 || s.results[i].token == 270, "%s: %d", target_name(isa), s.results[i].token);
    }
}

TEST("Counts_saturate_and_a_rebuilt_row_forgets_what_it_held") {
    Sampling s(NLM_ISA_AUTO, 1, 3, {{0, 5, 0}});
    s.parameters[0].temperature = 0;
    s.parameters[0].count_row = 0;
    s.counts[1] = 0xffff;
    s.run();
    CHECK(s.results[0].token == 1 && s.counts[1] == 0xffff);
    s.prompt[0] = 7;
    s.count_tokens(0, {}, {2});
    CHECK(s.counts[0] == 0 && s.counts[1] == 0 && s.counts[2] == 1 && s.prompt[0] == 0);
    const std::vector<int32_t> none, outside{3};
    const nlm_count_tokens_args wrong_token = s.count_arguments(0, none, outside), wrong_row = s.count_arguments(2, none, none);
    CHECK(refused_by_name(nlm_count_tokens(s.device.stream(), &wrong_token), "output[0]"), "%s", nlm_last_error());
    CHECK(refused_by_name(nlm_count_tokens(s.device.stream(), &wrong_row), "row"), "%s", nlm_last_error());
}

TEST("A_forced_token_draws_and_counts_nothing_and_reports_its_rank") {
    Sampling s(NLM_ISA_AUTO, 1, 5, {{1, 3, 3, 2, 3}});
    s.parameters[0].forced_token = 2;
    s.parameters[0].count_row = 0;
    s.parameters[0].top_logprobs = 0;
    s.run();
    const double total = 3 * std::exp(3.0) + std::exp(2.0) + std::exp(1.0);
    CHECK(s.results[0].token == 2 && s.results[0].rank == 2 && std::fabs(s.results[0].logprob - (3 - std::log(total))) < 1e-6);
    CHECK(s.counts[2] == 0);
}

TEST("Rows_without_an_answer_are_flagged_and_their_neighbours_are_served") {
    for (const nlm_isa isa : targets()) {
        const int32_t vocabulary = 130;
        std::vector<float> good = random_logits(9, vocabulary), bad = good, infinite = good, nothing(good.size(), -INFINITY);
        bad[129] = NAN;
        infinite[17] = INFINITY;
        Sampling s(isa, 2, vocabulary, {good, bad, infinite, nothing, good, good});
        s.parameters[4].mask_row = 0; // allows nothing
        s.parameters[5].count_row = 0;
        s.parameters[5].frequency_penalty = NAN;
        s.run();
        CHECK(s.results[0].token >= 0 && s.results[0].flags == 0);
        CHECK(s.results[1].token == -1 && s.results[1].flags == NLM_SAMPLE_NONFINITE);
        CHECK(s.results[2].token == -1 && s.results[2].flags == NLM_SAMPLE_NONFINITE);
        CHECK(s.results[3].token == -1 && s.results[3].flags == NLM_SAMPLE_NOTHING_ALLOWED);
        CHECK(s.results[4].token == -1 && s.results[4].flags == NLM_SAMPLE_NOTHING_ALLOWED);
        CHECK(s.results[5].token == -1 && s.results[5].flags == NLM_SAMPLE_NONFINITE);
    }
}

TEST("Drawn_tokens_follow_the_softmax") {
    const int32_t vocabulary = 20, draws = quick() ? 500 : on_emulator() ? 4000 : 40000;
    for (const nlm_isa isa : targets()) {
        for (const bool filtered : {false, true}) {
            const std::vector<float> row = random_logits(13, vocabulary, 1.5);
            Sampling s(isa, 2, vocabulary, std::vector<std::vector<float>>(static_cast<size_t>(draws), row));
            s.with_processed = false;
            for (int32_t i = 0; i < draws; i++) {
                nlm_sample_row& p = s.parameters[static_cast<size_t>(i)];
                p.temperature = 1.3f;
                p.seed = 0x123456789abcdefULL + static_cast<uint64_t>(i / 100) * 0x100000001ULL;
                p.position = i % 100;
                if (filtered) p.top_k = 12;
            }
            s.run();
            const std::vector<int32_t> kept = kept_by_sorting(row, s.parameters[0]);
            double total = 0, statistic = 0;
            for (const int32_t id : kept) total += std::exp(static_cast<double>(row[static_cast<size_t>(id)]) / 1.3);
            std::vector<int32_t> seen(static_cast<size_t>(vocabulary));
            for (int32_t i = 0; i < draws; i++) seen[static_cast<size_t>(s.results[static_cast<size_t>(i)].token)]++;
            int32_t inside = 0;
            for (const int32_t id : kept) {
                const double expected = draws * std::exp(static_cast<double>(row[static_cast<size_t>(id)]) / 1.3) / total;
                statistic += (seen[static_cast<size_t>(id)] - expected) * (seen[static_cast<size_t>(id)] - expected) / expected;
                inside += seen[static_cast<size_t>(id)];
            }
            CHECK(inside == draws);
            // The 99.9 % quantiles of chi-square with 19 and 11 degrees of freedom are 43.8 and 31.3; seeds are fixed.
            CHECK(statistic < (filtered ? 31.3 : 43.8), "%s filtered %d: chi-square %g", target_name(isa), filtered, statistic);
        }
    }
}

TEST("A_draw_depends_on_seed_position_and_row_only") {
    for (const nlm_isa isa : targets()) {
        const int32_t vocabulary = 3000;
        std::vector<std::vector<float>> rows;
        for (uint64_t i = 0; i < 40; i++) rows.push_back(random_logits(i % 4, vocabulary, 2));
        std::vector<std::vector<int32_t>> tokens;
        for (const int threads : thread_counts({1, 2, 3})) {
            Sampling s(isa, threads, vocabulary, rows);
            for (size_t i = 0; i < rows.size(); i++) {
                s.parameters[i].seed = 5 + i / 8 % 2;
                s.parameters[i].position = static_cast<int32_t>(i / 16);
                if (i % 4 == 1) s.parameters[i].top_p = 0.9f;
                if (i % 4 == 2) s.parameters[i].min_p = 0.01f;
            }
            s.run();
            tokens.emplace_back();
            for (size_t i = 0; i < rows.size(); i++) tokens.back().push_back(s.results[i].token);
            for (size_t i = 0; i < 4; i++) {
                Sampling alone(isa, 1, vocabulary, {rows[i]});
                alone.parameters[0] = s.parameters[i];
                alone.run();
                CHECK(alone.results[0].token == s.results[i].token, "%s row %zu", target_name(isa), i);
            }
        }
        for (const auto& other : tokens) CHECK(tokens[0] == other, "%s", target_name(isa));
        for (size_t i = 0; i + 4 < 8; i++) CHECK(tokens[0][i] == tokens[0][i + 4], "equal rows, seeds and positions draw alike");
        CHECK(std::set<int32_t>({tokens[0][0], tokens[0][8], tokens[0][16], tokens[0][24], tokens[0][32]}).size() > 1,
              "seeds and positions matter");
    }
}

TEST("Wrong_sampling_arguments_are_refused_with_their_name") {
    Sampling s(NLM_ISA_AUTO, 1, 5, {{1, 2, 3, 4, 5}}, 2);
    const auto refuses = [&](const char* name, const auto& change) {
        nlm_sample_args args = s.arguments();
        change(args);
        const int32_t status = nlm_sample(s.device.stream(), &args);
        CHECK(refused_by_name(status, name), "%s: status %d, %s", name, status, nlm_last_error());
    };
    refuses("size", [](auto& a) { a.size++; });
    refuses("results", [](auto& a) { a.results = nullptr; });
    refuses("logits", [](auto& a) { a.logits = nullptr; });
    refuses("logits", [](auto& a) { a.logits = reinterpret_cast<const float*>(reinterpret_cast<const char*>(a.logits) + 2); });
    refuses("parameters", [](auto& a) { a.parameters = nullptr; });
    refuses("logits_stride", [](auto& a) { a.logits_stride = 4; });
    refuses("overflow", [](auto& a) { a.logits_stride = INT64_MAX / 2; });
    refuses("vocabulary", [](auto& a) { a.vocabulary = 0; });
    refuses("rows_max", [](auto& a) { a.rows_max = -1; });
    refuses("workspace_bytes", [](auto& a) { a.workspace_bytes--; });
    refuses("workspace", [](auto& a) { a.workspace = nullptr; });
    CHECK(nlm_sample(nullptr, nullptr) == NLM_INVALID_ARGUMENT && nlm_sample_workspace_bytes(nullptr) == -1);
    CHECK(nlm_count_tokens(s.device.stream(), nullptr) == NLM_INVALID_ARGUMENT);
}

TEST("Row_parameters_out_of_range_are_refused_or_harmless") {
    Sampling s(NLM_ISA_AUTO, 1, 5, {{1, 2, 3, 4, 5}, {5, 4, 3, 2, 1}}, 2);
    const auto check = [&](const char* name, const auto& change) {
        s.parameters[0] = s.parameters[1] = neutral();
        s.parameters[1].temperature = 0;
        nlm_sample_args args = s.arguments();
        change(args, s.parameters[0]);
        s.parameters.upload();
        check_refused_or_harmless(s.device, nlm_sample(s.device.stream(), &args), name);
        if (on_cpu()) return;
        s.results.download();
        CHECK(s.results[1].token == 0 && s.results[1].flags == 0, "%s: the neighbour drew %d", name, s.results[1].token);
    };
    check("forced_token", [](auto&, auto& p) { p.forced_token = 5; });
    check("top_logprobs", [](auto&, auto& p) { p.top_logprobs = 3; });
    check("top_ids", [](auto& a, auto& p) {
        a.top_ids = nullptr;
        p.top_logprobs = 1;
    });
    check("count_row", [](auto&, auto& p) { p.count_row = 2; });
    check("token_counts", [](auto& a, auto& p) {
        a.token_counts = nullptr;
        p.count_row = 0;
    });
    check("mask_row", [](auto&, auto& p) { p.mask_row = -2; });
    check("allowed_mask", [](auto& a, auto& p) {
        a.allowed_mask = nullptr;
        p.mask_row = 0;
    });
    check("bias_count", [](auto&, auto& p) { p.bias_count = 1; });
}
