// What a sampling job works on; shared by the entry point and the instruction families.
#pragma once

#include "arguments.h"

namespace nlm::cpu {

constexpr int SampleChunk = 64; // tokens per maximum kept of a row

struct SampleCandidate {
    float value; // logit
    int32_t token;
    uint64_t mass; // probability relative to the best token's, in units of 2⁻⁴⁰: sums do not depend on their order
};

// Scratch of one job, cut from the workspace.
struct SampleScratch {
    SampleCandidate* candidates; // [vocabulary]
    float* values;               // [vocabulary] edited logits
    float* maxima;               // [chunks] maximum of each chunk of the row in work
    float* order;                // [chunks] scratch of selections
};

} // namespace nlm::cpu
