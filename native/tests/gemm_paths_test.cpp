// A linear layer takes several paths on a GPU, chosen by the row limit and the shape: whichever runs, a row keeps its bits.
// The shapes reach every path on a device of four multiprocessors, as the emulated one is; on a GPU the last one does.
#include "gemm_cases.h"

using namespace nlm::tests;

namespace {

struct PathCase {
    int32_t n, k;
    std::vector<int> row_counts; // the last is the largest
};

std::vector<PathCase> path_cases() {
    // Up to 16 rows: the skinny kernel. Of the others 160 columns take small tiles with split blocks and square tiles, 384 small
    // tiles with running sums and wide tiles. k is cut into 1, 2 and 4 splits.
    std::vector<PathCase> cases;
    for (const int32_t n : {160, 384})
        for (const int32_t k : {200, 512, 1024})
            cases.push_back(
                {n, k, quick() ? std::vector<int>{1, 17, 65} : std::vector<int>{1, 7, 16, 17, 64, 65, 128, 150, 257}});
    cases.push_back({8192, 64, {1, 16, 17, 40}});
    cases.push_back({4096, 520, {1, 16, 17}});
    if (!on_emulator()) cases.push_back({4096, 2048, {1, 16, 64, 300, 1200, 2500}});
    return cases;
}

// A layer over the last `m` rows of x.
std::vector<unsigned char> last_rows(const TestDevice& device, GemmCase c, const GemmData& data, int m, int64_t x_padding = 0) {
    c.m = m;
    Matrix x(c.type, m, c.k, c.k + x_padding), out(c.type_out, m, c.out_columns());
    for (int64_t i = 0; i < m; ++i)
        std::memcpy(x.at(i, 0), data.x.data.data() + (data.x.rows - m + i) * data.x.stride * bytes_of(c.type),
                    static_cast<size_t>(c.k * bytes_of(c.type)));
    const GemmOperands operands(device, c, x, data.weight, &data.bias, out);
    const nlm_gemm_args args = operands.arguments();
    CHECK(nlm_gemm(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
    return operands.out().read();
}

bool ends_with(const std::vector<unsigned char>& whole, const std::vector<unsigned char>& end) {
    return whole.size() >= end.size() && std::memcmp(whole.data() + whole.size() - end.size(), end.data(), end.size()) == 0;
}

} // namespace

TEST("Every_path_of_the_linear_layer_gives_a_row_the_same_bits") {
    TestDevice device;
    for (const int32_t type : float_types()) {
        for (const PathCase& path : path_cases()) {
            if (type == NLM_F32 && path.n != 160) continue; // one path
            const int largest = path.row_counts.back();
            const GemmCase c{.type = type,
                             .type_out = type == NLM_F16 ? NLM_F16 : NLM_F32,
                             .m = largest,
                             .n = path.n,
                             .k = path.k,
                             .epilogue = path.k == 512 ? NLM_EPILOGUE_SILU_MUL : NLM_EPILOGUE_NONE,
                             .bias = true};
            const GemmData data(c, 40);
            const std::vector<unsigned char> all = last_rows(device, c, data, largest);
            for (const int m : path.row_counts)
                CHECK(ends_with(all, last_rows(device, c, data, m)), "%s n %d k %d: %d rows differ from %d", type_name(type),
                      path.n, path.k, m, largest);
        }
    }
}

TEST("Rows_that_lie_at_odd_addresses_give_the_same_bits") {
    TestDevice device;
    for (const int32_t type : float_types()) {
        for (const int m : {3, 40, 300}) {
            const GemmCase c{.type = type, .type_out = NLM_F32, .m = m, .n = 96, .k = 1024, .bias = true};
            const GemmData data(c, 41);
            const std::vector<unsigned char> aligned = last_rows(device, c, data, m);
            for (const int padding : {1, 4, 8})
                CHECK(aligned == last_rows(device, c, data, m, padding), "%s: %d rows, padding %d", type_name(type), m, padding);
        }
    }
}

TEST("A_device_row_count_on_every_path_leaves_the_rows_behind_it_alone") {
    TestDevice device;
    for (const int32_t n : {96, 160, 384}) {
        for (const int limit : {16, 128, 257}) {
            const GemmCase c{.type = NLM_BF16, .type_out = NLM_BF16, .m = limit, .n = n, .k = 1024, .bias = true};
            const GemmData data(c, 42);
            const std::vector<unsigned char> all = last_rows(device, c, data, limit);
            for (const int count : {0, 1, limit / 2, limit - 1}) {
                const GemmOperands operands(device, c, data.x, data.weight, &data.bias, data.out);
                Buffer<int32_t> rows(device, std::vector<int32_t>{count});
                nlm_gemm_args args = operands.arguments();
                args.rows = rows.data();
                CHECK(nlm_gemm(device.stream(), &args) == NLM_OK, "%s", nlm_last_error());
                const std::vector<unsigned char> found = operands.out().read();
                const std::ptrdiff_t written = std::ptrdiff_t{count} * n * bytes_of(NLM_BF16);
                CHECK(std::equal(found.begin(), found.begin() + written, all.begin()), "%d of %d rows, n %d", count, limit, n);
                CHECK(std::equal(found.begin() + written, found.end(), data.out.data.begin() + written),
                      "rows behind %d of %d were written, n %d", count, limit, n);
            }
        }
    }
}
