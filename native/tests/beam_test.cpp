// nlm_beam_topk against doubles: the best continuations of each group, ties, switched-off rows, flags and bits.
#include "fixture.h"
#include "numbers.h"

#include <algorithm>
#include <set>

using namespace nlm::tests;

namespace {

using Candidates = std::vector<nlm_beam_candidate>;

struct Answer {
    Candidates candidates;
    std::vector<int32_t> flags;
    Candidates group(size_t index, size_t count) const {
        const auto first = candidates.begin() + static_cast<std::ptrdiff_t>(index * count);
        return Candidates(first, first + static_cast<std::ptrdiff_t>(count));
    }
};

bool same(const Candidates& a, const Candidates& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof a[0]) == 0;
}

// Everything a call needs; members may be changed before run(). Rows are padded with NaN.
struct Beams {
    int32_t vocabulary, count;
    std::vector<std::vector<float>> rows;
    std::vector<float> cumulative;
    std::vector<int32_t> starts;
    int32_t groups_max = 0, true_groups = -1;

    Answer run(const TestDevice& device) const {
        const int64_t stride = vocabulary + 3;
        std::vector<float> padded(rows.size() * static_cast<size_t>(stride), NAN);
        for (size_t row = 0; row < rows.size(); row++)
            std::copy(rows[row].begin(), rows[row].end(), padded.begin() + static_cast<std::ptrdiff_t>(row) * stride);
        const int32_t groups = groups_max > 0 ? groups_max : static_cast<int32_t>(starts.size()) - 1;
        const nlm_beam_candidate untouched{7, 7, 7, 7};
        Buffer<nlm_beam_candidate> candidates(device, Candidates(static_cast<size_t>(groups * count), untouched));
        Buffer<int32_t> flags(device, std::vector<int32_t>(static_cast<size_t>(groups), 7)), row_starts(device, starts);
        Buffer<float> logits(device, padded), sums(device, cumulative);
        Buffer<int32_t> device_groups(device, std::vector<int32_t>{true_groups});
        nlm_beam_topk_args args{};
        args.size = sizeof args;
        args.groups_max = groups;
        args.candidates = candidates.data();
        args.flags = flags.data();
        args.logits = logits.data();
        args.row_starts = row_starts.data();
        args.cumulative = sums.data();
        args.groups = true_groups >= 0 ? device_groups.data() : nullptr;
        args.logits_stride = stride;
        args.rows_max = static_cast<int32_t>(rows.size());
        args.vocabulary = vocabulary;
        args.count = count;
        args.workspace_bytes = nlm_beam_topk_workspace_bytes(&args);
        CHECK(args.workspace_bytes > 0, "%s", nlm_last_error());
        Buffer<unsigned char> workspace(device, static_cast<size_t>(args.workspace_bytes));
        args.workspace = workspace.data();
        CHECK(nlm_beam_topk(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
        CHECK(nlm_stream_synchronize(device.stream()) == NLM_OK, "%s", nlm_last_error());
        return {candidates.read(), flags.read()};
    }
};

std::vector<float> random_row(uint64_t seed, int32_t vocabulary, double scale) {
    Random random(seed);
    std::vector<float> row;
    for (int32_t i = 0; i < vocabulary; i++) row.push_back(static_cast<float>(scale * (random.uniform() + random.uniform())));
    return row;
}

// Log softmax in doubles; rows of one beam each.
std::vector<double> log_softmax(const std::vector<float>& row) {
    double best = -INFINITY, total = 0;
    for (const float value : row) best = std::max(best, static_cast<double>(value));
    for (const float value : row) total += std::exp(static_cast<double>(value) - best);
    std::vector<double> result;
    for (const float value : row) result.push_back(static_cast<double>(value) - best - std::log(total));
    return result;
}

// Found candidates have the scores of the best ones, place by place, and each is worth what the doubles say.
void check_group(const Beams& beams, size_t group, const Candidates& found, const char* target) {
    std::vector<std::vector<double>> logs;
    std::vector<double> scores;
    const int32_t first = beams.starts[group], last = beams.starts[group + 1];
    for (int32_t row = first; row < last; row++) {
        logs.push_back(log_softmax(beams.rows[static_cast<size_t>(row)]));
        for (const double log : logs.back()) {
            const double score = static_cast<double>(beams.cumulative[static_cast<size_t>(row)]) + log;
            if (score > -INFINITY) scores.push_back(score);
        }
    }
    std::sort(scores.rbegin(), scores.rend());
    std::set<std::pair<int32_t, int32_t>> seen;
    for (size_t i = 0; i < found.size(); i++) {
        const nlm_beam_candidate& c = found[i];
        if (i >= scores.size()) {
            CHECK(c.row == -1 && c.token == -1 && c.score == -INFINITY && c.logprob == -INFINITY, "%s place %zu", target, i);
            continue;
        }
        CHECK(c.row >= first && c.row < last && c.token >= 0 && c.token < beams.vocabulary, "%s: row %d token %d", target, c.row,
              c.token);
        if (c.row < first || c.row >= last || c.token < 0 || c.token >= beams.vocabulary) return;
        CHECK(seen.insert({c.row, c.token}).second, "%s: row %d token %d twice", target, c.row, c.token);
        const double log = logs[static_cast<size_t>(c.row - first)][static_cast<size_t>(c.token)];
        const double score = static_cast<double>(beams.cumulative[static_cast<size_t>(c.row)]) + log;
        const double slack = 3e-6 * (std::fabs(score) + std::fabs(log) + 1);
        CHECK(std::fabs(c.logprob - log) < slack, "%s: log-probability %.9g, expected %.9g", target, c.logprob, log);
        CHECK(std::fabs(c.score - score) < slack, "%s: score %.9g, expected %.9g", target, c.score, score);
        CHECK(std::fabs(c.score - scores[i]) < slack, "%s place %zu: %.9g, expected %.9g", target, i, c.score, scores[i]);
        CHECK(i == 0 || found[i - 1].score >= c.score, "%s: descending", target);
    }
}

// Groups of 1, 3 and 2 beams, the second with a beam that is switched off.
Beams three_groups(uint64_t seed, int32_t vocabulary, int32_t count, double scale) {
    Beams beams{vocabulary, count, {}, {-1.5f, -3.25f, -INFINITY, -2.75f, 0, -40}, {0, 1, 4, 6}};
    for (uint64_t row = 0; row < 6; row++) beams.rows.push_back(random_row(seed + row, vocabulary, scale));
    return beams;
}

} // namespace

TEST("Beam_groups_get_their_best_continuations") {
    for (const nlm_isa isa : targets()) {
        TestDevice device(isa, 2);
        for (const int32_t vocabulary : {1, 3, 64, 257, 5000, 70001}) {
            for (const int32_t count : {1, 2, 8, 128}) {
                if ((quick() && count != 8) || (on_emulator() && vocabulary > 9000 && count != 8)) continue;
                // a flat row has its candidates everywhere, a steep one only near the top
                const Beams beams =
                    three_groups(static_cast<uint64_t>(vocabulary + count), vocabulary, count, count == 8 ? 0.01 : 6);
                const Answer answer = beams.run(device);
                for (size_t group = 0; group < 3; group++) {
                    CHECK(answer.flags[group] == 0, "%s: flags %d", target_name(isa), answer.flags[group]);
                    check_group(beams, group, answer.group(group, static_cast<size_t>(count)), target_name(isa));
                }
            }
        }
    }
}

TEST("Equal_beam_scores_go_by_row_and_then_by_token") {
    for (const nlm_isa isa : targets()) {
        TestDevice device(isa, 2);
        const int32_t vocabulary = 3001;
        std::vector<float> row;
        for (int32_t i = 0; i < vocabulary; i++) row.push_back(static_cast<float>(i * 7919 % 11)); // 272 or more of each value
        const Beams beams{vocabulary, 128, {row, row, row}, {-1, -1, -1}, {0, 3}};
        const Candidates found = beams.run(device).candidates;
        std::vector<int32_t> best;
        for (int32_t i = 0; i < vocabulary; i++)
            if (row[static_cast<size_t>(i)] == 10) best.push_back(i);
        for (size_t i = 0; i < found.size(); i++) CHECK(found[i].row == 0 && found[i].token == best[i], "%s", target_name(isa));

        // With fewer tokens of the best value the same tokens of each row follow, then the next value of the first row.
        Beams few{8, 10, {}, {-1, -1, -1}, {0, 3}};
        few.rows.assign(3, {1, 2, 0, 2, 1, 2, 0, 0});
        const std::vector<std::pair<int32_t, int32_t>> expected{{0, 1}, {0, 3}, {0, 5}, {1, 1}, {1, 3},
                                                                {1, 5}, {2, 1}, {2, 3}, {2, 5}, {0, 0}};
        const Candidates order = few.run(device).candidates;
        for (size_t i = 0; i < order.size(); i++)
            CHECK(order[i].row == expected[i].first && order[i].token == expected[i].second, "%s place %zu: row %d token %d",
                  target_name(isa), i, order[i].row, order[i].token);
    }
}

// Far from zero, fp32 scores of different logits coincide: the lower token wins although its logit is lower.
TEST("Beam_scores_that_round_to_the_same_number_are_ties") {
    for (const nlm_isa isa : targets()) {
        TestDevice device(isa, 1);
        const Beams beams{4, 4, {{1.00001f, 1.00002f, -30, 1.00003f}}, {-1e6f}, {0, 1}};
        const Candidates found = beams.run(device).candidates;
        CHECK(found[0].token == 0 && found[1].token == 1 && found[2].token == 3 && found[3].token == 2, "%s", target_name(isa));
        CHECK(found[0].score == found[2].score && found[0].logprob < found[2].logprob, "%s", target_name(isa));
    }
}

TEST("Beam_groups_without_an_answer_are_flagged_and_their_neighbours_are_served") {
    for (const nlm_isa isa : targets()) {
        TestDevice device(isa, 2);
        const int32_t vocabulary = 130;
        Beams beams{
            vocabulary, 4, std::vector<std::vector<float>>(8, random_row(3, vocabulary, 2)), std::vector<float>(8, -1), {}};
        beams.starts = {0, 1, 2, 4, 5, 6, 6, 8};
        beams.rows[1][129] = NAN;
        beams.rows[3][64] = INFINITY;
        beams.rows[4].assign(static_cast<size_t>(vocabulary), -INFINITY);
        beams.rows[4][77] = 3; // one token left
        beams.rows[5].assign(static_cast<size_t>(vocabulary), -INFINITY);
        beams.rows[6][0] = NAN; // of a row that is switched off
        beams.cumulative[6] = -INFINITY;
        const Answer answer = beams.run(device);
        const std::vector<int32_t> expected{
            0, NLM_SAMPLE_NONFINITE, NLM_SAMPLE_NONFINITE, 0, NLM_SAMPLE_NOTHING_ALLOWED, NLM_SAMPLE_NOTHING_ALLOWED, 0};
        CHECK(answer.flags == expected, "%s", target_name(isa));
        for (size_t group = 0; group < 7; group++) {
            const Candidates found = answer.group(group, 4);
            if (answer.flags[group] == 0) continue;
            for (const nlm_beam_candidate& c : found)
                CHECK(c.row == -1 && c.token == -1, "%s group %zu", target_name(isa), group);
        }
        check_group(beams, 0, answer.group(0, 4), target_name(isa));
        const Candidates last = answer.group(6, 4);
        for (const nlm_beam_candidate& c : last) CHECK(c.row == 7, "%s", target_name(isa));
        const Candidates lone = answer.group(3, 4);
        CHECK(lone[0].token == 77 && lone[0].logprob == 0 && lone[0].score == -1 && lone[1].token == -1, "%s", target_name(isa));
    }
}

TEST("A_beam_group_has_the_same_bits_alone_and_among_others_and_groups_past_the_count_stay") {
    for (const nlm_isa isa : targets()) {
        const int32_t vocabulary = 9000, count = 16;
        Beams beams = three_groups(11, vocabulary, count, 3);
        Answer expected;
        for (const int threads : thread_counts({1, 3})) {
            TestDevice device(isa, threads);
            const Answer all = beams.run(device);
            if (expected.candidates.empty()) expected = all;
            CHECK(same(all.candidates, expected.candidates), "%s", target_name(isa));
            for (size_t group = 0; group < 3; group++) {
                const auto first = beams.starts[group], last = beams.starts[group + 1];
                Beams alone{vocabulary, count, {}, {}, {0, last - first}};
                alone.rows.assign(beams.rows.begin() + first, beams.rows.begin() + last);
                alone.cumulative.assign(beams.cumulative.begin() + first, beams.cumulative.begin() + last);
                Candidates found = alone.run(device).candidates;
                for (nlm_beam_candidate& c : found) c.row += first;
                CHECK(same(found, all.group(group, static_cast<size_t>(count))), "%s group %zu", target_name(isa), group);
            }
        }
        TestDevice device(isa, 2);
        beams.true_groups = 2;
        beams.groups_max = 3;
        const Answer some = beams.run(device);
        CHECK(same(some.group(1, static_cast<size_t>(count)), expected.group(1, static_cast<size_t>(count))), "%s",
              target_name(isa));
        CHECK(some.flags[2] == 7 && some.group(2, static_cast<size_t>(count))[0].token == 7, "%s: padding is not written",
              target_name(isa));
    }
}

TEST("Wrong_beam_arguments_are_refused_with_their_name") {
    TestDevice device;
    Buffer<float> logits(device, 64), cumulative(device, 4);
    Buffer<nlm_beam_candidate> candidates(device, 64);
    Buffer<int32_t> flags(device, 4), starts(device, std::vector<int32_t>{0, 2});
    nlm_beam_topk_args good{};
    good.size = sizeof good;
    good.groups_max = 1;
    good.candidates = candidates.data();
    good.flags = flags.data();
    good.logits = logits.data();
    good.row_starts = starts.data();
    good.cumulative = cumulative.data();
    good.logits_stride = 8;
    good.rows_max = 2;
    good.vocabulary = 8;
    good.count = 4;
    good.workspace_bytes = nlm_beam_topk_workspace_bytes(&good);
    Buffer<unsigned char> workspace(device, static_cast<size_t>(good.workspace_bytes));
    good.workspace = workspace.data();
    CHECK(nlm_beam_topk(device.stream(), &good) == NLM_OK, "%s", nlm_last_error());
    const auto refuses = [&](const char* name, const auto& change) {
        nlm_beam_topk_args args = good;
        change(args);
        const int32_t status = nlm_beam_topk(device.stream(), &args);
        CHECK(status == NLM_INVALID_ARGUMENT && std::strstr(nlm_last_error(), name), "%s: status %d, %s", name, status,
              nlm_last_error());
    };
    refuses("size", [](auto& a) { a.size--; });
    refuses("groups_max", [](auto& a) { a.groups_max = -1; });
    refuses("candidates", [](auto& a) { a.candidates = nullptr; });
    refuses("flags", [](auto& a) { a.flags = nullptr; });
    refuses("logits", [](auto& a) { a.logits = nullptr; });
    refuses("row_starts", [](auto& a) { a.row_starts = nullptr; });
    refuses("cumulative", [](auto& a) { a.cumulative = nullptr; });
    refuses("logits_stride", [](auto& a) { a.logits_stride = 7; });
    refuses("overflow", [](auto& a) { a.logits_stride = INT64_MAX / 2; });
    refuses("rows_max", [](auto& a) { a.rows_max = -1; });
    refuses("vocabulary", [](auto& a) { a.vocabulary = 0; });
    refuses("count", [](auto& a) { a.count = 0; });
    refuses("count", [](auto& a) { a.count = 129; });
    refuses("workspace", [](auto& a) { a.workspace = nullptr; });
    refuses("workspace_bytes", [](auto& a) { a.workspace_bytes--; });
    CHECK(nlm_beam_topk(nullptr, &good) == NLM_INVALID_ARGUMENT && std::strstr(nlm_last_error(), "stream"));
    CHECK(nlm_beam_topk(device.stream(), nullptr) == NLM_INVALID_ARGUMENT && nlm_beam_topk_workspace_bytes(nullptr) == -1);
    good.groups_max = 0;
    CHECK(nlm_beam_topk(device.stream(), &good) == NLM_OK, "%s", nlm_last_error());
}
