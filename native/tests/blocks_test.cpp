// nlm_copy_blocks and nlm_swap_blocks over pools of many and of large blocks.
#include "fixture.h"
#include "numbers.h"

#include <algorithm>
#include <numeric>

using namespace nlm::tests;

namespace {

// A pool of random bytes with a copy on the host.
struct Pool {
    Pool(const TestDevice& device, nlm_kv_cache shape)
        : cache(shape), block_bytes(nlm_kv_block_bytes(&shape)),
          memory(device, static_cast<size_t>(block_bytes * shape.block_count)) {
        cache.data = memory.data();
        bytes.resize(memory.size());
        Random random(static_cast<uint64_t>(shape.block_count));
        for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(random.next());
        memory.write(bytes);
    }
    auto block(int64_t id) { return bytes.begin() + id * block_bytes; }

    nlm_kv_cache cache;
    int64_t block_bytes;
    Buffer<unsigned char> memory;
    std::vector<unsigned char> bytes;
};

} // namespace

TEST("More_pairs_than_one_launch_takes_are_copied_all_the_same") {
    TestDevice device;
    constexpr int32_t pair_count = 1100;
    Pool pool(device, {sizeof(nlm_kv_cache), NLM_F16, nullptr, 2 * pair_count, 8, 1, 1, 8});
    std::vector<int32_t> pairs;
    for (int32_t i = 0; i < pair_count; i++) {
        pairs.push_back(2 * i);
        pairs.push_back(2 * ((i + 7) % pair_count) + 1);
        std::copy_n(pool.block(pairs.end()[-2]), pool.block_bytes, pool.block(pairs.back()));
    }
    CHECK(nlm_copy_blocks(device.stream(), &pool.cache, pairs.data(), pair_count) == NLM_OK, "%s", nlm_last_error());
    std::fill(pairs.begin(), pairs.end(), 0); // the call has read them
    CHECK(pool.memory.read() == pool.bytes);
}

TEST("Swapped_blocks_come_back_whether_small_or_large_scattered_or_in_runs") {
    TestDevice device;
    for (const int32_t layers : {1, 40}) { // about 8 KiB and 320 KiB a block
        Pool pool(device, {sizeof(nlm_kv_cache), NLM_BF16, nullptr, 9, 16, layers, 2, 64});
        CHECK((pool.block_bytes >= 64 << 10) == (layers == 40));
        PinnedMemory host(device, static_cast<size_t>(pool.block_bytes * 7));
        const std::vector<int32_t> out{2, 1, 3, 2, 4, 3, 8, 6, 0, 0}, in{5, 2, 6, 3, 7, 0, 1, 6};
        CHECK(nlm_swap_blocks(device.stream(), &pool.cache, host.data(), 7, out.data(), 5, NLM_SWAP_OUT) == NLM_OK, "%s",
              nlm_last_error());
        CHECK(nlm_swap_blocks(device.stream(), &pool.cache, host.data(), 7, in.data(), 4, NLM_SWAP_IN) == NLM_OK, "%s",
              nlm_last_error());
        const std::vector<unsigned char> before = pool.bytes;
        for (size_t i = 0; i < in.size(); i += 2) {
            for (size_t j = 0; j < out.size(); j += 2) {
                if (out[j + 1] == in[i + 1])
                    std::copy_n(before.begin() + out[j] * pool.block_bytes, pool.block_bytes, pool.block(in[i]));
            }
        }
        CHECK(pool.memory.read() == pool.bytes, "%d layers", layers);
    }
}
