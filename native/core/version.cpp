#include "abi_hash.h"
#include "nativelm.h"

extern "C" int32_t nlm_abi_version(void) {
    return nlm::abi_version;
}

extern "C" uint64_t nlm_abi_hash(void) {
    return nlm::abi_hash;
}
