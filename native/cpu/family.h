// Choice of the compiled instruction family. Elementwise kernels exist for scalar, avx2 and avx512; a device of a higher family
// uses the avx512 ones.
#pragma once

#include "device.h"

namespace nlm::cpu {

#if defined(__x86_64__)
// Declares `signature` once in the namespace of every elementwise family.
#define NLM_DECLARE_FAMILIES(signature)                                                                                          \
    namespace scalar {                                                                                                           \
    signature;                                                                                                                   \
    }                                                                                                                            \
    namespace avx2 {                                                                                                             \
    signature;                                                                                                                   \
    }                                                                                                                            \
    namespace avx512 {                                                                                                           \
    signature;                                                                                                                   \
    }
// The function `name` of the device's family.
#define NLM_FAMILY_FUNCTION(isa, name)                                                                                           \
    ((isa) >= NLM_ISA_AVX512 ? &avx512::name : (isa) == NLM_ISA_AVX2 ? &avx2::name : &scalar::name)
#else
#define NLM_DECLARE_FAMILIES(signature)                                                                                          \
    namespace scalar {                                                                                                           \
    signature;                                                                                                                   \
    }
#define NLM_FAMILY_FUNCTION(isa, name) (static_cast<void>(isa), &scalar::name)
#endif

} // namespace nlm::cpu
