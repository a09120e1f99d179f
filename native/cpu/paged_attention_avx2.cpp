// Paged attention compiled for the avx2 family.
#include "paged_attention_kernel.h"
