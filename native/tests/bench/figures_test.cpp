// The arithmetic behind the figures of nativelm_kernel_bench: floors, ratios, targets.
#include "../../bench/device/bench.h"
#include "harness.h"

#include <cmath>

using namespace nlm::bench;

namespace {

bool near(double found, double expected) {
    return std::fabs(found - expected) <= 1e-9 * std::fabs(expected);
}

Ceilings card() {
    Ceilings ceilings;
    ceilings.read = 4e12;
    ceilings.write = 2e12;
    ceilings.copy = 3e12;
    ceilings.multiply = 5e14;
    return ceilings;
}

Work work(double read, double written, double operations) {
    Work made;
    made.read = read;
    made.written = written;
    made.operations = operations;
    return made;
}

} // namespace

TEST("A_floor_takes_what_is_read_and_written_at_the_rate_of_a_copy_and_the_rest_at_its_own") {
    CHECK(near(card().floor_seconds(work(8e12, 0, 0)), 2.0));
    CHECK(near(card().floor_seconds(work(0, 8e12, 0)), 4.0));
    CHECK(near(card().floor_seconds(work(3e12, 3e12, 0)), 2.0));
    CHECK(near(card().floor_seconds(work(7e12, 3e12, 0)), 3.0));
}

TEST("A_floor_is_the_larger_of_bytes_and_operations") {
    CHECK(near(card().floor_seconds(work(4e12, 0, 1e14)), 1.0));
    CHECK(near(card().floor_seconds(work(4e12, 0, 1e15)), 2.0));
}

TEST("A_ratio_is_the_median_of_rounds_and_above_one_when_we_are_faster") {
    Timing ours, partner;
    ours.rounds = {1, 2, 4};
    partner.rounds = {3, 4, 4}; // 3, 2, 1
    CHECK(near(ours.ratio_to(partner), 2.0));
    CHECK(near(partner.ratio_to(ours), 0.5));
}

TEST("A_target_is_met_at_its_bound_missed_beyond_it_and_unknown_without_a_figure") {
    Record record;
    CHECK(record.met() == -1);
    record.target = {Target::FloorPercent, 85};
    CHECK(record.met() == -1);
    record.floor_percent = 85;
    CHECK(record.met() == 1);
    record.floor_percent = 84.9;
    CHECK(record.met() == 0);
    record.value = 60;
    record.target = {Target::MicrosecondsMost, 60};
    CHECK(record.met() == 1);
    record.value = 60.1;
    CHECK(record.met() == 0);
    record.work = work(0, 0, 60.1e-6 * 400e12);
    record.target = {Target::TeraflopPerSecond, 399.9};
    CHECK(record.met() == 1);
    record.ratio = 1.06;
    record.target = {Target::RatioMost, 1.05};
    CHECK(record.met() == 0);
}

TEST("Weights_of_the_models_add_up_to_their_published_sizes") {
    const auto parameters = [](const char* name) {
        double sum = 0;
        for (const Linear& layer : linear_layers(model_named(name, false))) sum += 1.0 * layer.n * layer.k * layer.count;
        return sum;
    };
    // Without embeddings, norms and biases; Qwen3-0.6B's head is its embedding.
    CHECK(std::fabs(parameters("llama-3.1-8b") / 7.50e9 - 1) < 0.01, "found %g", parameters("llama-3.1-8b"));
    CHECK(std::fabs(parameters("llama-2-13b") / 12.85e9 - 1) < 0.01, "found %g", parameters("llama-2-13b"));
    CHECK(std::fabs(parameters("qwen3-0.6b") / 0.596e9 - 1) < 0.01, "found %g", parameters("qwen3-0.6b"));
    CHECK(std::fabs(parameters("qwen3-8b") / 7.57e9 - 1) < 0.01, "found %g", parameters("qwen3-8b"));
    CHECK(std::fabs(parameters("opt-13b") / 12.84e9 - 1) < 0.01, "found %g", parameters("opt-13b"));
}
