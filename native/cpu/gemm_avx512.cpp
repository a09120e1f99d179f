// The multiply-add gemm compiled for the avx512 family.
#include "gemm_fma_kernel.h"
