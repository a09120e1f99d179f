// Attention keeps its law when a sequence's past is not a straight line: drafts that were thrown away have been in its slots, and
// it was preempted and came again in other chunks and other blocks.
#include "attention_cases.h"

#include <array>

using namespace nlm::tests;

namespace {

// One step: every sequence gets nothing, one token, a few, a chunk, or drafts that will be thrown away.
Step random_step(const AttentionCase& c, AttentionRun& run, Random& random) {
    Step step;
    for (size_t sequence = 0; sequence < c.lengths.size(); ++sequence) {
        const int32_t left = c.lengths[sequence] - run.done(sequence);
        if (left == 0) continue;
        constexpr std::array<int32_t, 8> sizes{0, 1, 1, 2, 5, 17, 64, 100};
        const int32_t count = std::min(left, sizes[static_cast<size_t>(random.integer(0, 7))]);
        const bool draft = count > 0 && count < 8 && random.integer(0, 3) == 0;
        if (count > 0) step.push_back({sequence, count, draft});
    }
    for (size_t i = step.size(); i > 1; --i) std::swap(step[i - 1], step[random.next() % i]);
    return step;
}

void serve_at_random(const AttentionCase& c, AttentionRun& run, Random& random) {
    std::vector<int> restarts(c.lengths.size(), 1);
    for (;;) {
        bool finished = true;
        for (size_t sequence = 0; sequence < c.lengths.size(); ++sequence) {
            finished = finished && run.done(sequence) == c.lengths[sequence];
            if (run.done(sequence) > c.lengths[sequence] / 2 && restarts[sequence] > 0 && random.integer(0, 3) == 0) {
                --restarts[sequence];
                run.preempt(sequence);
                finished = false;
            }
        }
        if (finished) return;
        const Step step = random_step(c, run, random);
        if (!step.empty()) run.run(step);
    }
}

void check_servings(const AttentionCase& c, nlm_isa isa, uint64_t seed, int rounds) {
    std::vector<Matrix> expected;
    for (size_t sequence = 0; sequence < c.lengths.size(); ++sequence) {
        AttentionRun alone(c, isa, 1); // beside the others' empty blocks only
        alone.run(Step{{sequence, c.lengths[sequence]}});
        expected.push_back(alone.output(sequence));
    }
    Random random(seed);
    constexpr std::array<int32_t, 6> block_sizes{8, 16, 24, 32, 64, 128};
    for (int round = 0; round < rounds; ++round) {
        AttentionCase served = c;
        served.block_size = block_sizes[static_cast<size_t>(random.integer(0, 5))];
        served.hints = random.integer(0, 1) == 1;
        AttentionRun run(served, isa, 2, random.next());
        serve_at_random(served, run, random);
        for (size_t sequence = 0; sequence < c.lengths.size(); ++sequence)
            CHECK(run.output(sequence).data == expected[sequence].data,
                  "%s %s heads %d/%d dim %d window %d split %d: sequence of %d in blocks of %d, round %d", target_name(isa),
                  type_name(c.type), c.q_heads, c.kv_heads, c.head_dim, c.window, c.split_keys, c.lengths[sequence],
                  served.block_size, round);
    }
}

} // namespace

TEST("Rejected_drafts_and_preemptions_leave_no_trace_in_the_bits_of_a_sequence") {
    uint64_t seed = 0;
    for (const nlm_isa isa : targets()) {
        for (const int32_t type : float_types()) {
            for (const int32_t head_dim : {8, 16, 40, 64, 80, 96, 128, 256}) {
                if (quick() && head_dim != 16 && head_dim != 96) continue;
                AttentionCase c;
                c.type = c.cache_type = type;
                c.head_dim = head_dim;
                c.lengths = quick() ? std::vector<int32_t>{3, 70, 130} : std::vector<int32_t>{3, 64, 90, 200};
                check_servings(c, isa, ++seed, quick() ? 1 : 2);
            }
        }
    }
}
