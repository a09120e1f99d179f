// Paged attention compiled for the avx512 family.
#include "paged_attention_kernel.h"
