// The AMX gemm on the real tile instructions.
#define NLM_FAMILY amx
#include "gemm_amx_kernel.h"
