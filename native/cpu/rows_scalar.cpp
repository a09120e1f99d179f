// Row-wise kernels compiled for the scalar family.
#include "activate_kernel.h"
#include "norm_kernel.h"
#include "write_kv_kernel.h"
