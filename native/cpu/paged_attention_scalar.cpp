// Paged attention compiled for the scalar family.
#include "paged_attention_kernel.h"
