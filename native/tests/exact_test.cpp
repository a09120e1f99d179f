// Exact inputs: small whole numbers, whose sums and products every storage type and every order of addition holds exactly. So
// each backend must give the bits of the true answer, and errors of layout and masking cannot hide in a tolerance.
#include "attention_cases.h"
#include "gemm_cases.h"

#include <array>
#include <tuple>

using namespace nlm::tests;

namespace {

void randomize_integers(Matrix& matrix, uint64_t seed, int limit) {
    Random random(seed);
    matrix.fill([&](int64_t, int64_t) { return random.integer(-limit, limit); });
}

// The bytes of a matrix of these values.
std::vector<unsigned char> encoded(const Matrix& shape, const auto& value_of) {
    Matrix result = shape;
    for (int64_t row = 0; row < result.rows; ++row)
        for (int64_t column = 0; column < result.columns; ++column) result.set(row, column, value_of(row, column));
    return result.data;
}

void check_gemm(nlm_isa isa, const GemmCase& c, uint64_t seed) {
    GemmData data(c, seed);
    // Products up to 4 and k up to 600 stay below 2^11 with margin, so f16 outputs are exact; bf16 ones take fewer terms.
    const int limit = c.type_out == NLM_BF16 && c.k > 60 ? 1 : 2;
    randomize_integers(data.x, seed, limit);
    Random random(seed + 1);
    // bf16 has 8 bits: few terms per sum, spread over all of k.
    const int64_t terms = c.type_out == NLM_BF16 ? std::min(c.k, 60) : c.k;
    data.weight.fill([&](int64_t row, int64_t column) {
        const int value = random.integer(-limit, limit);
        return (column + row) * terms % c.k < terms ? value : 0;
    });
    randomize_integers(data.bias, seed + 2, 3);
    randomize_integers(data.out, seed + 3, 3);
    const Matrix* bias = c.bias ? &data.bias : nullptr;
    const std::vector<double> expected = reference_gemm(c, data.x, data.weight, bias, data.out);
    TestDevice device(isa);
    const GemmOperands operands(device, c, data.x, data.weight, bias, data.out);
    const nlm_gemm_args args = operands.arguments();
    CHECK(nlm_gemm(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
    const std::vector<unsigned char> wanted = encoded(
        data.out, [&](int64_t row, int64_t column) { return expected[static_cast<size_t>(row * c.out_columns() + column)]; });
    CHECK(operands.out().read() == wanted, "%s %s -> %s m %d n %d k %d epilogue %d bias %d residual %d", target_name(isa),
          type_name(c.type), type_name(c.type_out), c.m, c.n, c.k, c.epilogue, c.bias, c.residual);
}

// A query is 64 times a unit vector and keys are whole, so the best visible key by that coordinate takes all of the softmax: what
// the others weigh, exp(-64) or less beside 1, is lost when it is added to a value of 1 or more.
class Lookup {
public:
    explicit Lookup(const AttentionCase& c, nlm_isa isa, uint64_t layout_seed) : case_(c), run_(c, isa, 2, layout_seed) {
        for (size_t sequence = 0; sequence < c.lengths.size(); ++sequence) fill(sequence);
    }

    void check(int32_t chunk, int32_t decoded) {
        run_.run(chunked(case_, chunk, decoded));
        for (size_t sequence = 0; sequence < case_.lengths.size(); ++sequence) {
            const std::vector<unsigned char> wanted =
                encoded(run_.output(sequence), [&](int64_t row, int64_t column) { return answer(sequence, row, column); });
            CHECK(run_.output(sequence).data == wanted,
                  "%s heads %d/%d dim %d block %d window %d split %d: sequence %zu of %d keys", type_name(case_.type),
                  case_.q_heads, case_.kv_heads, case_.head_dim, case_.block_size, case_.window, case_.split_keys, sequence,
                  case_.lengths[sequence]);
        }
    }

private:
    // Of up to 251 tokens, no two have the same key in a coordinate.
    static constexpr int key_values = 251;
    int64_t key(int64_t token, int64_t dim) const { return (token * (dim % 7 + 3) + dim * 11) % key_values; }
    int64_t coordinate(int64_t token, int64_t head) const { return (token * 5 + head * 3) % case_.head_dim; }

    void fill(size_t sequence) {
        run_.qkv(sequence).fill([&](int64_t token, int64_t column) -> double {
            const int64_t head = column / case_.head_dim, dim = column % case_.head_dim;
            if (head < case_.q_heads) return dim == coordinate(token, head) ? 64 : 0;
            if (head < case_.q_heads + case_.kv_heads) return static_cast<double>(key(token, dim));
            return static_cast<double>((token * 13 + dim * 3 + head * 17 + static_cast<int64_t>(sequence)) % 127 + 1);
        });
    }

    double answer(size_t sequence, int64_t row, int64_t column) const {
        const int64_t head = column / case_.head_dim, wanted = coordinate(row, head);
        int64_t best = case_.window > 0 ? std::max<int64_t>(0, row - case_.window + 1) : 0;
        for (int64_t token = best; token <= row; ++token)
            if (key(token, wanted) > key(best, wanted)) best = token;
        const int64_t kv_head = head / (case_.q_heads / case_.kv_heads);
        return run_.qkv(sequence).get(best,
                                      (case_.q_heads + case_.kv_heads + kv_head) * case_.head_dim + column % case_.head_dim);
    }

    AttentionCase case_;
    AttentionRun run_;
};

} // namespace

TEST("Gemm_of_whole_numbers_is_exact") {
    for (const nlm_isa isa : targets()) {
        uint64_t seed = 1;
        for (const int32_t type : float_types()) {
            for (const auto& [m, n, k] : {std::tuple{1, 1, 1}, std::tuple{1, 200, 520}, std::tuple{3, 64, 64},
                                          std::tuple{16, 65, 128}, std::tuple{17, 50, 70}, std::tuple{40, 97, 256},
                                          std::tuple{63, 33, 65}, std::tuple{65, 130, 33}, std::tuple{129, 129, 127}}) {
                for (const int32_t type_out : {type, static_cast<int32_t>(NLM_F32)}) {
                    check_gemm(isa, {.type = type, .type_out = type_out, .m = m, .n = n, .k = k}, ++seed);
                    check_gemm(isa,
                               {.type = type,
                                .type_out = type_out,
                                .m = m,
                                .n = n,
                                .k = k,
                                .epilogue = NLM_EPILOGUE_RELU,
                                .bias = true,
                                .residual = true,
                                .x_padding = 8,
                                .out_padding = 3},
                               ++seed);
                }
            }
        }
    }
}

TEST("Attention_that_looks_up_one_key_returns_exactly_its_value") {
    for (const nlm_isa isa : targets()) {
        for (const int32_t type : float_types()) {
            AttentionCase c;
            c.type = c.cache_type = type;
            c.scale = 1;
            for (const int32_t head_dim : {8, 16, 24, 40, 64, 80, 96, 112, 128, 192, 256}) {
                if (quick() && head_dim % 3 != 1) continue; // 16, 40, 64, 112, 256
                c.head_dim = head_dim;
                c.lengths = {1, 40, 70};
                Lookup(c, isa, 3).check(33, 2);
            }
            c.head_dim = 32;
            c.lengths = {63, 64, 65, 200, 250};
            for (const int32_t block_size : {8, 16, 24, 32, 48, 64, 128}) {
                c.block_size = block_size;
                Lookup(c, isa, 4).check(65, 3);
            }
            c.block_size = 16;
            for (const auto& [q_heads, kv_heads] :
                 {std::array{1, 1}, std::array{5, 5}, std::array{8, 1}, std::array{17, 1}, std::array{12, 3}}) {
                c.q_heads = q_heads;
                c.kv_heads = kv_heads;
                c.lengths = {67, 130};
                Lookup(c, isa, 5).check(31, 5);
            }
            for (const int32_t window : {1, 16, 63, 64, 65, 130}) {
                for (const int32_t split_keys : {64, 128, 0}) {
                    c.window = window;
                    c.split_keys = split_keys;
                    c.lengths = {200};
                    Lookup(c, isa, 6).check(90, 4);
                }
            }
        }
    }
}

TEST("Embedding_of_whole_numbers_is_exact") {
    const int32_t vocabulary = 133, columns = 75, position_rows = 9;
    TestDevice device;
    for (const int32_t type : float_types()) {
        for (const int32_t type_out : float_types()) {
            Matrix table(type, vocabulary, columns), positions(type, position_rows, columns);
            randomize_integers(table, 1, 20);
            randomize_integers(positions, 2, 20);
            const std::vector<int32_t> tokens{0, 132, 64, 63, 65, 1, 127}, at{0, 8, 3, 3, 7, 1, 0};
            Buffer<unsigned char> packed(device, static_cast<size_t>(nlm_packed_weight_bytes(type, vocabulary, columns)));
            pack(device, table, type, false, packed.data());
            Buffer<int32_t> ids(device, tokens), position_ids(device, at);
            Buffer<unsigned char> position_table(device, positions.data);
            Matrix out(type_out, static_cast<int64_t>(tokens.size()), columns);
            Buffer<unsigned char> found(device, out.data);
            nlm_embed_args args{};
            args.size = sizeof args;
            args.type_out = type_out;
            args.out = found.data();
            args.ids = ids.data();
            args.table = packed.data();
            args.position_table = position_table.data();
            args.positions = position_ids.data();
            args.rows_max = static_cast<int32_t>(tokens.size());
            args.vocabulary = vocabulary;
            args.columns = columns;
            args.position_rows = position_rows;
            args.type_table = type;
            args.scale = 4;
            CHECK(nlm_embed(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
            const std::vector<unsigned char> wanted = encoded(out, [&](int64_t row, int64_t column) {
                const size_t i = static_cast<size_t>(row);
                return 4 * table.get(tokens[i], column) + positions.get(at[i], column);
            });
            CHECK(found.read() == wanted, "%s -> %s", type_name(type), type_name(type_out));
        }
    }
}

TEST("Relu_and_gathered_rows_are_exact") {
    TestDevice device;
    for (const int32_t type : float_types()) {
        Matrix x(type, 37, 51);
        randomize_integers(x, 9, 120);
        Buffer<unsigned char> in(device, x.data), out(device, x.data.size());
        nlm_activate_args activate{sizeof activate, NLM_EPILOGUE_RELU, out.data(), in.data(), nullptr, 37, 51, type};
        CHECK(nlm_activate(device.stream(), &activate) == NLM_OK, "%s", nlm_last_error());
        CHECK(out.read() == encoded(x, [&](int64_t row, int64_t column) { return std::max(0.0, x.get(row, column)); }), "%s",
              type_name(type));
        std::vector<int32_t> order;
        for (int32_t i = 0; i < 37; ++i) order.push_back(i * 23 % 37);
        Buffer<int32_t> indices(device, order);
        nlm_gather_rows_args gather{sizeof gather, type, out.data(), in.data(), indices.data(), nullptr, 37, 37, 51};
        CHECK(nlm_gather_rows(device.stream(), &gather) == NLM_OK, "%s", nlm_last_error());
        CHECK(out.read() ==
                  encoded(x, [&](int64_t row, int64_t column) { return x.get(order[static_cast<size_t>(row)], column); }),
              "%s", type_name(type));
    }
}
