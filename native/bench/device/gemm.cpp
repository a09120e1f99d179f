// Linear layers: bf16, every layer of every model, from one row (decode) to thousands (prefill). Weights are rotated over more
// memory than the cache holds.
#include "bench.h"

#include <algorithm>
#include <memory>

namespace nlm::bench {

namespace {

constexpr double megabyte = 1e6;

Target target_for(const Linear& layer, int rows) {
    const double weight = 2.0 * layer.n * layer.k;
    if (rows <= 16 && weight >= 100 * megabyte) return {Target::FloorPercent, 88};
    if (rows <= 16 && weight >= 30 * megabyte) return {Target::FloorPercent, 75};
    if (rows >= 2048 && weight >= 30 * megabyte) return {Target::TeraflopPerSecond, 400};
    return {};
}

// Buffers for the widest layer of a model at the most rows, shared by all of them.
class Gemms {
public:
    Gemms(Bench& bench, const Model& model, int rows_max)
        : bench_(bench), layers_(linear_layers(model)), arena_(random_bf16(bench.device, arena_bytes())),
          x_(random_bf16(bench.device, int64_t{2} * rows_max * widest_k())),
          out_(bench.device, int64_t{4} * rows_max * widest_n()), workspace_(bench.device, workspace_bytes(rows_max)) {}

    const std::vector<Linear>& layers() const { return layers_; }

    // hopper: the card opened with the kernels for sm_90a, or null. Both read the same packed weights.
    void measure(const std::string& name, const Linear& layer, int rows, const Device* hopper) {
        const int64_t packed = nlm_packed_weight_bytes(NLM_BF16, layer.n, layer.k), stride = (packed + 255) / 256 * 256;
        const int64_t copies = arena_.bytes() / stride;
        const auto call_on = [&](nlm_stream* stream) {
            return [&, stream, stride, copies](int index) {
                nlm_gemm_args args = arguments(layer, rows);
                args.weight = arena_.data() + index % copies * stride;
                require(nlm_gemm(stream, &args));
            };
        };
        Work work;
        work.read = 2.0 * layer.n * layer.k + 2.0 * rows * layer.k;
        work.written = (layer.type_out == NLM_F32 ? 4.0 : 2.0) * rows * layer.out_columns();
        work.operations = 2.0 * rows * layer.n * layer.k;
        const double bytes = static_cast<double>(packed);
        std::vector<Contestant> contestants{{"nlm_gemm", call_on(bench_.device.stream()), bytes, target_for(layer, rows)}};
        if (hopper != nullptr) contestants.push_back({"sm_90a", call_on(hopper->stream()), bytes, {}, hopper->stream()});
        bench_.measure(name, work, contestants);
    }

private:
    int64_t widest_k() const {
        int64_t k = 0;
        for (const Linear& layer : layers_) k = std::max<int64_t>(k, layer.k);
        return k;
    }
    int64_t widest_n() const {
        int64_t n = 0;
        for (const Linear& layer : layers_) n = std::max<int64_t>(n, layer.out_columns());
        return n;
    }
    // At least three copies of the largest weight and more than the cache.
    int64_t arena_bytes() const {
        int64_t bytes = bench_.is_rehearsal() ? 1 << 20 : int64_t{512} << 20;
        for (const Linear& layer : layers_)
            bytes = std::max(bytes, 3 * nlm_packed_weight_bytes(NLM_BF16, layer.n, layer.k) + 1024);
        return bytes;
    }
    int64_t workspace_bytes(int rows_max) const {
        int64_t bytes = 64;
        for (const Linear& layer : layers_) {
            const nlm_gemm_args args = arguments(layer, rows_max);
            bytes = std::max(bytes, nlm_gemm_workspace_bytes(&args));
        }
        return bytes;
    }

    nlm_gemm_args arguments(const Linear& layer, int rows) const {
        nlm_gemm_args args{};
        args.size = sizeof args;
        args.epilogue = layer.epilogue;
        args.out = out_.data();
        args.x = x_.data();
        args.workspace = workspace_.data();
        args.workspace_bytes = workspace_.bytes();
        args.x_stride = layer.k;
        args.out_stride = layer.out_columns();
        args.rows_max = rows;
        args.n = layer.n;
        args.k = layer.k;
        args.type_x = args.type_weight = NLM_BF16;
        args.type_out = layer.type_out;
        return args;
    }

    Bench& bench_;
    const std::vector<Linear> layers_;
    const Memory arena_, x_, out_, workspace_;
};

std::vector<int> row_counts(const Bench& bench) {
    if (bench.is_rehearsal()) return {1, 17};
    if (bench.options.quick) return {1, 16, 64, 256, 2048};
    return {1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 2048, 8192};
}

constexpr int logit_rows_max = 1024; // logits of a whole prefill are never computed

} // namespace

void bench_gemm(Bench& bench) {
    const std::unique_ptr<const Device> hopper = bench.options.sm90a ? std::make_unique<const Device>(true) : nullptr;
    for (const Model& model : bench.chosen_models()) {
        const std::vector<int> rows = row_counts(bench);
        Gemms gemms(bench, model, rows.back());
        for (const Linear& layer : gemms.layers())
            for (const int count : rows)
                if (layer.count > 1 || count <= logit_rows_max)
                    gemms.measure(std::string("gemm ") + model.name + " " + layer.name + " M=" + std::to_string(count), layer,
                                  count, hopper.get());
    }
}

} // namespace nlm::bench
