#include "gemm_cases.h"

using namespace nlm::tests;

namespace {

nlm_embed_args embed_arguments(int32_t type_table, int32_t type_out, int32_t rows, int32_t vocabulary, int32_t columns) {
    nlm_embed_args args{};
    args.size = sizeof args;
    args.type_out = type_out;
    args.type_table = type_table;
    args.rows_max = rows;
    args.vocabulary = vocabulary;
    args.columns = columns;
    args.scale = 1;
    return args;
}

// Every row of a packed weight [n, k], read back through nlm_embed as fp32.
Matrix unpack(const TestDevice& device, int32_t type, int32_t n, int32_t k, const void* packed) {
    std::vector<int32_t> all(static_cast<size_t>(n));
    for (int32_t i = 0; i < n; ++i) all[static_cast<size_t>(i)] = i;
    Buffer<int32_t> ids(device, all);
    Matrix result(NLM_F32, n, k);
    Buffer<unsigned char> out(device, result.data);
    nlm_embed_args args = embed_arguments(type, NLM_F32, n, n, k);
    args.out = out.data();
    args.ids = ids.data();
    args.table = packed;
    require_ok(nlm_embed(device.stream(), &args), "nlm_embed");
    result.data = out.read();
    return result;
}

} // namespace

TEST("A_packed_weight_gives_every_element_back_rounded_to_nearest_even") {
    TestDevice device;
    uint64_t seed = 1;
    for (const int32_t type : float_types()) {
        for (const int32_t type_source : {NLM_F32, NLM_BF16, NLM_F16}) {
            for (const auto& [n, k] : {std::pair{1, 1}, std::pair{33, 31}, std::pair{64, 64}, std::pair{50, 97}}) {
                Matrix weight(type_source, n, k);
                ++seed;
                weight.randomize(seed, seed % 2 ? 1 : 1e-5); // the small scale reaches subnormal f16
                const int64_t bytes = nlm_packed_weight_bytes(type, n, k);
                CHECK(bytes >= n * k * bytes_of(type) && bytes <= static_cast<int64_t>(n + 64) * (k + 64) * bytes_of(type));
                Buffer<unsigned char> packed(device, static_cast<size_t>(bytes));
                pack(device, weight, type, false, packed.data());
                const Matrix found = unpack(device, type, n, k, packed.data());
                for (int64_t row = 0; row < n; ++row)
                    for (int64_t column = 0; column < k; ++column)
                        CHECK(found.get(row, column) == rounded(type, weight.get(row, column)),
                              "%d from %d [%d, %d]: %.9g from %.9g", type, type_source, static_cast<int>(row),
                              static_cast<int>(column), found.get(row, column), weight.get(row, column));
            }
        }
    }
}

TEST("Parts_at_any_row_offset_fill_one_packed_weight") {
    TestDevice device;
    const int32_t parts[] = {5, 40, 1, 18, 31}, k = 45;
    for (const int32_t type : float_types()) {
        int32_t n = 0;
        for (const int32_t rows : parts) n += rows;
        Matrix weight(NLM_F32, n, k);
        weight.randomize(9);
        const size_t bytes = static_cast<size_t>(nlm_packed_weight_bytes(type, n, k));
        Buffer<unsigned char> whole(device, bytes), pieces(device, bytes);
        pack(device, weight, type, false, whole.data());
        int32_t offset = 0;
        for (const int32_t rows : parts) {
            nlm_pack_weight_args args{};
            args.size = sizeof args;
            args.type = type;
            args.packed = pieces.data();
            args.source = weight.at(offset, 0);
            args.type_source = NLM_F32;
            args.n = n;
            args.k = k;
            args.row_offset = offset;
            args.source_rows = rows;
            CHECK(nlm_pack_weight(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
            offset += rows;
        }
        CHECK(whole.read() == pieces.read());
    }
}

TEST("A_source_without_alignment_packs_the_same") {
    TestDevice device;
    Matrix weight(NLM_BF16, 20, 33);
    weight.randomize(4);
    const size_t bytes = static_cast<size_t>(nlm_packed_weight_bytes(NLM_BF16, 20, 33));
    Buffer<unsigned char> aligned(device, bytes), shifted(device, bytes);
    pack(device, weight, NLM_BF16, false, aligned.data());
    std::vector<unsigned char> moved(weight.data.size() + 1);
    std::memcpy(moved.data() + 1, weight.data.data(), weight.data.size());
    nlm_pack_weight_args args{};
    args.size = sizeof args;
    args.type = args.type_source = NLM_BF16;
    args.packed = shifted.data();
    args.source = moved.data() + 1;
    args.n = args.source_rows = 20;
    args.k = 33;
    CHECK(nlm_pack_weight(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
    CHECK(aligned.read() == shifted.read());
}

TEST("Rounding_of_halfway_values_goes_to_even") {
    TestDevice device;
    Matrix weight(NLM_F32, 1, 6);
    const double halfway[] = {1 + 0x1p-8, 1 + 3 * 0x1p-8, -1 - 0x1p-8, 1 + 0x1p-11, 1 + 3 * 0x1p-11, 0x1p-25};
    weight.fill([&](int64_t, int64_t column) { return halfway[column]; });
    for (const int32_t type : {NLM_BF16, NLM_F16}) {
        Buffer<unsigned char> packed(device, static_cast<size_t>(nlm_packed_weight_bytes(type, 1, 6)));
        pack(device, weight, type, false, packed.data());
        const Matrix found = unpack(device, type, 1, 6, packed.data());
        for (int64_t i = 0; i < 6; ++i)
            CHECK(found.get(0, i) == rounded(type, halfway[i]), "type %d value %d", type, static_cast<int>(i));
    }
}

TEST("Bad_pack_arguments_return_a_status_that_names_the_argument") {
    TestDevice device;
    Matrix weight(NLM_F32, 8, 8);
    Buffer<unsigned char> packed(device, static_cast<size_t>(nlm_packed_weight_bytes(NLM_BF16, 8, 8)));
    const auto refused = [&](const char* name, const auto& change) {
        nlm_pack_weight_args args{};
        args.size = sizeof args;
        args.type = NLM_BF16;
        args.type_source = NLM_F32;
        args.packed = packed.data();
        args.source = weight.data.data();
        args.n = args.k = args.source_rows = 8;
        change(args);
        const int32_t status = nlm_pack_weight(device.stream(), &args);
        CHECK(refused_by_name(status, name), "%s: status %d, %s", name, status, nlm_last_error());
    };
    refused("size", [](nlm_pack_weight_args& a) { a.size = 0; });
    refused("type", [](nlm_pack_weight_args& a) { a.type = NLM_I32; });
    refused("type_source", [](nlm_pack_weight_args& a) { a.type_source = 7; });
    refused("packed", [](nlm_pack_weight_args& a) { a.packed = nullptr; });
    refused("packed", [](nlm_pack_weight_args& a) { a.packed = static_cast<char*>(a.packed) + 4; });
    refused("source", [](nlm_pack_weight_args& a) { a.source = nullptr; });
    refused("role", [](nlm_pack_weight_args& a) { a.role = 3; });
    refused("n:", [](nlm_pack_weight_args& a) { a.n = 0; });
    refused("k:", [](nlm_pack_weight_args& a) { a.k = INT32_MAX; });
    refused("source_rows", [](nlm_pack_weight_args& a) { a.source_rows = 9; });
    refused("row_offset", [](nlm_pack_weight_args& a) { a.row_offset = 1; });
    refused("row_offset", [](nlm_pack_weight_args& a) { a.role = NLM_ROLE_GATE; });
    refused("n:", [](nlm_pack_weight_args& a) { a.role = NLM_ROLE_UP, a.n = 9; });
    CHECK(nlm_packed_weight_bytes(NLM_I32, 8, 8) == -1 && nlm_packed_weight_bytes(NLM_F32, 0, 8) == -1);
    CHECK(nlm_packed_weight_bytes(NLM_F32, 8, -1) == -1 && nlm_packed_weight_bytes(NLM_F32, INT32_MAX, INT32_MAX) == -1);
}

TEST("Embedding_scales_adds_positions_and_zeroes_unknown_ids") {
    TestDevice device;
    const int32_t vocabulary = 70, columns = 37, position_rows = 9;
    for (const int32_t type : float_types()) {
        Matrix table(type, vocabulary, columns), positions(type, position_rows, columns);
        table.randomize(1);
        positions.randomize(2);
        Buffer<unsigned char> packed(device, static_cast<size_t>(nlm_packed_weight_bytes(type, vocabulary, columns)));
        pack(device, table, type, false, packed.data());
        const std::vector<int32_t> tokens{0, 69, -1, 70, 35, INT32_MAX, 16}, at{0, 1, 2, 3, 6, 5, 100};
        Buffer<int32_t> ids(device, tokens), position_ids(device, at);
        Buffer<unsigned char> position_table(device, positions.data);
        Matrix out(type, static_cast<int64_t>(tokens.size()), columns);
        out.fill([](int64_t, int64_t) { return 9.0; });
        Buffer<unsigned char> found(device, out.data);
        Buffer<int32_t> rows(device, std::vector<int32_t>{6});
        nlm_embed_args args = embed_arguments(type, type, 7, vocabulary, columns);
        args.out = found.data();
        args.ids = ids.data();
        args.table = packed.data();
        args.position_table = position_table.data();
        args.positions = position_ids.data();
        args.position_rows = position_rows;
        args.position_offset = 2;
        args.scale = 3;
        args.rows = rows.data();
        CHECK(nlm_embed(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
        out.data = found.read();
        for (size_t row = 0; row < tokens.size(); ++row) {
            const bool known = tokens[row] >= 0 && tokens[row] < vocabulary;
            for (int64_t column = 0; column < columns; ++column) {
                const double expected = row == 6 ? 9.0 // beyond the true count: untouched
                                        : known  ? 3 * table.get(tokens[row], column) + positions.get(at[row] + 2, column)
                                                 : 0.0;
                const double unit = type == NLM_F32 ? 1e-6 : type == NLM_BF16 ? 0x1p-8 : 0x1p-11;
                CHECK(std::fabs(out.get(static_cast<int64_t>(row), column) - expected) <= std::fabs(expected) * unit + 1e-6,
                      "type %d row %zu column %d", type, row, static_cast<int>(column));
            }
        }
    }
}

TEST("Bad_embed_arguments_return_a_status_that_names_the_argument") {
    TestDevice device;
    Buffer<unsigned char> memory(device, 1 << 14);
    const auto refused = [&](const char* name, const auto& change) {
        nlm_embed_args args = embed_arguments(NLM_BF16, NLM_BF16, 1, 8, 8);
        args.out = memory.data();
        args.ids = reinterpret_cast<const int32_t*>(memory.data() + 4096);
        args.table = memory.data() + 8192;
        change(args);
        const int32_t status = nlm_embed(device.stream(), &args);
        CHECK(refused_by_name(status, name), "%s: status %d, %s", name, status, nlm_last_error());
    };
    refused("size", [](nlm_embed_args& a) { a.size = 1; });
    refused("type_out", [](nlm_embed_args& a) { a.type_out = 3; });
    refused("type_table", [](nlm_embed_args& a) { a.type_table = -1; });
    refused("out", [](nlm_embed_args& a) { a.out = nullptr; });
    refused("ids", [](nlm_embed_args& a) { a.ids = nullptr; });
    refused("table", [](nlm_embed_args& a) { a.table = nullptr; });
    refused("rows_max", [](nlm_embed_args& a) { a.rows_max = -1; });
    refused("vocabulary", [](nlm_embed_args& a) { a.vocabulary = 0; });
    refused("columns", [](nlm_embed_args& a) { a.columns = INT32_MAX; });
    refused("positions", [](nlm_embed_args& a) { a.position_table = a.table, a.position_rows = 1; });
    refused("position_rows", [](nlm_embed_args& a) { a.position_table = a.table, a.positions = a.ids; });
}
