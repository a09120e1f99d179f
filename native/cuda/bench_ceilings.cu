// What the card can do at most, for benchmarks: bandwidth of reading, writing and copying, and rate of the matrix instruction on
// registers. Not part of the ABI (native/bench/bench_kernels.h).
#include "../bench/bench_kernels.h"
#include "runtime.h"

#include <algorithm>

using namespace nlm;
using namespace nlm::simt;

namespace {

using Word = Vec<uint32_t, 4>;

constexpr int memory_threads = 256, multiply_threads = 128;
constexpr int in_flight = 4; // independent 16-byte accesses of a thread

NLM_DEVICE int64_t grid_thread() {
    return static_cast<int64_t>(block_index()) * thread_count() + thread_index();
}
NLM_DEVICE int64_t grid_threads() {
    return static_cast<int64_t>(block_count()) * thread_count();
}

NLM_DEVICE uint32_t fold(const Word& word) {
    return word[0] ^ word[1] ^ word[2] ^ word[3];
}

NLM_KERNEL NLM_LAUNCH_BOUNDS(memory_threads, 1) read_words(const Word* source, int64_t count, uint32_t* sink) {
    const int64_t stride = grid_threads();
    uint32_t folded = 0;
    int64_t i = grid_thread();
    for (; i + (in_flight - 1) * stride < count; i += in_flight * stride) {
        Word words[in_flight];
#pragma unroll
        for (int j = 0; j < in_flight; ++j) words[j] = load_vector_streaming<Word>(source + i + j * stride);
#pragma unroll
        for (int j = 0; j < in_flight; ++j) folded ^= fold(words[j]);
    }
    for (; i < count; i += stride) folded ^= fold(load_vector_streaming<Word>(source + i));
    // Hardly ever true of random data, but the compiler cannot know, so the loads stay.
    if (folded == 0x9e3779b9u) store(sink, folded);
}

NLM_KERNEL NLM_LAUNCH_BOUNDS(memory_threads, 1) write_words(Word* destination, int64_t count) {
    const int64_t stride = grid_threads();
    for (int64_t i = grid_thread(); i < count; i += stride) {
        const uint32_t seed = static_cast<uint32_t>(i) * 0x9e3779b9u; // not constant: a card may compress what is
        store_vector(destination + i, Word{{seed, seed ^ 0x85ebca6bu, seed * 3u, ~seed}});
    }
}

NLM_KERNEL NLM_LAUNCH_BOUNDS(memory_threads, 1) copy_words(Word* destination, const Word* source, int64_t count) {
    const int64_t stride = grid_threads();
    int64_t i = grid_thread();
    for (; i + (in_flight - 1) * stride < count; i += in_flight * stride) {
        Word words[in_flight];
#pragma unroll
        for (int j = 0; j < in_flight; ++j) words[j] = load_vector_streaming<Word>(source + i + j * stride);
#pragma unroll
        for (int j = 0; j < in_flight; ++j) store_vector(destination + i + j * stride, words[j]);
    }
    for (; i < count; i += stride) store_vector(destination + i, load_vector_streaming<Word>(source + i));
}

constexpr int a_tiles = 2, b_tiles = 4, products = a_tiles * b_tiles;

// 2 x 4 tiles: every operand is used several times and each product has its own chain, as in a gemm.
template <typename T> NLM_KERNEL NLM_LAUNCH_BOUNDS(multiply_threads, 1) multiply_registers(int repeats, float* sink) {
    uint32_t a[a_tiles][4], b[b_tiles][2];
    float d[a_tiles][b_tiles][4] = {};
    uint32_t state = static_cast<uint32_t>(grid_thread()) * 747796405u + 2891336453u;
    // Both signs and many fractions: operands that do not switch would run cooler and faster than real ones.
    const auto next = [&] {
        state = state * 747796405u + 2891336453u;
        return static_cast<float>(static_cast<int32_t>(state)) * 0x1p-34f; // -1/8 to 1/8
    };
    for (auto& tile : a)
        for (uint32_t& word : tile) {
            const float low = next();
            word = pack2<T>(low, next());
        }
    for (auto& tile : b)
        for (uint32_t& word : tile) {
            const float low = next();
            word = pack2<T>(low, next());
        }
    for (int repeat = 0; repeat < repeats; ++repeat) {
#pragma unroll
        for (int j = 0; j < b_tiles; ++j)
#pragma unroll
            for (int i = 0; i < a_tiles; ++i) mma_m16n8k16<T>(d[i][j], a[i], b[j]);
    }
    float sum = 0;
#pragma unroll
    for (int i = 0; i < a_tiles; ++i)
#pragma unroll
        for (int j = 0; j < b_tiles; ++j) sum += d[i][j][0] + d[i][j][1] + d[i][j][2] + d[i][j][3];
    if (sum == 12345.678f) store(sink, sum);
}

// A grid that fills the card, but no more blocks than there is work for.
Launch filling(const nlm_stream* stream, int32_t blocks_per_multiprocessor, int64_t threads_needed) {
    const int64_t blocks = static_cast<int64_t>(use_device(stream).multiprocessors) * blocks_per_multiprocessor;
    Launch shape;
    shape.grid_x = std::min(blocks, ceil_div(threads_needed, int64_t{memory_threads}));
    shape.block = memory_threads;
    return shape;
}

void check_bytes(int64_t bytes, int32_t blocks_per_multiprocessor) {
    NLM_REQUIRE(bytes > 0 && bytes % 16 == 0, "bytes: expected a positive multiple of 16, found %lld",
                static_cast<long long>(bytes));
    check_range(blocks_per_multiprocessor, 1, 16, "blocks_per_multiprocessor");
}

} // namespace

extern "C" int32_t nlm_bench_read(nlm_stream* stream, const void* source, int64_t bytes, int32_t blocks_per_multiprocessor,
                                  void* sink) {
    return guard("nlm_bench_read", [&] {
        const cudaStream_t queue = cuda_stream(stream);
        check_pointer(source, "source", 16);
        check_pointer(sink, "sink", 4);
        check_bytes(bytes, blocks_per_multiprocessor);
        launch(read_words, filling(stream, blocks_per_multiprocessor, bytes / 16), queue, static_cast<const Word*>(source),
               bytes / 16, static_cast<uint32_t*>(sink));
    });
}

extern "C" int32_t nlm_bench_write(nlm_stream* stream, void* destination, int64_t bytes, int32_t blocks_per_multiprocessor) {
    return guard("nlm_bench_write", [&] {
        const cudaStream_t queue = cuda_stream(stream);
        check_pointer(destination, "destination", 16);
        check_bytes(bytes, blocks_per_multiprocessor);
        launch(write_words, filling(stream, blocks_per_multiprocessor, bytes / 16), queue, static_cast<Word*>(destination),
               bytes / 16);
    });
}

extern "C" int32_t nlm_bench_copy(nlm_stream* stream, void* destination, const void* source, int64_t bytes,
                                  int32_t blocks_per_multiprocessor) {
    return guard("nlm_bench_copy", [&] {
        const cudaStream_t queue = cuda_stream(stream);
        check_pointer(destination, "destination", 16);
        check_pointer(source, "source", 16);
        check_bytes(bytes, blocks_per_multiprocessor);
        launch(copy_words, filling(stream, blocks_per_multiprocessor, bytes / 16), queue, static_cast<Word*>(destination),
               static_cast<const Word*>(source), bytes / 16);
    });
}

extern "C" int32_t nlm_bench_multiply(nlm_stream* stream, int32_t type, int32_t repeats, int32_t blocks_per_multiprocessor,
                                      void* sink, double* operations) {
    return guard("nlm_bench_multiply", [&] {
        const cudaStream_t queue = cuda_stream(stream);
        NLM_REQUIRE(type == NLM_BF16 || type == NLM_F16, "type: expected bf16 (1) or f16 (2), found %d", type);
        check_range(repeats, 1, 1 << 24, "repeats");
        check_range(blocks_per_multiprocessor, 1, 16, "blocks_per_multiprocessor");
        check_pointer(sink, "sink", 4);
        check_pointer(operations, "operations", alignof(double));
        Launch shape;
        shape.grid_x = static_cast<int64_t>(use_device(stream).multiprocessors) * blocks_per_multiprocessor;
        shape.block = multiply_threads;
        launch(type == NLM_BF16 ? multiply_registers<bf16> : multiply_registers<f16>, shape, queue, repeats,
               static_cast<float*>(sink));
        constexpr double per_product = 2.0 * 16 * 8 * 16;
        *operations = static_cast<double>(shape.grid_x) * (multiply_threads / warp_size) * repeats * products * per_product;
    });
}
