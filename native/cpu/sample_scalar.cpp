// Sampling compiled for the scalar family.
#include "sample_kernel.h"
