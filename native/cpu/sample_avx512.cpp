// Sampling compiled for the avx512 family.
#include "sample_kernel.h"
