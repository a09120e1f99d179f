// Sampling and beam search compiled for the avx512 family.
#include "beam_topk_kernel.h"
#include "sample_kernel.h"
