// Graphs: each op recorded alone and launched again after its inputs changed; what cannot be recorded is refused.
#include "fixture.h"

#include <cstdint>
#include <functional>
#include <random>

using namespace nlm::tests;

namespace {

// Device memory, the host's copy of what is put there, and how that is drawn.
class Memory {
public:
    using Draw = std::function<void(std::mt19937&, size_t index, void* item)>;

    Memory(const TestDevice& device, size_t count, size_t item_bytes, Draw draw, int32_t kind = NLM_MEMORY_DEVICE)
        : device_(device), bytes_(count * item_bytes), item_bytes_(item_bytes), draw_(std::move(draw)),
          pinned_(kind == NLM_MEMORY_PINNED) {
        require_ok(nlm_memory_allocate(device.device(), static_cast<int64_t>(bytes_.size()), kind, &data_),
                   "nlm_memory_allocate");
    }
    ~Memory() { nlm_memory_free(device_.device(), data_); }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    template <typename T> T* as() const { return static_cast<T*>(data_); }
    void* data() const { return data_; }

    void upload(uint32_t seed) {
        std::mt19937 random(seed);
        for (size_t i = 0; i < bytes_.size() / item_bytes_; i++) draw_(random, i, bytes_.data() + i * item_bytes_);
        copy(data_, bytes_.data(), NLM_COPY_TO_DEVICE);
    }
    std::vector<unsigned char> download() const {
        std::vector<unsigned char> bytes(bytes_.size());
        copy(bytes.data(), data_, NLM_COPY_TO_HOST);
        note_result(bytes.data(), bytes.size());
        return bytes;
    }
    void poison() {
        const std::vector<unsigned char> bytes(bytes_.size(), 0x5a);
        copy(data_, bytes.data(), NLM_COPY_TO_DEVICE);
    }

private:
    void copy(void* destination, const void* source, int32_t kind) const {
        if (pinned_) { // the host's own, once the device is done with it
            require_ok(nlm_stream_synchronize(device_.stream()), "nlm_stream_synchronize");
            std::memcpy(destination, source, bytes_.size());
            return;
        }
        require_ok(nlm_copy(device_.stream(), destination, source, static_cast<int64_t>(bytes_.size()), kind), "nlm_copy");
        require_ok(nlm_stream_synchronize(device_.stream()), "nlm_stream_synchronize");
    }

    const TestDevice& device_;
    std::vector<unsigned char> bytes_;
    size_t item_bytes_;
    Draw draw_;
    bool pinned_;
    void* data_ = nullptr;
};

Memory::Draw floats(float low = -1, float high = 1) {
    return [=](std::mt19937& random, size_t, void* item) {
        const float value = std::uniform_real_distribution<float>(low, high)(random);
        std::memcpy(item, &value, sizeof value);
    };
}
Memory::Draw integers(int32_t low, int32_t high) {
    return [=](std::mt19937& random, size_t, void* item) {
        const int32_t value = std::uniform_int_distribution<int32_t>(low, high)(random);
        std::memcpy(item, &value, sizeof value);
    };
}
// first, first + 1, … whatever the seed.
Memory::Draw ascending(int32_t first) {
    return [=](std::mt19937&, size_t index, void* item) {
        const int32_t value = first + static_cast<int32_t>(index);
        std::memcpy(item, &value, sizeof value);
    };
}

class Graph {
public:
    Graph(const TestDevice& device, const std::function<int32_t(nlm_stream*)>& call) : stream_(device.stream()) {
        require_ok(nlm_graph_begin(stream_), "nlm_graph_begin");
        const int32_t status = call(stream_);
        const std::string message = nlm_last_error();
        const int32_t ended = nlm_graph_end(stream_, &graph_);
        CHECK(status == NLM_OK && ended == NLM_OK, "%s", message.c_str());
    }
    ~Graph() {
        if (graph_) nlm_graph_destroy(graph_);
    }
    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;

    nlm_graph* handle() const { return graph_; }
    void launch() const { require_ok(nlm_graph_launch(stream_, graph_), "nlm_graph_launch"); }

private:
    nlm_stream* stream_;
    nlm_graph* graph_ = nullptr;
};

using Call = std::function<int32_t(nlm_stream*)>;
using Bytes = std::vector<std::vector<unsigned char>>;

// Runs `work` on fresh inputs and poisoned outputs. A buffer in both lists is written over.
Bytes results(const std::vector<Memory*>& inputs, const std::vector<Memory*>& outputs, uint32_t seed,
              const std::function<void()>& work) {
    for (Memory* output : outputs) output->poison();
    for (size_t i = 0; i < inputs.size(); i++) inputs[i]->upload(seed + static_cast<uint32_t>(i));
    work();
    Bytes bytes;
    for (const Memory* output : outputs) bytes.push_back(output->download());
    return bytes;
}

// Recording runs nothing; a launch gives the bits of the plain call, with the inputs of the moment of the launch.
void check_replay(const TestDevice& device, const char* op, const std::vector<Memory*>& inputs,
                  const std::vector<Memory*>& outputs, const Call& call) {
    const auto eager = [&] { require_ok(call(device.stream()), op); };
    const Bytes first = results(inputs, outputs, 1, eager), second = results(inputs, outputs, 100, eager);
    CHECK(first != second, "%s: two inputs give one result, which proves nothing", op);
    const Bytes untouched = results(inputs, outputs, 1, [] {});
    Bytes after_recording;
    Graph* graph = nullptr;
    after_recording = results(inputs, outputs, 1, [&] { graph = new Graph(device, call); });
    CHECK(after_recording == untouched, "%s: recording ran it", op);
    for (const auto& [seed, expected] : {std::pair(1u, first), std::pair(100u, second), std::pair(1u, first)})
        CHECK(results(inputs, outputs, seed, [&] { graph->launch(); }) == expected, "%s: launch and plain call differ, seed %u",
              op, seed);
    delete graph;
}

bool failed_with(int32_t found, int32_t expected, const char* text) {
    return found == expected && std::strstr(nlm_last_error(), text) != nullptr;
}

template <typename Args> Args sized() {
    Args args{};
    args.size = sizeof args;
    return args;
}

constexpr int32_t rows = 5, columns = 32, vocabulary = 40;

// A little model's cache: 2 layers, 2 KV heads of 16 dims, 6 blocks of 8 slots.
nlm_kv_cache cache_of(const Memory* memory) {
    nlm_kv_cache cache = sized<nlm_kv_cache>();
    cache.type = NLM_F32;
    cache.data = memory ? memory->data() : nullptr;
    cache.block_count = 6;
    cache.block_size = 8;
    cache.layer_count = 2;
    cache.kv_head_count = 2;
    cache.head_dim = 16;
    return cache;
}
size_t cache_floats() {
    const nlm_kv_cache cache = cache_of(nullptr);
    return static_cast<size_t>(nlm_kv_block_bytes(&cache) * cache.block_count) / sizeof(float);
}

Memory::Draw sample_rows() {
    return [](std::mt19937& random, size_t, void* item) {
        nlm_sample_row row{};
        row.seed = random();
        row.forced_token = -1;
        row.temperature = random() % 2 ? 1.0f : 0.0f;
        row.top_p = 1;
        row.repetition_penalty = 1;
        row.count_row = row.mask_row = -1;
        row.top_logprobs = 2;
        std::memcpy(item, &row, sizeof row);
    };
}

} // namespace

TEST("Copies_and_fills_are_recorded") {
    TestDevice device;
    Memory source(device, columns, 4, floats()), target(device, columns, 4, floats());
    check_replay(device, "nlm_copy", {&source}, {&target}, [&](nlm_stream* stream) {
        return nlm_copy(stream, target.data(), source.data(), columns * 4, NLM_COPY_ON_DEVICE);
    });
    check_replay(device, "nlm_fill", {&source}, {&source}, [&](nlm_stream* stream) {
        return nlm_fill(stream, source.data(), 7, columns * 2); // the other half shows the inputs
    });
    Memory pinned(device, columns, 4, floats(), NLM_MEMORY_PINNED);
    check_replay(device, "nlm_copy", {&pinned}, {&target}, [&](nlm_stream* stream) {
        return nlm_copy(stream, target.data(), pinned.data(), columns * 4, NLM_COPY_TO_DEVICE);
    });
}

TEST("Row_ops_are_recorded_with_their_true_counts") {
    TestDevice device;
    Memory x(device, rows * 2 * columns, 4, floats()), out(device, rows * columns, 4, floats());
    Memory count(device, 1, 4, integers(0, rows)), ids(device, rows, 4, integers(-1, rows - 1));

    auto norm = sized<nlm_norm_args>();
    norm.out = out.data();
    norm.x = x.data();
    norm.rows = count.as<int32_t>();
    norm.x_stride = norm.out_stride = norm.columns = columns;
    norm.rows_max = rows;
    norm.epsilon = 1e-5f;
    check_replay(device, "nlm_norm", {&x, &count}, {&out}, [&](nlm_stream* stream) { return nlm_norm(stream, &norm); });

    auto activate = sized<nlm_activate_args>();
    activate.kind = NLM_EPILOGUE_SILU_MUL;
    activate.out = out.data();
    activate.x = x.data();
    activate.rows = count.as<int32_t>();
    activate.rows_max = rows;
    activate.columns = columns;
    check_replay(device, "nlm_activate", {&x, &count}, {&out},
                 [&](nlm_stream* stream) { return nlm_activate(stream, &activate); });

    auto gather = sized<nlm_gather_rows_args>();
    gather.out = out.data();
    gather.x = x.data();
    gather.indices = ids.as<int32_t>();
    gather.rows_max = gather.x_rows = rows;
    gather.columns = columns;
    check_replay(device, "nlm_gather_rows", {&x, &ids}, {&out},
                 [&](nlm_stream* stream) { return nlm_gather_rows(stream, &gather); });
}

TEST("Linear_layers_and_embeddings_are_recorded") {
    TestDevice device;
    const auto packed_bytes = static_cast<size_t>(nlm_packed_weight_bytes(NLM_F32, vocabulary, columns));
    Memory weight(device, packed_bytes / 4, 4, floats()), x(device, rows * columns, 4, floats());
    Memory out(device, rows * vocabulary, 4, floats()), ids(device, rows, 4, integers(-1, vocabulary));

    auto gemm = sized<nlm_gemm_args>();
    gemm.rows_max = rows;
    gemm.n = vocabulary;
    gemm.k = columns;
    gemm.x_stride = columns;
    gemm.out_stride = vocabulary;
    gemm.workspace_bytes = nlm_gemm_workspace_bytes(&gemm);
    Memory workspace(device, static_cast<size_t>(gemm.workspace_bytes) + 64, 1, [](std::mt19937&, size_t, void*) {});
    gemm.out = out.data();
    gemm.x = x.data();
    gemm.weight = weight.data();
    gemm.residual = out.data();
    gemm.workspace = workspace.data();
    check_replay(device, "nlm_gemm", {&x, &out, &weight}, {&out}, [&](nlm_stream* stream) { return nlm_gemm(stream, &gemm); });

    auto embed = sized<nlm_embed_args>();
    embed.out = out.data();
    embed.ids = ids.as<int32_t>();
    embed.table = weight.data();
    embed.rows_max = rows;
    embed.vocabulary = vocabulary;
    embed.columns = columns;
    embed.scale = 1;
    check_replay(device, "nlm_embed", {&ids, &weight}, {&out}, [&](nlm_stream* stream) { return nlm_embed(stream, &embed); });
}

TEST("Attention_and_the_cache_are_recorded_by_value") {
    TestDevice device;
    Memory cache_memory(device, cache_floats(), 4, floats()), qkv(device, rows * 8 * 16, 4, floats());
    Memory queries(device, rows * 4 * 16, 4, floats()), attended(device, rows * 4 * 16, 4, floats());
    Memory slots(device, rows, 4, ascending(9)), positions(device, rows, 4, integers(0, 63));
    Memory rope(device, 64 * 16, 4, floats());
    nlm_kv_cache cache = cache_of(&cache_memory);

    auto write = sized<nlm_write_kv_args>();
    write.q_out = queries.data();
    write.cache = &cache;
    write.qkv = qkv.data();
    write.rope_table = rope.as<float>();
    write.positions = positions.as<int32_t>();
    write.slots = slots.as<int32_t>();
    write.rows_max = rows;
    write.q_head_count = 4;
    write.layer = 1;
    write.positions_max = 64;
    write.rotary_dim = 16;
    write.rope_style = NLM_ROPE_HALF_SPLIT;
    check_replay(device, "nlm_write_kv", {&qkv, &positions, &slots, &rope, &cache_memory}, {&queries, &cache_memory},
                 [&](nlm_stream* stream) {
                     // The struct behind the pointer is gone once the call returns.
                     nlm_kv_cache passing = cache;
                     write.cache = &passing;
                     const int32_t status = nlm_write_kv(stream, &write);
                     passing = {};
                     return status;
                 });

    Memory starts(device, rows + 1, 4, ascending(0)), lengths(device, rows, 4, integers(1, 16));
    Memory tables(device, rows * 2, 4, integers(0, 5)), sequences(device, 1, 4, integers(1, rows));
    auto attention = sized<nlm_paged_attention_args>();
    attention.cache = &cache;
    attention.rows_max = attention.sequences_max = rows;
    attention.q_head_count = 4;
    attention.table_count = rows;
    attention.table_stride = 2;
    attention.length_max = 16;
    attention.scale = 0.25f;
    attention.workspace_bytes = nlm_paged_attention_workspace_bytes(&attention);
    Memory workspace(device, static_cast<size_t>(attention.workspace_bytes) + 64, 1, [](std::mt19937&, size_t, void*) {});
    attention.out = attended.data();
    attention.q = queries.data();
    attention.query_starts = starts.as<int32_t>();
    attention.lengths = lengths.as<int32_t>();
    attention.block_tables = tables.as<int32_t>();
    attention.sequences = sequences.as<int32_t>();
    attention.workspace = workspace.data();
    check_replay(device, "nlm_paged_attention", {&queries, &cache_memory, &starts, &lengths, &tables, &sequences}, {&attended},
                 [&](nlm_stream* stream) {
                     nlm_kv_cache passing = cache;
                     attention.cache = &passing;
                     const int32_t status = nlm_paged_attention(stream, &attention);
                     passing = {};
                     return status;
                 });
}

TEST("Block_copies_and_swaps_are_recorded_with_their_pairs") {
    TestDevice device;
    Memory cache_memory(device, cache_floats(), 4, floats()), pool(device, cache_floats(), 4, floats(), NLM_MEMORY_PINNED);
    const nlm_kv_cache cache = cache_of(&cache_memory);
    check_replay(device, "nlm_copy_blocks", {&cache_memory}, {&cache_memory}, [&](nlm_stream* stream) {
        std::vector<int32_t> pairs{1, 3, 2, 4};
        const int32_t status = nlm_copy_blocks(stream, &cache, pairs.data(), 2);
        pairs.assign(4, 0);
        return status;
    });
    for (const int32_t direction : {NLM_SWAP_OUT, NLM_SWAP_IN})
        check_replay(device, "nlm_swap_blocks", {&cache_memory, &pool}, {&cache_memory, &pool}, [&](nlm_stream* stream) {
            std::vector<int32_t> pairs{1, 5, 4, 2};
            const int32_t status = nlm_swap_blocks(stream, &cache, pool.data(), cache.block_count, pairs.data(), 2, direction);
            pairs.assign(4, 0);
            return status;
        });
}

TEST("Sampling_and_feeding_are_recorded") {
    TestDevice device;
    Memory logits(device, rows * 48, 4, floats(-8, 8)), parameters(device, rows, sizeof(nlm_sample_row), sample_rows());
    Memory drawn(device, rows, sizeof(nlm_sample_result), [](std::mt19937& random, size_t, void* item) {
        const nlm_sample_result result{static_cast<int32_t>(random() % (vocabulary + 2)) - 1, 1, 0, 0};
        std::memcpy(item, &result, sizeof result);
    });
    Memory top_ids(device, rows * 4, 4, integers(0, 0)), top_values(device, rows * 4, 4, floats());
    auto sample = sized<nlm_sample_args>();
    sample.rows_max = rows;
    sample.logits_stride = 48;
    sample.vocabulary = vocabulary;
    sample.top_logprobs_max = 4;
    const int64_t workspace_bytes = nlm_sample_workspace_bytes(&sample);
    Memory workspace(device, static_cast<size_t>(workspace_bytes) + 64, 1, [](std::mt19937&, size_t, void*) {});
    sample.results = drawn.as<nlm_sample_result>();
    sample.top_ids = top_ids.as<int32_t>();
    sample.top_values = top_values.as<float>();
    sample.logits = logits.as<float>();
    sample.parameters = parameters.as<nlm_sample_row>();
    sample.workspace = workspace.data();
    sample.workspace_bytes = workspace_bytes;
    check_replay(device, "nlm_sample", {&logits, &parameters, &top_ids, &top_values}, {&drawn, &top_ids, &top_values},
                 [&](nlm_stream* stream) { return nlm_sample(stream, &sample); });

    Memory ids(device, rows, 4, integers(0, vocabulary - 1)), sources(device, rows, 4, integers(-1, rows));
    auto feed = sized<nlm_feed_tokens_args>();
    feed.rows_max = feed.result_rows = rows;
    feed.ids = ids.as<int32_t>();
    feed.sources = sources.as<int32_t>();
    feed.results = drawn.as<nlm_sample_result>();
    feed.vocabulary = vocabulary;
    check_replay(device, "nlm_feed_tokens", {&ids, &sources, &drawn}, {&ids},
                 [&](nlm_stream* stream) { return nlm_feed_tokens(stream, &feed); });
}

TEST("A_graph_runs_its_calls_in_order_as_often_as_it_is_launched") {
    TestDevice device;
    Memory a(device, 8, 4, integers(1, 1000)), b(device, 8, 4, integers(0, 0)), c(device, 8, 4, integers(0, 0));
    check_replay(device, "three calls", {&a}, {&b, &c}, [&](nlm_stream* stream) {
        int32_t status = nlm_copy(stream, b.data(), a.data(), 32, NLM_COPY_ON_DEVICE);
        if (status == NLM_OK) status = nlm_copy(stream, c.data(), b.data(), 32, NLM_COPY_ON_DEVICE);
        if (status == NLM_OK) status = nlm_fill(stream, b.data(), 1, 16);
        return status;
    });
}

TEST("What_cannot_be_recorded_is_refused_and_the_stream_goes_on") {
    TestDevice device;
    Memory memory(device, 8, 4, integers(1, 1000)), other(device, 8, 4, integers(0, 0));
    nlm_stream* stream = device.stream();
    nlm_graph* graph = nullptr;

    // Not a recording stream.
    CHECK(failed_with(nlm_graph_end(stream, &graph), NLM_INVALID_ARGUMENT, "begin") && graph == nullptr, "%s", nlm_last_error());
    CHECK(nlm_graph_begin(nullptr) == NLM_INVALID_ARGUMENT && nlm_graph_destroy(nullptr) == NLM_INVALID_ARGUMENT);
    CHECK(nlm_graph_launch(stream, nullptr) == NLM_INVALID_ARGUMENT);

    std::vector<float> host(static_cast<size_t>(columns) * 2);
    auto pack = sized<nlm_pack_weight_args>();
    pack.packed = memory.data();
    pack.source = host.data();
    pack.n = pack.source_rows = 1;
    pack.k = 1;
    int32_t token = 0;
    auto count = sized<nlm_count_tokens_args>();
    count.token_counts = memory.as<uint16_t>();
    count.prompt_mask = other.as<uint32_t>();
    count.prompt = &token;
    count.prompt_count = 1;
    count.count_rows = 1;
    count.vocabulary = 8;
    const Graph finished(device, [&](nlm_stream* s) { return nlm_fill(s, memory.data(), 2, 4); });
    const std::vector<Call> forbidden{
        [&](nlm_stream* s) { return nlm_graph_launch(s, finished.handle()); },
        [](nlm_stream* s) { return nlm_stream_synchronize(s); },
        [&](nlm_stream*) { return nlm_memory_free(device.device(), memory.data()); },
        [&](nlm_stream* s) { return nlm_pack_weight(s, &pack); },
        [&](nlm_stream* s) { return nlm_count_tokens(s, &count); },
    };
    for (size_t i = 0; i < forbidden.size(); i++) {
        require_ok(nlm_graph_begin(stream), "nlm_graph_begin");
        require_ok(nlm_fill(stream, memory.data(), 1, 4), "nlm_fill");
        CHECK(forbidden[i](stream) != NLM_OK, "call %zu was recorded", i);
        CHECK(nlm_graph_end(stream, &graph) != NLM_OK && graph == nullptr, "call %zu left a graph", i);
        require_ok(nlm_stream_synchronize(stream), "the stream after a void graph");
    }
    // The stream still works, and so does a graph recorded afterwards.
    check_replay(device, "nlm_copy", {&memory}, {&other},
                 [&](nlm_stream* s) { return nlm_copy(s, other.data(), memory.data(), 32, NLM_COPY_ON_DEVICE); });
}
