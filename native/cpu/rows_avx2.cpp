// Row-wise kernels compiled for the avx2 family.
#include "activate_kernel.h"
#include "norm_kernel.h"
#include "write_kv_kernel.h"
