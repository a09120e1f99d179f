// Sampling and beam search compiled for the scalar family.
#include "beam_topk_kernel.h"
#include "sample_kernel.h"
