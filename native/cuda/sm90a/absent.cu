// Stands in for this folder where the compiler does not know sm_90a.
#include "../sm90a.h"

namespace nlm::sm90a {

bool compiled() {
    return false;
}

template <typename T> void gemm(const simt::GemmParameters&, const nlm_device&, cudaStream_t) {
    throw Error(NLM_UNSUPPORTED, "this library was built without kernels for sm_90a");
}

template void gemm<simt::bf16>(const simt::GemmParameters&, const nlm_device&, cudaStream_t);
template void gemm<simt::f16>(const simt::GemmParameters&, const nlm_device&, cudaStream_t);

} // namespace nlm::sm90a
