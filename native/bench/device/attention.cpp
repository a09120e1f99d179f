// Paged attention: decode over batch x context x heads, block sizes, shuffled against ascending blocks; prefill and extension.
#include "paged_batch.h"

#include <algorithm>
#include <memory>

namespace nlm::bench {

namespace {

struct Shape {
    Heads heads;
    int32_t layers;

    std::string name() const {
        return std::to_string(heads.q) + "/" + std::to_string(heads.kv) + "/" + std::to_string(heads.dim);
    }
    int64_t kv_bytes(int64_t tokens) const { return tokens * 2 * heads.kv * heads.dim * 2; }
};

// Query heads / KV heads / head dim of Llama-3.1-8B (and Qwen3-8B), Llama-2-13B (and OPT-13B), Qwen3-0.6B, and a small head.
std::vector<Shape> head_shapes(const Bench& bench) {
    if (bench.is_rehearsal()) return {{{4, 2, 64}, 2}};
    const std::vector<Shape> all{{{32, 8, 128}, 32}, {{40, 40, 128}, 40}, {{16, 8, 128}, 28}, {{32, 8, 64}, 32}};
    return bench.options.quick ? std::vector<Shape>{all[0], all[1]} : all;
}

// A block holds all layers, so a layer's keys lie far apart, as when serving. As many layers as the memory allows; 0: not even
// one.
int32_t layers_that_fit(const Bench& bench, const Shape& shape, int64_t tokens) {
    const int64_t budget = std::min<int64_t>(bench.device.free_bytes() / 10 * 7, int64_t{48} << 30);
    return static_cast<int32_t>(std::min<int64_t>(shape.layers, budget / shape.kv_bytes(tokens)));
}

std::vector<SequenceShape> decoding(int32_t batch, int32_t context) {
    return std::vector<SequenceShape>(static_cast<size_t>(batch), SequenceShape{context, 1});
}

Contestant contestant(const std::string& name, const PagedBatch& batch, BlockOrder order, Target target = {}) {
    return {name, [&batch, order](int index) { batch.attend(index, order); }, batch.work().read, target};
}

Contestant paper_contestant(const std::string& name, const PagedBatch& batch) {
    return {name, [&batch](int index) { batch.attend_as_in_paper(index); }, batch.work().read};
}

constexpr int32_t default_block = 16;
constexpr double paged_over_contiguous = 1.05;

void measure_batch(Bench& bench, const std::string& name, const Shape& shape, std::vector<SequenceShape> sequences, Target target,
                   int32_t window = 0) {
    int64_t tokens = 0;
    for (const SequenceShape& sequence : sequences) tokens += sequence.length;
    const int32_t layers = layers_that_fit(bench, shape, tokens);
    if (layers == 0) return;
    const bool is_decode =
        std::all_of(sequences.begin(), sequences.end(), [](const SequenceShape& s) { return s.query_rows == 1; });
    const PagedBatch batch(bench, shape.heads, layers, default_block, std::move(sequences), window);
    std::vector<Contestant> contestants{
        contestant("paged", batch, BlockOrder::Shuffled, target),
        contestant("blocks ascending", batch, BlockOrder::Ascending, {Target::RatioMost, paged_over_contiguous})};
    if (is_decode && batch.fits_paper()) contestants.push_back(paper_contestant("the paper's kernel", batch));
    bench.measure(name, batch.work(), contestants);
}

void measure_decode(Bench& bench, const Shape& shape, int32_t batch, int32_t context) {
    const int64_t keys = int64_t{batch} * context * shape.heads.kv;
    Target target;
    if (keys >= 512 << 10)
        target = {Target::FloorPercent, 85};
    else if (batch == 8 && context == 2048)
        target = {Target::FloorPercent, 65};
    measure_batch(bench, "decode " + shape.name() + " B=" + std::to_string(batch) + " ctx=" + std::to_string(context), shape,
                  decoding(batch, context), target);
}

// The paper's Figure 18: the same batch at each block size, by our kernel and by the paper's.
void measure_block_sizes(Bench& bench, const Shape& shape, int32_t batch, int32_t context) {
    const int32_t layers = std::min(shape.layers, 4); // five pools live side by side
    std::vector<std::unique_ptr<PagedBatch>> batches;
    std::vector<Contestant> ours, papers;
    for (const int32_t block : {16, 8, 32, 64, 128}) {
        batches.push_back(std::make_unique<PagedBatch>(bench, shape.heads, layers, block, decoding(batch, context)));
        const std::string size = "block size " + std::to_string(block);
        ours.push_back(contestant(size, *batches.back(), BlockOrder::Shuffled));
        if (batches.back()->fits_paper()) papers.push_back(paper_contestant("the paper's kernel, " + size, *batches.back()));
    }
    ours.insert(ours.end(), papers.begin(), papers.end());
    bench.measure("decode " + shape.name() + " B=" + std::to_string(batch) + " ctx=" + std::to_string(context) + " block size 16",
                  batches.front()->work(), ours);
}

struct BatchSize {
    int32_t batch, context;
};

std::vector<BatchSize> decode_sizes(const Bench& bench) {
    if (bench.is_rehearsal()) return {{1, 40}, {3, 130}};
    if (bench.options.quick) return {{1, 4096}, {8, 2048}, {32, 4096}, {64, 2048}};
    std::vector<BatchSize> sizes;
    for (const int32_t batch : {1, 8, 32, 64, 256})
        for (const int32_t context : {128, 1024, 2048, 4096, 16384, 65536}) sizes.push_back({batch, context});
    return sizes;
}

struct PrefillCase {
    const char* name;
    int32_t sequences;
    SequenceShape each;
    int32_t window;
};

std::vector<PrefillCase> prefill_cases(const Bench& bench) {
    if (bench.is_rehearsal())
        return {{"1x70", 1, {70, 70}, 0}, {"extend 20 on 130", 1, {150, 20}, 0}, {"window 64", 1, {150, 150}, 64}};
    const std::vector<PrefillCase> all{{"1x8K", 1, {8192, 8192}, 0},
                                       {"4x2K", 4, {2048, 2048}, 0},
                                       {"16x512", 16, {512, 512}, 0},
                                       {"extend 512 on 8K", 1, {8704, 512}, 0},
                                       {"1x8K window 4K", 1, {8192, 8192}, 4096}};
    return all;
}

} // namespace

void bench_attention_decode(Bench& bench) {
    for (const Shape& shape : head_shapes(bench)) {
        for (const BatchSize& size : decode_sizes(bench)) measure_decode(bench, shape, size.batch, size.context);
        const int32_t batch = bench.is_rehearsal() ? 2 : 64, context = bench.is_rehearsal() ? 40 : 1024;
        measure_block_sizes(bench, shape, batch, context);
        // Decoding sequences beside one prompt of 512 tokens.
        std::vector<SequenceShape> mixed = decoding(bench.is_rehearsal() ? 2 : 60, bench.is_rehearsal() ? 40 : 2048);
        mixed.push_back(bench.is_rehearsal() ? SequenceShape{33, 33} : SequenceShape{512, 512});
        measure_batch(bench, "mixed " + shape.name() + " 60x2K decode + 512 prefill", shape, mixed, {});
    }
}

void bench_attention_prefill(Bench& bench) {
    for (const Shape& shape : head_shapes(bench))
        for (const PrefillCase& prefill : prefill_cases(bench)) {
            const bool is_goal = prefill.each.length == 8192 && prefill.window == 0 && shape.heads.dim == 128;
            const std::vector<SequenceShape> sequences(static_cast<size_t>(prefill.sequences), prefill.each);
            measure_batch(bench, "prefill " + shape.name() + " " + prefill.name, shape, sequences,
                          is_goal ? Target{Target::TeraflopPerSecond, 320} : Target{}, prefill.window);
        }
}

} // namespace nlm::bench
