// What only the emulator can count about attention.
#include "attention_cases.h"
#include "nativelm_emulator.h"

using namespace nlm::tests;

TEST("Attention_reads_its_tiles_without_bank_conflicts") {
    for (const int32_t head_dim : {8, 20, 64, 80, 96, 128, 256}) {
        AttentionCase c;
        c.type = c.cache_type = NLM_BF16;
        c.head_dim = head_dim;
        c.lengths = {100, 40};
        const int64_t before = nlm_emulator_counter("ldmatrix_conflicts");
        AttentionRun run(c, NLM_ISA_AUTO, 1);
        run.run(chunked(c, 80, 2));
        CHECK(nlm_emulator_counter("ldmatrix_conflicts") == before, "head dim %d: %lld", head_dim,
              static_cast<long long>(nlm_emulator_counter("ldmatrix_conflicts") - before));
    }
}

TEST("A_step_of_decoded_rows_that_fit_one_split_each_takes_two_launches") {
    AttentionCase c;
    c.type = c.cache_type = NLM_BF16;
    c.hints = true;
    c.lengths = {30, 8};
    AttentionRun run(c, NLM_ISA_AUTO, 1);
    run.run(Step{{0, 29}, {1, 7}});
    const int64_t before = nlm_emulator_counter("launches");
    run.run(Step{{0, 1}, {1, 1}}); // write_kv, the plan, the splits
    CHECK(nlm_emulator_counter("launches") - before == 3, "%lld launches",
          static_cast<long long>(nlm_emulator_counter("launches") - before));
}
