// Paged attention compiled for the avx512_bf16 family.
#include "paged_attention_kernel.h"
