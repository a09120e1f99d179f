#include "isa.h"

#include "error.h"

#include <cpuid.h>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <sys/syscall.h>
#include <unistd.h>

namespace nlm::cpu {

namespace {

struct Registers {
    uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf = 0) {
    Registers r;
    if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
    return r;
}

constexpr bool bit(uint32_t word, int index) {
    return (word >> index & 1) != 0;
}

// Register state the operating system saves: XCR0.
uint64_t saved_state() {
    if (!bit(cpuid(1).ecx, 27)) return 0; // OSXSAVE
    uint32_t low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return static_cast<uint64_t>(high) << 32 | low;
}

constexpr uint64_t state_avx = 0x6, state_avx512 = 0xe6, state_tiles = 0x60000;

// Linux gives tile state to a process only when asked (arch_prctl ARCH_REQ_XCOMP_PERM, feature 18 = XTILEDATA). Threads that
// exist already and threads made later share the permission.
bool permit_tiles() {
    constexpr long request_permission = 0x1023, tile_data = 18;
    static const bool permitted = syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
    return permitted;
}

bool has_avx2() {
    const Registers one = cpuid(1), seven = cpuid(7);
    const bool instructions = bit(one.ecx, 12) && bit(one.ecx, 29) && bit(seven.ebx, 5); // FMA, F16C, AVX2
    return instructions && (saved_state() & state_avx) == state_avx;
}

bool has_avx512() {
    const uint32_t ebx = cpuid(7).ebx;
    const bool instructions = bit(ebx, 16) && bit(ebx, 17) && bit(ebx, 30) && bit(ebx, 31); // F, DQ, BW, VL
    return has_avx2() && instructions && (saved_state() & state_avx512) == state_avx512;
}

bool has_avx512_bf16() {
    return has_avx512() && bit(cpuid(7, 1).eax, 5);
}

bool has_amx() {
    const uint32_t edx = cpuid(7).edx;
    const bool instructions = bit(edx, 22) && bit(edx, 24); // AMX-BF16, AMX-TILE
    return has_avx512_bf16() && instructions && (saved_state() & state_tiles) == state_tiles && permit_tiles();
}

} // namespace

bool isa_supported(nlm_isa isa) {
    switch (isa) {
    case NLM_ISA_SCALAR:
        return true;
    case NLM_ISA_AVX2:
        return has_avx2();
    case NLM_ISA_AVX512:
        return has_avx512();
    case NLM_ISA_AVX512_BF16:
        return has_avx512_bf16();
    case NLM_ISA_AMX:
        return has_amx();
    case NLM_ISA_AUTO:
        return true;
    }
    return false;
}

nlm_isa best_isa() {
    for (const nlm_isa isa : {NLM_ISA_AMX, NLM_ISA_AVX512_BF16, NLM_ISA_AVX512, NLM_ISA_AVX2})
        if (isa_supported(isa)) return isa;
    return NLM_ISA_SCALAR;
}

nlm_isa choose_isa(int32_t requested) {
    NLM_REQUIRE(requested >= NLM_ISA_AUTO && requested <= NLM_ISA_AMX, "isa: expected 0 (auto) to 5 (amx), found %d", requested);
    const nlm_isa isa = static_cast<nlm_isa>(requested);
    if (isa == NLM_ISA_AUTO) return best_isa();
    if (!isa_supported(isa)) {
        char name[128];
        processor_name(name);
        throw Error(NLM_UNSUPPORTED,
                    "instruction family %s is not available on this machine (%s); the best it permits is %s, or choose auto",
                    isa_name(isa), name, isa_name(best_isa()));
    }
    return isa;
}

const char* isa_name(nlm_isa isa) {
    switch (isa) {
    case NLM_ISA_AUTO:
        return "auto";
    case NLM_ISA_SCALAR:
        return "scalar";
    case NLM_ISA_AVX2:
        return "avx2";
    case NLM_ISA_AVX512:
        return "avx512";
    case NLM_ISA_AVX512_BF16:
        return "avx512_bf16";
    case NLM_ISA_AMX:
        return "amx";
    }
    return "unknown";
}

void processor_name(char (&name)[128]) {
    std::memset(name, 0, sizeof name);
    uint32_t words[12] = {};
    for (uint32_t i = 0; i < 3; ++i) {
        const Registers r = cpuid(0x80000002u + i);
        const uint32_t part[4] = {r.eax, r.ebx, r.ecx, r.edx};
        std::memcpy(words + 4 * i, part, sizeof part);
    }
    std::memcpy(name, words, sizeof words);
    const size_t spaces = std::strspn(name, " ");
    std::memmove(name, name + spaces, sizeof name - spaces);
    for (size_t length = std::strlen(name); length > 0 && name[length - 1] == ' ';) name[--length] = 0;
    if (name[0] == 0) std::strcpy(name, "x86-64 processor");
}

} // namespace nlm::cpu

extern "C" int32_t nlm_isa_supported(int32_t isa) {
    if (isa < NLM_ISA_AUTO || isa > NLM_ISA_AMX) return 0;
    return nlm::cpu::isa_supported(static_cast<nlm_isa>(isa)) ? 1 : 0;
}
