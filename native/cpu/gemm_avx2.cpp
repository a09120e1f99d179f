// The multiply-add gemm compiled for the avx2 family.
#include "gemm_fma_kernel.h"
