// Sampling compiled for the avx2 family.
#include "sample_kernel.h"
