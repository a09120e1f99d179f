#define NLM_FAMILY amx
#include "amx_tiles.h"
#include "loops.h"

namespace nlm::bench::amx {

using namespace nlm::cpu::amx;

// Tile loads draw more bandwidth from memory than vector loads on some machines.
float read_loop(const void* memory, int64_t bytes) {
    configure_tiles(tile_configuration(16, 16));
    const char* p = static_cast<const char*>(memory);
    for (int64_t i = 0; i + 4096 <= bytes; i += 4096) {
        NLM_TILE_LOAD(4, p + i, 64);
        NLM_TILE_LOAD(5, p + i + 1024, 64);
        NLM_TILE_LOAD(6, p + i + 2048, 64);
        NLM_TILE_LOAD(7, p + i + 3072, 64);
    }
    alignas(64) float last[16][16];
    NLM_TILE_STORE(7, last, 64);
    release_tiles();
    return last[15][15];
}

double peak_loop(int64_t repeats, float* sink) {
    configure_tiles(tile_configuration(16, 16));
    for (int64_t i = 0; i < repeats; ++i) {
        NLM_TILE_DOT(0, 4, 6);
        NLM_TILE_DOT(1, 4, 7);
        NLM_TILE_DOT(2, 5, 6);
        NLM_TILE_DOT(3, 5, 7);
    }
    alignas(64) float sums[16][16];
    NLM_TILE_STORE(0, sums, 64);
    sink[0] += sums[0][0];
    release_tiles();
    return static_cast<double>(repeats) * 4 * 16 * 16 * 32 * 2;
}

} // namespace nlm::bench::amx
