// The multiply-add gemm compiled for the scalar family.
#include "gemm_fma_kernel.h"
