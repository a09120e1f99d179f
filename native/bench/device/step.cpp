// A whole decode step with random weights: every op of every layer, the logits and the sampler, as one graph.
#include "bench.h"

#include "bench_kernels.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <random>

namespace nlm::bench {

namespace {

constexpr int32_t block_size = 16;

int64_t rounded(int64_t bytes) {
    return (bytes + 255) / 256 * 256;
}

// The weights of a model, of random bits; each layer has its own, so no cache can serve two.
class Weights {
public:
    Weights(const Device& device, const Model& model)
        : linears_(linear_layers(model)), layer_bytes_(bytes_of_layer()), lm_head_at_(layer_bytes_ * model.layers),
          memory_(random_bf16(device, lm_head_at_ + rounded(packed_bytes(linears_.back())))),
          norm_(random_bf16(device, int64_t{2} * model.hidden)) {}

    // index: of linear_layers().
    const void* linear(int32_t layer, size_t index) const {
        if (index + 1 == linears_.size()) return memory_.data() + lm_head_at_;
        int64_t at = layer_bytes_ * layer;
        for (size_t i = 0; i < index; ++i) at += rounded(packed_bytes(linears_[i]));
        return memory_.data() + at;
    }
    const void* norm() const { return norm_.data(); }
    const Linear& shape(size_t index) const { return linears_[index]; }
    const Memory& memory() const { return memory_; }

private:
    static int64_t packed_bytes(const Linear& linear) { return nlm_packed_weight_bytes(NLM_BF16, linear.n, linear.k); }
    int64_t bytes_of_layer() const {
        int64_t bytes = 0;
        for (size_t i = 0; i + 1 < linears_.size(); ++i) bytes += rounded(packed_bytes(linears_[i]));
        return bytes;
    }

    const std::vector<Linear> linears_;
    const int64_t layer_bytes_, lm_head_at_;
    const Memory memory_, norm_;
};

enum LinearIndex : size_t { Qkv, Output, Up, Down, LmHead };

// One decode step of `batch` sequences, each with `context` keys including the new one.
class DecodeStep {
public:
    DecodeStep(const Bench& bench, const Model& model, const Weights& weights, int32_t batch, int32_t context)
        : model_(model), weights_(weights), batch_(batch), context_(context), stream_(bench.device.stream()), cache_(describe()),
          pool_(random_bf16(bench.device, cache_.block_count * nlm_kv_block_bytes(&cache_))), hidden_(rows(bench, model.hidden)),
          normed_(rows(bench, model.hidden)), qkv_(rows(bench, model.qkv_rows())),
          queries_(rows(bench, model.q_heads * model.head_dim)), attended_(rows(bench, model.q_heads * model.head_dim)),
          mlp_(rows(bench, model.mlp)), logits_(bench.device, int64_t{4} * batch * model.vocabulary),
          rope_(random_logits(bench.device, int64_t{4} * context * model.head_dim)), ids_(upload(bench.device, ids())),
          positions_(upload(bench.device, repeated(context - 1))), lengths_(upload(bench.device, repeated(context))),
          starts_(upload(bench.device, starts())), tables_(upload(bench.device, tables())), slots_(upload(bench.device, slots())),
          parameters_(upload(bench.device, parameters())),
          results_(bench.device, batch * static_cast<int64_t>(sizeof(nlm_sample_result))),
          workspace_(bench.device, workspace_bytes()) {
        cache_.data = pool_.data();
    }

    void run() const {
        embed();
        for (int32_t layer = 0; layer < model_.layers; ++layer) {
            norm();
            gemm(layer, Qkv, qkv_, normed_, nullptr);
            write_kv(layer);
            attend(layer);
            gemm(layer, Output, hidden_, attended_, hidden_.data());
            norm();
            gemm(layer, Up, mlp_, normed_, nullptr);
            gemm(layer, Down, hidden_, mlp_, hidden_.data());
        }
        norm();
        gemm(0, LmHead, logits_, normed_, nullptr);
        sample();
    }

    // Weights once, keys and values once; activations stay in the cache.
    Work work() const {
        Work work;
        work.read = static_cast<double>(weights_.memory().bytes()) +
                    1.0 * batch_ * context_ * static_cast<double>(model_.kv_bytes_per_layer()) * model_.layers;
        for (size_t i = Qkv; i <= LmHead; ++i)
            work.operations += 2.0 * batch_ * weights_.shape(i).n * weights_.shape(i).k * weights_.shape(i).count;
        work.operations += 4.0 * batch_ * context_ * model_.q_heads * model_.head_dim * model_.layers;
        return work;
    }

private:
    int32_t blocks_per_sequence() const { return (context_ + block_size - 1) / block_size; }

    nlm_kv_cache describe() const {
        nlm_kv_cache cache{};
        cache.size = sizeof cache;
        cache.type = NLM_BF16;
        cache.block_count = batch_ * blocks_per_sequence();
        cache.block_size = block_size;
        cache.layer_count = model_.layers;
        cache.kv_head_count = model_.kv_heads;
        cache.head_dim = model_.head_dim;
        return cache;
    }

    Memory rows(const Bench& bench, int32_t columns) const { return random_bf16(bench.device, int64_t{2} * batch_ * columns); }
    std::vector<int32_t> repeated(int32_t value) const { return std::vector<int32_t>(static_cast<size_t>(batch_), value); }
    std::vector<int32_t> ids() const {
        std::vector<int32_t> ids;
        for (int32_t row = 0; row < batch_; ++row) ids.push_back(row * 97 % model_.vocabulary);
        return ids;
    }
    std::vector<int32_t> starts() const {
        std::vector<int32_t> starts(static_cast<size_t>(batch_ + 1));
        std::iota(starts.begin(), starts.end(), 0);
        return starts;
    }
    std::vector<int32_t> tables() const {
        std::vector<int32_t> blocks(static_cast<size_t>(cache_.block_count));
        std::iota(blocks.begin(), blocks.end(), 0);
        std::shuffle(blocks.begin(), blocks.end(), std::mt19937(11));
        return blocks;
    }
    std::vector<int32_t> slots() const {
        const std::vector<int32_t> blocks = tables();
        std::vector<int32_t> slots;
        const int32_t position = context_ - 1;
        for (int32_t row = 0; row < batch_; ++row)
            slots.push_back(blocks[static_cast<size_t>(row * blocks_per_sequence() + position / block_size)] * block_size +
                            position % block_size);
        return slots;
    }
    std::vector<nlm_sample_row> parameters() const {
        nlm_sample_row row{};
        row.forced_token = row.count_row = row.mask_row = row.top_logprobs = -1;
        row.temperature = 0.8f;
        row.top_p = 0.95f;
        row.repetition_penalty = 1;
        return std::vector<nlm_sample_row>(static_cast<size_t>(batch_), row);
    }

    int64_t workspace_bytes() const {
        const nlm_paged_attention_args attention = attention_arguments(0);
        const nlm_sample_args sampling = sample_arguments();
        int64_t bytes =
            std::max({int64_t{64}, nlm_paged_attention_workspace_bytes(&attention), nlm_sample_workspace_bytes(&sampling)});
        for (size_t i = Qkv; i <= LmHead; ++i) {
            const nlm_gemm_args args = gemm_arguments(i);
            bytes = std::max(bytes, nlm_gemm_workspace_bytes(&args));
        }
        return bytes;
    }

    nlm_gemm_args gemm_arguments(size_t index) const {
        const Linear& linear = weights_.shape(index);
        nlm_gemm_args args{};
        args.size = sizeof args;
        args.epilogue = linear.epilogue;
        args.x_stride = linear.k;
        args.out_stride = linear.out_columns();
        args.rows_max = batch_;
        args.n = linear.n;
        args.k = linear.k;
        args.type_x = args.type_weight = NLM_BF16;
        args.type_out = linear.type_out;
        return args;
    }

    void gemm(int32_t layer, size_t index, const Memory& out, const Memory& x, const void* residual) const {
        nlm_gemm_args args = gemm_arguments(index);
        args.out = out.data();
        args.x = x.data();
        args.weight = weights_.linear(layer, index);
        args.residual = residual;
        args.workspace = workspace_.data();
        args.workspace_bytes = workspace_.bytes();
        require(nlm_gemm(stream_, &args));
    }

    void embed() const {
        nlm_embed_args args{};
        args.size = sizeof args;
        args.type_out = args.type_table = NLM_BF16;
        args.out = hidden_.data();
        args.ids = ids_.as<int32_t>();
        args.table = weights_.linear(0, LmHead);
        args.rows_max = batch_;
        args.vocabulary = model_.vocabulary;
        args.columns = model_.hidden;
        args.scale = 1;
        require(nlm_embed(stream_, &args));
    }

    void norm() const {
        nlm_norm_args args{};
        args.size = sizeof args;
        args.out = normed_.data();
        args.x = hidden_.data();
        args.weight = weights_.norm();
        args.x_stride = args.out_stride = args.columns = model_.hidden;
        args.rows_max = batch_;
        args.type = NLM_BF16;
        args.epsilon = 1e-5f;
        require(nlm_norm(stream_, &args));
    }

    void write_kv(int32_t layer) const {
        nlm_write_kv_args args{};
        args.size = sizeof args;
        args.type = NLM_BF16;
        args.q_out = queries_.data();
        args.cache = &cache_;
        args.qkv = qkv_.data();
        args.rope_table = rope_.as<float>();
        args.positions = positions_.as<int32_t>();
        args.slots = slots_.as<int32_t>();
        args.rows_max = batch_;
        args.q_head_count = model_.q_heads;
        args.layer = layer;
        args.positions_max = context_;
        args.rotary_dim = model_.head_dim;
        args.rope_style = NLM_ROPE_HALF_SPLIT;
        require(nlm_write_kv(stream_, &args));
    }

    nlm_paged_attention_args attention_arguments(int32_t layer) const {
        nlm_paged_attention_args args{};
        args.size = sizeof args;
        args.type = NLM_BF16;
        args.out = attended_.data();
        args.q = queries_.data();
        args.cache = &cache_;
        args.query_starts = starts_.as<int32_t>();
        args.lengths = lengths_.as<int32_t>();
        args.block_tables = tables_.as<int32_t>();
        args.rows_max = args.sequences_max = args.table_count = batch_;
        args.q_head_count = model_.q_heads;
        args.layer = layer;
        args.table_stride = blocks_per_sequence();
        args.length_max = context_;
        args.query_rows_max = 1;
        args.scale = 1 / std::sqrt(static_cast<float>(model_.head_dim));
        return args;
    }

    void attend(int32_t layer) const {
        nlm_paged_attention_args args = attention_arguments(layer);
        args.workspace = workspace_.data();
        args.workspace_bytes = workspace_.bytes();
        require(nlm_paged_attention(stream_, &args));
    }

    nlm_sample_args sample_arguments() const {
        nlm_sample_args args{};
        args.size = sizeof args;
        args.rows_max = batch_;
        args.results = results_.as<nlm_sample_result>();
        args.logits = logits_.as<float>();
        args.parameters = parameters_.as<nlm_sample_row>();
        args.logits_stride = args.vocabulary = model_.vocabulary;
        return args;
    }

    void sample() const {
        nlm_sample_args args = sample_arguments();
        args.workspace = workspace_.data();
        args.workspace_bytes = workspace_.bytes();
        require(nlm_sample(stream_, &args));
    }

    const Model& model_;
    const Weights& weights_;
    const int32_t batch_, context_;
    nlm_stream* stream_;
    nlm_kv_cache cache_;
    const Memory pool_, hidden_, normed_, qkv_, queries_, attended_, mlp_, logits_, rope_, ids_, positions_, lengths_, starts_,
        tables_, slots_, parameters_, results_, workspace_;
};

// The same bytes, read once by the ceiling's kernel: what is left is arithmetic, order and gaps between kernels.
Contestant reading(const Bench& bench, const Memory& source, const Memory& sink, double bytes) {
    return {"reading the same bytes",
            [&, bytes](int) {
                for (int64_t left = static_cast<int64_t>(bytes) / 16 * 16; left > 0;) {
                    const int64_t piece = std::min(left, source.bytes() / 16 * 16);
                    require(nlm_bench_read(bench.device.stream(), source.data(), piece, 8, sink.data()));
                    left -= piece;
                }
            },
            bytes};
}

void measure_step(Bench& bench, const Model& model, const Weights& weights, int32_t batch, int32_t context) {
    const int64_t cache = int64_t{batch} * context * model.kv_bytes_per_layer() * model.layers;
    if (cache > bench.device.free_bytes() / 10 * 8) return;
    const DecodeStep step(bench, model, weights, batch, context);
    const Memory sink(bench.device, 64);
    const Work work = step.work();
    // Within 15 % of the floor, for the shape whose layers are large enough that bandwidth alone decides.
    const bool is_goal = std::string(model.name) == "llama-3.1-8b" && (batch == 1 || batch == 64);
    bench.measure(std::string("step ") + model.name + " B=" + std::to_string(batch) + " ctx=" + std::to_string(context), work,
                  {{"decode step", [&](int) { step.run(); }, work.read, is_goal ? Target{Target::FloorPercent, 87} : Target{}},
                   reading(bench, weights.memory(), sink, work.read)});
}

} // namespace

void bench_step(Bench& bench) {
    const bool rehearsal = bench.is_rehearsal();
    std::vector<std::string> names{"llama-3.1-8b", "qwen3-0.6b"};
    if (rehearsal) names = {models(true).front().name};
    if (!bench.options.model.empty()) names = {bench.options.model};
    for (const std::string& name : names) {
        const Model& model = model_named(name, rehearsal);
        const Weights weights(bench.device, model);
        for (const int32_t batch : rehearsal ? std::vector<int32_t>{1, 3} : std::vector<int32_t>{1, 8, 64, 256})
            measure_step(bench, model, weights, batch, rehearsal ? 40 : 1024);
    }
}

} // namespace nlm::bench
