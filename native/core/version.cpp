#include "abi_hash.h"
#include "nativelm.h"

extern "C" int32_t nlm_abi_version(void) {
    return 1;
}

extern "C" uint64_t nlm_abi_hash(void) {
    return nlm_abi_hash_value;
}
