// Ops that move bytes: norm, activation, embedding, KV write, copies and swaps of blocks.
#include "bench.h"

#include "bench_kernels.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>

namespace nlm::bench {

namespace {

// Rotates over `copies` pieces of a buffer so that calls do not find their data in the cache.
int64_t copies_beyond_cache(const Bench& bench, int64_t bytes_per_call) {
    if (bench.is_rehearsal()) return 2;
    return std::clamp<int64_t>((int64_t{512} << 20) / bytes_per_call, 2, 1024);
}

std::vector<int32_t> row_counts(const Bench& bench) {
    if (bench.is_rehearsal()) return {1, 5};
    return {1, 64, 256, 8192};
}

std::string rows_name(const char* op, int rows, int columns) {
    return std::string(op) + " " + std::to_string(rows) + "x" + std::to_string(columns);
}

void measure_norm(Bench& bench, int32_t rows, int32_t columns) {
    const int64_t bytes = int64_t{2} * rows * columns, copies = copies_beyond_cache(bench, 4 * bytes);
    const Memory x = random_bf16(bench.device, copies * bytes), residual = random_bf16(bench.device, copies * bytes),
                 out(bench.device, copies * bytes), weight = random_bf16(bench.device, int64_t{2} * columns);
    const auto call = [&](int index) {
        const int64_t at = index % copies * bytes;
        nlm_norm_args args{};
        args.size = sizeof args;
        args.out = out.data() + at;
        args.residual_out = residual.data() + at;
        args.x = x.data() + at;
        args.residual_in = residual.data() + at;
        args.weight = weight.data();
        args.x_stride = args.out_stride = args.columns = columns;
        args.rows_max = rows;
        args.type = NLM_BF16;
        args.epsilon = 1e-5f;
        require(nlm_norm(bench.device.stream(), &args));
    };
    Work work;
    work.read = work.written = 2.0 * static_cast<double>(bytes);
    const Target target = rows >= 8192 ? Target{Target::FloorPercent, 88} : Target{};
    bench.measure(rows_name("add + norm", rows, columns), work, {{"nlm_norm", call, 4.0 * static_cast<double>(bytes), target}});
}

void measure_activate(Bench& bench, int32_t rows, int32_t columns) {
    const int64_t bytes = int64_t{2} * rows * columns, copies = copies_beyond_cache(bench, 3 * bytes);
    const Memory x = random_bf16(bench.device, copies * 2 * bytes), out(bench.device, copies * bytes);
    const auto call = [&](int index) {
        nlm_activate_args args{};
        args.size = sizeof args;
        args.kind = NLM_EPILOGUE_SILU_MUL;
        args.out = out.data() + index % copies * bytes;
        args.x = x.data() + index % copies * 2 * bytes;
        args.rows_max = rows;
        args.columns = columns;
        args.type = NLM_BF16;
        require(nlm_activate(bench.device.stream(), &args));
    };
    Work work;
    work.read = 2.0 * static_cast<double>(bytes);
    work.written = static_cast<double>(bytes);
    bench.measure(rows_name("SiLU x up", rows, columns), work, {{"nlm_activate", call, 3.0 * static_cast<double>(bytes)}});
}

void measure_embed(Bench& bench, int32_t rows, int32_t vocabulary, int32_t columns) {
    const Memory table = random_bf16(bench.device, nlm_packed_weight_bytes(NLM_BF16, vocabulary, columns)),
                 out(bench.device, int64_t{2} * rows * columns);
    std::vector<int32_t> ids(static_cast<size_t>(rows) * 16);
    std::mt19937 random(7);
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<uint32_t>(vocabulary));
    const Memory device_ids = upload(bench.device, ids);
    const auto call = [&](int index) {
        nlm_embed_args args{};
        args.size = sizeof args;
        args.type_out = args.type_table = NLM_BF16;
        args.out = out.data();
        args.ids = device_ids.as<int32_t>() + index % 16 * rows;
        args.table = table.data();
        args.rows_max = rows;
        args.vocabulary = vocabulary;
        args.columns = columns;
        args.scale = 1;
        require(nlm_embed(bench.device.stream(), &args));
    };
    Work work;
    work.read = work.written = 2.0 * rows * columns;
    bench.measure(rows_name("embed", rows, columns), work, {{"nlm_embed", call, work.bytes()}});
}

// A pool of blocks as Llama-3.1-8B's: 2 MB each at block size 16.
class Pool {
public:
    Pool(const Bench& bench, int32_t block_count) : cache_(describe(bench, block_count)), data_(filled(bench)) {
        cache_.data = data_.data();
    }
    const nlm_kv_cache& cache() const { return cache_; }
    int64_t block_bytes() const { return nlm_kv_block_bytes(&cache_); }

private:
    static nlm_kv_cache describe(const Bench& bench, int32_t block_count) {
        const Model& model = models(bench.is_rehearsal()).front();
        nlm_kv_cache cache{};
        cache.size = sizeof cache;
        cache.type = NLM_BF16;
        cache.block_count = block_count;
        cache.block_size = 16;
        cache.layer_count = model.layers;
        cache.kv_head_count = model.kv_heads;
        cache.head_dim = model.head_dim;
        return cache;
    }
    Memory filled(const Bench& bench) const {
        return random_bf16(bench.device, cache_.block_count * nlm_kv_block_bytes(&cache_));
    }

    nlm_kv_cache cache_;
    Memory data_;
};

void measure_write_kv(Bench& bench, const Pool& pool, int32_t rows) {
    const Model& model = models(bench.is_rehearsal()).front();
    const int64_t row_bytes = int64_t{2} * model.qkv_rows(), q_bytes = int64_t{2} * model.q_heads * model.head_dim;
    const int64_t copies = copies_beyond_cache(bench, rows * row_bytes);
    const Memory qkv = random_bf16(bench.device, copies * rows * row_bytes), q_out(bench.device, rows * q_bytes),
                 rope = random_logits(bench.device, int64_t{4} * 4096 * model.head_dim);
    std::vector<int32_t> slots(static_cast<size_t>(pool.cache().block_count * pool.cache().block_size)), positions;
    std::iota(slots.begin(), slots.end(), 0);
    std::shuffle(slots.begin(), slots.end(), std::mt19937(3));
    slots.resize(static_cast<size_t>(rows));
    for (int32_t row = 0; row < rows; ++row) positions.push_back(row * 37 % 4096);
    const Memory device_slots = upload(bench.device, slots), device_positions = upload(bench.device, positions);
    const auto call = [&](int index) {
        nlm_write_kv_args args{};
        args.size = sizeof args;
        args.type = NLM_BF16;
        args.q_out = q_out.data();
        args.cache = &pool.cache();
        args.qkv = qkv.data() + index % copies * rows * row_bytes;
        args.rope_table = rope.as<float>();
        args.positions = device_positions.as<int32_t>();
        args.slots = device_slots.as<int32_t>();
        args.rows_max = rows;
        args.q_head_count = model.q_heads;
        args.layer = index % model.layers;
        args.positions_max = 4096;
        args.rotary_dim = model.head_dim;
        args.rope_style = NLM_ROPE_HALF_SPLIT;
        require(nlm_write_kv(bench.device.stream(), &args));
    };
    Work work;
    work.read = work.written = static_cast<double>(rows * row_bytes);
    bench.measure(std::string("write_kv ") + model.name + " " + std::to_string(rows) + " tokens", work,
                  {{"nlm_write_kv", call, work.bytes()}});
}

// Distinct random blocks: pairs (source, destination) for copies, (pool block, host block) for swaps.
std::vector<int32_t> random_pairs(int32_t pool_blocks, int32_t pair_count, bool with_host_blocks) {
    std::vector<int32_t> blocks(static_cast<size_t>(pool_blocks)), pairs;
    std::iota(blocks.begin(), blocks.end(), 0);
    std::shuffle(blocks.begin(), blocks.end(), std::mt19937(5));
    for (int32_t i = 0; i < pair_count; ++i) {
        pairs.push_back(blocks[static_cast<size_t>(i)]);
        pairs.push_back(with_host_blocks ? i : blocks[static_cast<size_t>(pool_blocks - 1 - i)]);
    }
    return pairs;
}

void measure_copy_blocks(Bench& bench, const Pool& pool, int32_t pair_count) {
    const std::vector<int32_t> pairs = random_pairs(pool.cache().block_count, pair_count, false);
    const int64_t bytes = pair_count * pool.block_bytes();
    char* const data = static_cast<char*>(pool.cache().data);
    const auto call = [&](int) { require(nlm_copy_blocks(bench.device.stream(), &pool.cache(), pairs.data(), pair_count)); };
    const auto one_run = [&](int) { require(nlm_bench_copy(bench.device.stream(), data + bytes, data, bytes, 8)); };
    Work work;
    work.read = work.written = static_cast<double>(bytes);
    bench.measure("copy_blocks " + std::to_string(pair_count) + " pairs", work,
                  {{"nlm_copy_blocks", call, work.bytes(), {Target::FloorPercent, 90}},
                   {"one run of the same bytes", one_run, work.bytes()}});
}

// Bound by the link to the host, so the partner is one large copy over the same link.
void measure_swap_blocks(Bench& bench, const Pool& pool, int32_t pair_count) {
    const std::vector<int32_t> pairs = random_pairs(pool.cache().block_count, pair_count, true);
    const int64_t bytes = pair_count * pool.block_bytes();
    const Memory host(bench.device, bytes, NLM_MEMORY_PINNED);
    nlm_stream* const stream = bench.device.stream();
    void* const data = pool.cache().data;
    const auto measure = [&](const char* name, nlm_swap direction) {
        const auto call = [&, direction](int) {
            require(nlm_swap_blocks(stream, &pool.cache(), host.data(), pair_count, pairs.data(), pair_count, direction));
        };
        const auto one_copy = [&, direction](int) {
            if (direction == NLM_SWAP_OUT)
                require(nlm_copy(stream, host.data(), data, bytes, NLM_COPY_TO_HOST));
            else
                require(nlm_copy(stream, data, host.data(), bytes, NLM_COPY_TO_DEVICE));
        };
        Work work; // of device memory; the other side is the host's
        (direction == NLM_SWAP_OUT ? work.read : work.written) = static_cast<double>(bytes);
        bench.measure(std::string(name) + " " + std::to_string(pair_count) + " blocks", work,
                      {{"nlm_swap_blocks", call, work.bytes()}, {"one copy of the same bytes", one_copy, work.bytes()}});
    };
    measure("swap out", NLM_SWAP_OUT);
    measure("swap in", NLM_SWAP_IN);
}

} // namespace

void bench_memory(Bench& bench) {
    const bool rehearsal = bench.is_rehearsal();
    const Model& model = models(rehearsal).front();
    for (const int32_t rows : row_counts(bench)) measure_norm(bench, rows, model.hidden);
    measure_activate(bench, rehearsal ? 5 : 8192, model.mlp);
    measure_embed(bench, rehearsal ? 5 : 8192, model.vocabulary, model.hidden);
    const Pool pool(bench, rehearsal ? 16 : 2048 + 64);
    for (const int32_t rows : row_counts(bench)) measure_write_kv(bench, pool, rows);
    for (const int32_t pairs : rehearsal ? std::vector<int32_t>{3} : std::vector<int32_t>{64, 256, 1024})
        measure_copy_blocks(bench, pool, pairs);
    for (const int32_t pairs : rehearsal ? std::vector<int32_t>{3} : std::vector<int32_t>{64, 512})
        measure_swap_blocks(bench, pool, pairs);
}

} // namespace nlm::bench
