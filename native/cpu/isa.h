// Instruction families: what the processor has and the operating system permits.
#pragma once

#include "nativelm.h"

namespace nlm::cpu {

// True if this machine can run the family. Asks the kernel for tile state once per process when the family is AMX.
bool isa_supported(nlm_isa isa);

// The highest supported family.
nlm_isa best_isa();

// Resolves NLM_ISA_AUTO, refuses what the machine lacks (NLM_UNSUPPORTED) or does not exist (NLM_INVALID_ARGUMENT).
nlm_isa choose_isa(int32_t requested);

const char* isa_name(nlm_isa isa);

// Brand string of the processor.
void processor_name(char (&name)[128]);

} // namespace nlm::cpu
