// nlm_norm, nlm_activate, nlm_gather_rows, nlm_write_kv, nlm_copy_blocks, nlm_swap_blocks against plain doubles.
#include "fixture.h"
#include "numbers.h"

#include <algorithm>
#include <array>

using namespace nlm::tests;

namespace {

// One rounding to the type, and the fp32 arithmetic before it.
double tolerance(int32_t type, double expected) {
    const double unit = type == NLM_F32 ? 4e-6 : type == NLM_BF16 ? 0x1p-8 : 0x1p-11;
    return unit * std::fabs(expected) + (type == NLM_F32 ? 2e-6 : type == NLM_BF16 ? 1e-5 : 2e-6);
}

void check_close(int32_t type, double found, double expected, const char* what) {
    CHECK(std::fabs(found - expected) <= tolerance(type, expected), "%s type %d: %.9g, expected %.9g", what, type, found,
          expected);
}

struct NormCase {
    int32_t kind, type, columns;
    bool x, residual, store, weight, bias;
    float offset;
};

nlm_norm_args norm_arguments(const NormCase& c, int32_t rows, int64_t x_stride, int64_t out_stride) {
    nlm_norm_args args{};
    args.size = sizeof args;
    args.kind = c.kind;
    args.type = c.type;
    args.columns = c.columns;
    args.rows_max = rows;
    args.x_stride = x_stride;
    args.out_stride = out_stride;
    args.epsilon = 1e-5f;
    args.weight_offset = c.offset;
    return args;
}

void check_norm(const NormCase& c, nlm_isa isa) {
    const int32_t rows = 3;
    TestDevice device(isa, 2);
    Matrix x(c.type, rows, c.columns, c.columns + 3), residual(c.type, rows, c.columns), weight(c.type, 1, c.columns);
    Matrix bias(c.type, 1, c.columns), out(c.type, rows, c.columns, c.columns + 5);
    x.randomize(1, 3);
    residual.randomize(2, 3);
    weight.randomize(3);
    bias.randomize(4);
    Buffer<unsigned char> x_buffer(device, x.data), residual_buffer(device, residual.data), weight_buffer(device, weight.data);
    Buffer<unsigned char> bias_buffer(device, bias.data), out_buffer(device, out.data);
    nlm_norm_args args = norm_arguments(c, rows, x.stride, out.stride);
    args.out = out_buffer.data();
    args.x = c.x ? x_buffer.data() : nullptr;
    args.residual_in = c.residual ? residual_buffer.data() : nullptr;
    args.residual_out = c.store ? residual_buffer.data() : nullptr; // in place, as the engine does
    args.weight = c.weight ? weight_buffer.data() : nullptr;
    args.bias = c.bias ? bias_buffer.data() : nullptr;
    CHECK(nlm_norm(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
    out.data = out_buffer.read();
    Matrix stored = residual;
    stored.data = residual_buffer.read();

    for (int32_t row = 0; row < rows; row++) {
        std::vector<double> s;
        double mean = 0, squares = 0;
        for (int32_t i = 0; i < c.columns; i++) {
            s.push_back(rounded(c.type, (c.x ? x.get(row, i) : 0) + (c.residual ? residual.get(row, i) : 0)));
            if (c.store) CHECK(stored.get(row, i) == s.back(), "residual type %d", c.type);
            mean += s.back() / c.columns;
        }
        if (c.kind == NLM_NORM_RMS) mean = 0;
        for (const double value : s) squares += (value - mean) * (value - mean) / c.columns;
        for (int32_t i = 0; i < c.columns; i++) {
            double expected = (s[static_cast<size_t>(i)] - mean) / std::sqrt(squares + args.epsilon);
            if (c.weight) expected *= weight.get(0, i) + c.offset;
            if (c.bias) expected += bias.get(0, i);
            check_close(c.type, out.get(row, i), expected, target_name(isa));
        }
    }
}

double activated(int32_t kind, double x) {
    switch (kind) {
    case NLM_EPILOGUE_SILU_MUL:
        return x / (1 + std::exp(-x));
    case NLM_EPILOGUE_RELU:
        return std::max(x, 0.0);
    case NLM_EPILOGUE_GELU:
        return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    default:
        return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    }
}

} // namespace

TEST("Norms_agree_with_doubles_in_every_family_type_and_column_count") {
    for (const nlm_isa isa : targets()) {
        for (const int32_t type : float_types()) {
            for (const int32_t kind : {NLM_NORM_RMS, NLM_NORM_LAYER}) {
                for (const int32_t columns : {1, 7, 16, 63, 64, 200, 2048}) {
                    check_norm({kind, type, columns, true, false, false, true, false, 0}, isa);
                    check_norm({kind, type, columns, true, true, true, true, true, 1}, isa);
                    check_norm({kind, type, columns, true, true, false, false, false, 0}, isa);
                    check_norm({kind, type, columns, false, true, false, true, false, 0}, isa);
                }
            }
        }
    }
}

TEST("Norms_of_wide_rows_agree_with_doubles") {
    for (const nlm_isa isa : targets()) {
        for (const int32_t type : {NLM_F32, NLM_BF16}) {
            for (const int32_t columns : {8201, 16384, 16393}) { // past what a GPU keeps of a row in one and two accesses
                check_norm({NLM_NORM_RMS, type, columns, true, true, true, true, false, 0}, isa);
                if (!quick()) check_norm({NLM_NORM_LAYER, type, columns, true, true, false, true, true, 0}, isa);
            }
        }
    }
}

// Where every row starts at a multiple of 16 bytes a GPU moves eight columns at a time, elsewhere one by one.
TEST("Aligned_and_misaligned_rows_have_the_same_bits") {
    const int32_t rows = 3;
    for (const nlm_isa isa : targets()) {
        TestDevice device(isa, 2);
        for (const int32_t type : float_types()) {
            const auto size = static_cast<size_t>(bytes_of(type));
            for (const int32_t columns : {16, 72, 1000, 8192, 16384, 16448}) {
                Matrix x(type, rows, 2 * columns), residual(type, rows, columns), weight(type, 2, columns);
                x.randomize(1, 3);
                residual.randomize(2, 3);
                weight.randomize(3);
                const size_t out_bytes = residual.data.size();
                std::vector<std::vector<unsigned char>> results;
                for (const size_t shift : {size_t{0}, size}) {
                    const auto shifted = [&](const std::vector<unsigned char>& values) {
                        std::vector<unsigned char> moved(shift);
                        moved.insert(moved.end(), values.begin(), values.end());
                        return moved;
                    };
                    Buffer<unsigned char> in(device, shifted(x.data)), sum(device, shifted(residual.data));
                    Buffer<unsigned char> weights(device, shifted(weight.data)), out(device, out_bytes + shift);
                    nlm_norm_args args = norm_arguments({NLM_NORM_LAYER, type, columns, true, true, true, true, true, 1}, rows,
                                                        2 * columns, columns);
                    args.x = in.data() + shift;
                    args.residual_in = args.residual_out = sum.data() + shift;
                    args.weight = weights.data() + shift;
                    args.bias = weights.data() + shift + static_cast<size_t>(columns) * size;
                    args.out = out.data() + shift;
                    const auto keep = [&](const Buffer<unsigned char>& buffer) {
                        const std::vector<unsigned char> all = buffer.read();
                        results.emplace_back(all.begin() + static_cast<std::ptrdiff_t>(shift), all.end());
                    };
                    CHECK(nlm_norm(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
                    keep(out);
                    keep(sum);
                    nlm_activate_args activate{sizeof activate,
                                               NLM_EPILOGUE_SILU_MUL,
                                               out.data() + shift,
                                               in.data() + shift,
                                               nullptr,
                                               rows,
                                               columns,
                                               type};
                    CHECK(nlm_activate(device.stream(), &activate) == NLM_OK, "%s", nlm_last_error());
                    keep(out);
                    Buffer<int32_t> indices(device, std::vector<int32_t>{2, 0, 1});
                    nlm_gather_rows_args gather{
                        sizeof gather, type,   out.data() + shift, sum.data() + shift, indices.data(), nullptr, rows,
                        rows,          columns};
                    CHECK(nlm_gather_rows(device.stream(), &gather) == NLM_OK, "%s", nlm_last_error());
                    keep(out);
                }
                for (size_t i = 0; i < 4; i++)
                    CHECK(results[i] == results[i + 4], "%s type %d, %d columns: result %zu", target_name(isa), type, columns, i);
            }
        }
    }
}

TEST("A_normed_row_has_the_same_bits_alone_and_among_many_for_any_thread_count") {
    const int32_t rows = 100, columns = 1000;
    for (const nlm_isa isa : targets()) {
        const NormCase c{NLM_NORM_RMS, NLM_F32, columns, true, false, false, false, false, 0};
        Matrix x(NLM_F32, rows, columns);
        x.randomize(5);
        std::vector<std::vector<unsigned char>> results;
        for (const int threads : thread_counts({1, 3})) {
            TestDevice device(isa, threads);
            Buffer<unsigned char> in(device, x.data), out(device, x.data.size()), alone(device, x.data.size());
            nlm_norm_args args = norm_arguments(c, rows, columns, columns);
            args.out = out.data();
            args.x = in.data();
            CHECK(nlm_norm(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
            for (int32_t row = 0; row < rows; row++) {
                args.rows_max = 1;
                args.x = in.data() + row * columns * 4;
                args.out = alone.data() + row * columns * 4;
                CHECK(nlm_norm(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
            }
            results.push_back(out.read());
            results.push_back(alone.read());
        }
        for (const auto& result : results) CHECK(result == results[0], "%s", target_name(isa));
    }
}

TEST("Activations_agree_with_doubles_in_every_family_and_type") {
    for (const nlm_isa isa : targets()) {
        TestDevice device(isa, 2);
        for (const int32_t type : float_types()) {
            for (const int32_t kind : {NLM_EPILOGUE_SILU_MUL, NLM_EPILOGUE_RELU, NLM_EPILOGUE_GELU, NLM_EPILOGUE_GELU_TANH,
                                       NLM_EPILOGUE_GELU_TANH_MUL}) {
                const bool gated = kind == NLM_EPILOGUE_SILU_MUL || kind == NLM_EPILOGUE_GELU_TANH_MUL;
                for (const int32_t columns : {1, 15, 16, 33}) {
                    Matrix x(type, 4, gated ? 2 * columns : columns), out(type, 4, columns);
                    x.randomize(7, 12);
                    Buffer<unsigned char> in(device, x.data), result(device, out.data);
                    Buffer<int32_t> count(device, std::vector<int32_t>{3});
                    nlm_activate_args args{sizeof args, kind, result.data(), in.data(), count.data(), 4, columns, type};
                    CHECK(nlm_activate(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
                    out.data = result.read();
                    for (int32_t row = 0; row < 4; row++) {
                        for (int32_t i = 0; i < columns; i++) {
                            const double y = activated(kind, x.get(row, i)) * (gated ? x.get(row, columns + i) : 1);
                            // 1 + tanh cancels for negative x, and a gated product magnifies what is left
                            const double expected = row < 3 ? y : 0, slack = 2e-5;
                            CHECK(std::fabs(out.get(row, i) - expected) <= tolerance(type, expected) + slack,
                                  "%s kind %d type %d: %g of %g, expected %g", target_name(isa), kind, type, out.get(row, i),
                                  x.get(row, i), expected);
                        }
                    }
                }
            }
        }
    }
}

TEST("Gathered_rows_are_exact_and_negative_indices_leave_a_row_alone") {
    TestDevice device;
    Buffer<float> x(device, std::vector<float>{1, 2, 3, 4, 5, 6}), out(device, std::vector<float>(8, 9.0f));
    Buffer<int32_t> indices(device, std::vector<int32_t>{2, -1, 0, 2}), count(device, std::vector<int32_t>{3});
    nlm_gather_rows_args args{sizeof args, NLM_F32, out.data(), x.data(), indices.data(), count.data(), 4, 3, 2};
    CHECK(nlm_gather_rows(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
    CHECK((out.read() == std::vector<float>{5, 6, 9, 9, 1, 2, 9, 9}));
    indices.write({3}, 1);
    check_refused_or_harmless(device, nlm_gather_rows(device.stream(), &args), "indices[1]");
}

TEST("Query_norm_and_rotation_agree_with_doubles_in_both_styles") {
    const int32_t rows = 5, heads = 3, positions = 40;
    for (const nlm_isa isa : targets()) {
        TestDevice device(isa, 2);
        for (const int32_t type : float_types()) {
            for (const auto& [dim, rotary] : {std::array{8, 8}, std::array{64, 64}, std::array{80, 32}, std::array{24, 6}}) {
                for (const int32_t style : {NLM_ROPE_NONE, NLM_ROPE_HALF_SPLIT, NLM_ROPE_INTERLEAVED}) {
                    for (const bool norm : {false, true}) {
                        nlm_kv_cache cache{sizeof cache, type, nullptr, 2, 8, 1, 1, dim};
                        Buffer<unsigned char> pool(device, static_cast<size_t>(2 * nlm_kv_block_bytes(&cache)));
                        cache.data = pool.data();
                        Matrix qkv(type, rows, (heads + 2) * dim), weight(type, 1, dim), q(type, rows, heads * dim);
                        qkv.randomize(11, 2);
                        weight.randomize(12);
                        q.fill([](int64_t, int64_t) { return 9; });
                        Matrix table(NLM_F32, positions, rotary);
                        table.fill([&, rotary = rotary](int64_t p, int64_t i) {
                            const int64_t pair = i % (rotary / 2);
                            const double angle =
                                static_cast<double>(p) * std::pow(100, -2.0 * static_cast<double>(pair) / rotary);
                            return i < rotary / 2 ? std::cos(angle) : std::sin(angle);
                        });
                        Buffer<unsigned char> in(device, qkv.data), out(device, q.data), norms(device, weight.data);
                        Buffer<unsigned char> angles(device, table.data);
                        const std::vector<int32_t> places{0, 39, 7, 1000, 3};
                        Buffer<int32_t> place_buffer(device, places);
                        Buffer<int32_t> slots(device, std::vector<int32_t>{15, 0, 3, 8, -1});
                        nlm_write_kv_args args{};
                        args.size = sizeof args;
                        args.type = type;
                        args.q_out = out.data();
                        args.cache = &cache;
                        args.qkv = in.data();
                        args.q_norm = args.k_norm = norm ? norms.data() : nullptr;
                        args.rope_table = reinterpret_cast<const float*>(angles.data());
                        args.positions = place_buffer.data();
                        args.slots = slots.data();
                        args.rows_max = rows;
                        args.q_head_count = heads;
                        args.positions_max = positions;
                        args.rotary_dim = rotary;
                        args.rope_style = style;
                        args.norm_epsilon = 1e-6f;
                        CHECK(nlm_write_kv(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
                        q.data = out.read();
                        for (int32_t row = 0; row < rows; row++) {
                            const int32_t position = std::min(places[static_cast<size_t>(row)], positions - 1);
                            for (int32_t head = 0; head < heads; head++) {
                                std::vector<double> x;
                                double squares = 0;
                                for (int32_t i = 0; i < dim; i++) {
                                    x.push_back(qkv.get(row, head * dim + i));
                                    squares += x.back() * x.back() / dim;
                                }
                                if (norm)
                                    for (int32_t i = 0; i < dim; i++)
                                        x[static_cast<size_t>(i)] *= weight.get(0, i) / std::sqrt(squares + 1e-6);
                                for (int32_t pair = 0; style != NLM_ROPE_NONE && pair < rotary / 2; pair++) {
                                    const bool split = style == NLM_ROPE_HALF_SPLIT;
                                    double& a = x[static_cast<size_t>(split ? pair : 2 * pair)];
                                    double& b = x[static_cast<size_t>(split ? pair + rotary / 2 : 2 * pair + 1)];
                                    const double cosine = table.get(position, pair),
                                                 sine = table.get(position, pair + rotary / 2);
                                    const double turned = a * cosine - b * sine;
                                    b = b * cosine + a * sine;
                                    a = turned;
                                }
                                for (int32_t i = 0; i < dim; i++)
                                    check_close(type, q.get(row, head * dim + i), row == 4 ? 9 : x[static_cast<size_t>(i)], "q");
                            }
                        }
                    }
                }
            }
        }
    }
}

// A rotated key against a rotated query: the score, and so the attention, depends on their distance only.
TEST("Keys_are_normed_and_rotated_like_queries") {
    for (const nlm_isa isa : targets()) {
        TestDevice device(isa, 1);
        const int32_t dim = 16;
        nlm_kv_cache cache{sizeof cache, NLM_F32, nullptr, 1, 8, 1, 1, dim};
        Buffer<unsigned char> pool(device, static_cast<size_t>(nlm_kv_block_bytes(&cache)));
        cache.data = pool.data();
        Matrix qkv(NLM_F32, 3, 3 * dim), table(NLM_F32, 100, dim);
        qkv.randomize(21, 1);
        table.fill([&](int64_t p, int64_t i) {
            const double angle = static_cast<double>(p) * std::pow(50, -static_cast<double>(i % 8) / 8);
            return i < 8 ? std::cos(angle) : std::sin(angle);
        });
        const auto attend = [&](int32_t shift) {
            Buffer<unsigned char> in(device, qkv.data), angles(device, table.data);
            Buffer<float> q(device, 3 * dim), out(device, 3 * dim);
            Buffer<int32_t> places(device, std::vector<int32_t>{shift, shift + 1, shift + 2}),
                slots(device, std::vector<int32_t>{0, 1, 2});
            Buffer<int32_t> starts(device, std::vector<int32_t>{0, 3}), lengths(device, std::vector<int32_t>{3}),
                blocks(device, 1);
            nlm_write_kv_args write{};
            write.size = sizeof write;
            write.q_out = q.data();
            write.cache = &cache;
            write.qkv = in.data();
            write.rope_table = reinterpret_cast<const float*>(angles.data());
            write.positions = places.data();
            write.slots = slots.data();
            write.rows_max = 3;
            write.q_head_count = 1;
            write.positions_max = 100;
            write.rotary_dim = dim;
            write.rope_style = NLM_ROPE_HALF_SPLIT;
            CHECK(nlm_write_kv(device.stream(), &write) == NLM_OK, "%s", nlm_last_error());
            nlm_paged_attention_args args{};
            args.size = sizeof args;
            args.out = out.data();
            args.q = q.data();
            args.cache = &cache;
            args.query_starts = starts.data();
            args.lengths = lengths.data();
            args.block_tables = blocks.data();
            args.rows_max = 3;
            args.sequences_max = args.q_head_count = args.table_count = args.table_stride = 1;
            args.length_max = 8;
            args.scale = 2;
            args.workspace_bytes = nlm_paged_attention_workspace_bytes(&args);
            Buffer<unsigned char> workspace(device, static_cast<size_t>(args.workspace_bytes));
            args.workspace = workspace.data();
            CHECK(nlm_paged_attention(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
            return out.read();
        };
        const std::vector<float> here = attend(0), there = attend(61);
        for (size_t i = 0; i < here.size(); i++) CHECK(std::fabs(here[i] - there[i]) < 1e-4f, "%s", target_name(isa));
    }
}

TEST("Copied_and_swapped_blocks_carry_every_layer_and_wrong_ids_are_refused") {
    TestDevice device;
    nlm_kv_cache cache{sizeof cache, NLM_BF16, nullptr, 5, 16, 3, 2, 24};
    const int64_t bytes = nlm_kv_block_bytes(&cache);
    CHECK(bytes >= 3 * 2 * 2 * 16 * 24 * 2);
    Buffer<unsigned char> pool(device, static_cast<size_t>(5 * bytes));
    cache.data = pool.data();
    std::vector<unsigned char> before(pool.size());
    for (size_t i = 0; i < before.size(); i++)
        before[i] = static_cast<unsigned char>(i / static_cast<size_t>(bytes) * 40 + i % 37);
    pool.write(before);
    PinnedMemory host(device, static_cast<size_t>(2 * bytes));
    const auto block = [&](const std::vector<unsigned char>& from, int64_t id) {
        return std::vector<unsigned char>(from.begin() + id * bytes, from.begin() + (id + 1) * bytes);
    };
    const int32_t pairs[] = {0, 3, 1, 4};
    CHECK(nlm_copy_blocks(device.stream(), &cache, pairs, 2) == NLM_OK, "%s", nlm_last_error());
    CHECK(block(pool.read(), 3) == block(before, 0) && block(pool.read(), 4) == block(before, 1));
    for (int64_t id = 0; id < 3; id++) CHECK(block(pool.read(), id) == block(before, id));
    const int32_t out[] = {2, 0, 0, 1}, in[] = {4, 0};
    CHECK(nlm_swap_blocks(device.stream(), &cache, host.data(), 2, out, 2, NLM_SWAP_OUT) == NLM_OK, "%s", nlm_last_error());
    device.synchronize();
    CHECK(block(host.copy(), 0) == block(before, 2) && block(host.copy(), 1) == block(before, 0));
    CHECK(nlm_swap_blocks(device.stream(), &cache, host.data(), 2, in, 1, NLM_SWAP_IN) == NLM_OK, "%s", nlm_last_error());
    CHECK(block(pool.read(), 4) == block(before, 2));

    const std::vector<unsigned char> swapped = pool.read();
    const int32_t high[] = {0, 5}, negative[] = {-1, 0};
    check_refused_or_harmless(device, nlm_copy_blocks(device.stream(), &cache, high, 1), "pairs[1]");
    check_refused_or_harmless(device, nlm_copy_blocks(device.stream(), &cache, negative, 1), "pairs[0]");
    CHECK(pool.read() == swapped, "an id outside the pool moved something");
    const int32_t host_high[] = {0, 2};
    CHECK(refused_by_name(nlm_copy_blocks(device.stream(), &cache, pairs, -1), "pair_count"), "%s", nlm_last_error());
    CHECK(refused_by_name(nlm_copy_blocks(device.stream(), &cache, nullptr, 1), "pairs"), "%s", nlm_last_error());
    CHECK(refused_by_name(nlm_swap_blocks(device.stream(), &cache, host.data(), 2, host_high, 1, NLM_SWAP_OUT), "pairs[1]"), "%s",
          nlm_last_error());
    CHECK(refused_by_name(nlm_swap_blocks(device.stream(), &cache, nullptr, 2, out, 2, NLM_SWAP_OUT), "host_pool"), "%s",
          nlm_last_error());
    CHECK(refused_by_name(nlm_swap_blocks(device.stream(), &cache, host.data(), 2, out, 2, 7), "direction"), "%s",
          nlm_last_error());
    CHECK(nlm_copy_blocks(device.stream(), &cache, nullptr, 0) == NLM_OK, "%s", nlm_last_error());
}

TEST("Wrong_row_arguments_are_refused_with_their_name") {
    TestDevice device;
    Buffer<float> x(device, 64), out(device, 64);
    nlm_norm_args norm = norm_arguments({NLM_NORM_RMS, NLM_F32, 8, true, false, false, false, false, 0}, 2, 8, 8);
    norm.x = x.data();
    norm.out = out.data();
    CHECK(nlm_norm(device.stream(), &norm) == NLM_OK, "%s", nlm_last_error());
    const auto norm_refuses = [&](const char* name, const auto& change) {
        nlm_norm_args args = norm;
        change(args);
        CHECK(refused_by_name(nlm_norm(device.stream(), &args), name), "%s: %s", name, nlm_last_error());
    };
    norm_refuses("size", [](auto& a) { a.size = 0; });
    norm_refuses("kind", [](auto& a) { a.kind = 2; });
    norm_refuses("type", [](auto& a) { a.type = NLM_I32; });
    norm_refuses("columns", [](auto& a) { a.columns = 0; });
    norm_refuses("rows_max", [](auto& a) { a.rows_max = -1; });
    norm_refuses("x_stride", [](auto& a) { a.x_stride = 7; });
    norm_refuses("overflow", [](auto& a) { a.x_stride = INT64_MAX / 2; });
    norm_refuses("out", [](auto& a) { a.out = nullptr; });
    norm_refuses("x", [](auto& a) { a.x = nullptr; });
    norm_refuses("x", [](auto& a) { a.x = static_cast<const char*>(a.x) + 1; });
    norm_refuses("epsilon", [](auto& a) { a.epsilon = -1; });
    CHECK(refused_by_name(nlm_norm(nullptr, &norm), "stream") && refused_by_name(nlm_norm(device.stream(), nullptr), "args"));

    nlm_activate_args activate{sizeof activate, NLM_EPILOGUE_NONE, out.data(), x.data(), nullptr, 2, 8, NLM_F32};
    CHECK(refused_by_name(nlm_activate(device.stream(), &activate), "kind"));
    activate.kind = NLM_EPILOGUE_GELU;
    activate.x = nullptr;
    CHECK(refused_by_name(nlm_activate(device.stream(), &activate), "x"));
    CHECK(refused_by_name(nlm_activate(device.stream(), nullptr), "args"));

    nlm_kv_cache cache{sizeof cache, NLM_F32, nullptr, 2, 8, 1, 1, 8};
    Buffer<unsigned char> pool(device, static_cast<size_t>(2 * nlm_kv_block_bytes(&cache)));
    cache.data = pool.data();
    Buffer<int32_t> slots(device, std::vector<int32_t>{0, 15});
    nlm_write_kv_args write{};
    write.size = sizeof write;
    write.q_out = out.data();
    write.cache = &cache;
    write.qkv = x.data();
    write.slots = slots.data();
    write.rows_max = 2;
    write.q_head_count = 1;
    CHECK(nlm_write_kv(device.stream(), &write) == NLM_OK, "%s", nlm_last_error());
    const std::vector<unsigned char> before = pool.read();
    for (const int32_t outside : {16, -2, INT32_MAX, INT32_MIN}) {
        slots.write({-1, outside});
        check_refused_or_harmless(device, nlm_write_kv(device.stream(), &write), "slots[1]");
        CHECK(pool.read() == before, "slot %d was written", outside);
    }
    slots.write({0, 1});
    write.rope_style = NLM_ROPE_HALF_SPLIT;
    CHECK(refused_by_name(nlm_write_kv(device.stream(), &write), "rotary_dim"));
    write.rotary_dim = 10;
    CHECK(refused_by_name(nlm_write_kv(device.stream(), &write), "rotary_dim"));
    write.rotary_dim = 8;
    write.positions_max = 4;
    CHECK(refused_by_name(nlm_write_kv(device.stream(), &write), "rope_table"));
    cache.block_count = INT32_MAX;
    CHECK(refused_by_name(nlm_write_kv(device.stream(), &write), "cache"));
}
