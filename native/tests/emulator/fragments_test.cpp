// Conversions, ldmatrix and mma against descriptions of their own, after the tables of the PTX manual: an element's number in a
// fragment gives its row and column. The layouts that the kernels rely on are written down twice, and must agree.
#include "emulator_fixture.h"
#include "numbers.h"

#include <cmath>

using namespace nlm::tests;

namespace {

struct Place {
    int row, column;
};

// Element i of a lane, for the fragments of mma.m16n8k16 with 16-bit operands.
Place a_place(int lane, int i) {
    const bool lower = (i >= 2 && i < 4) || i >= 6;
    return {lane / 4 + (lower ? 8 : 0), lane % 4 * 2 + i % 2 + (i >= 4 ? 8 : 0)};
}
Place b_place(int lane, int i) {
    return {lane % 4 * 2 + i % 2 + (i >= 2 ? 8 : 0), lane / 4};
}
Place d_place(int lane, int i) {
    return {lane / 4 + (i >= 2 ? 8 : 0), lane % 4 * 2 + i % 2};
}

template <typename T> T element(double value) {
    return from_float<T>(static_cast<float>(value));
}

template <typename T> NLM_KERNEL mma_kernel(const uint32_t* a, const uint32_t* b, float* d) {
    const int lane = lane_index();
    uint32_t a_words[4], b_words[2];
    float sums[4];
    for (int i = 0; i < 4; ++i) a_words[i] = load(a + lane * 4 + i);
    for (int i = 0; i < 2; ++i) b_words[i] = load(b + lane * 2 + i);
    for (int i = 0; i < 4; ++i) sums[i] = load(d + lane * 4 + i);
    mma_m16n8k16<T>(sums, a_words, b_words);
    for (int i = 0; i < 4; ++i) store(d + lane * 4 + i, sums[i]);
}

// d += a · b through the fragments, for matrices of the test.
template <typename T> std::vector<float> multiply(const double (&a)[16][16], const double (&b)[16][8], const float (&d)[16][8]) {
    const DeviceArray<uint32_t> a_words(128), b_words(64);
    const DeviceArray<float> sums(128);
    for (int lane = 0; lane < 32; ++lane) {
        const auto at = static_cast<size_t>(lane);
        const auto word = [&](Place low, Place high, const auto& matrix) {
            return element<T>(matrix[low.row][low.column]).bits |
                   static_cast<uint32_t>(element<T>(matrix[high.row][high.column]).bits) << 16;
        };
        for (int i = 0; i < 4; ++i) {
            a_words[at * 4 + static_cast<size_t>(i)] = word(a_place(lane, 2 * i), a_place(lane, 2 * i + 1), a);
            sums[at * 4 + static_cast<size_t>(i)] = d[d_place(lane, i).row][d_place(lane, i).column];
        }
        for (int i = 0; i < 2; ++i)
            b_words[at * 2 + static_cast<size_t>(i)] = word(b_place(lane, 2 * i), b_place(lane, 2 * i + 1), b);
    }
    CHECK(report_of(mma_kernel<T>, {1, 1, 32}, a_words.data(), b_words.data(), sums.data()).empty());
    std::vector<float> result(128);
    for (int lane = 0; lane < 32; ++lane)
        for (int i = 0; i < 4; ++i)
            result[static_cast<size_t>(d_place(lane, i).row * 8 + d_place(lane, i).column)] =
                sums[static_cast<size_t>(lane * 4 + i)];
    return result;
}

template <typename T> void check_mma() {
    Random random(3);
    for (int round = 0; round < 20; ++round) {
        double a[16][16], b[16][8];
        float d[16][8];
        for (auto& row : a)
            for (double& value : row) value = random.integer(-9, 9);
        for (auto& row : b)
            for (double& value : row) value = random.integer(-9, 9);
        for (auto& row : d)
            for (float& value : row) value = static_cast<float>(random.integer(-1000, 1000));
        const std::vector<float> found = multiply<T>(a, b, d);
        for (int row = 0; row < 16; ++row)
            for (int column = 0; column < 8; ++column) {
                double expected = static_cast<double>(d[row][column]);
                for (int k = 0; k < 16; ++k) expected += a[row][k] * b[k][column];
                CHECK(static_cast<double>(found[static_cast<size_t>(row * 8 + column)]) == expected, "[%d, %d]", row, column);
            }
    }
}

struct Matrices {
    Array<uint16_t, 4 * 64> elements; // row r of matrix m at 64 m + 8 r
};

template <bool Transposed, int Count> NLM_KERNEL ldmatrix_kernel(uint32_t* out, int rotation) {
    auto& s = shared_memory<Matrices>();
    for (int i = thread_index(); i < 256; i += 32) s.elements[i] = static_cast<uint16_t>(i);
    sync_threads();
    // Lane i of the matrices in use gives the address of row i; rotation moves which row that is.
    const int lane = lane_index(), rows = Count * 8;
    const void* row = &s.elements[(lane % rows + rotation) % rows * 8];
    uint32_t r[4] = {};
    if constexpr (Count == 4) {
        if constexpr (Transposed)
            ldmatrix_x4_trans(r, row);
        else
            ldmatrix_x4(r, row);
    } else {
        uint32_t two[2];
        if constexpr (Transposed)
            ldmatrix_x2_trans(two, lane < 16 ? row : nullptr);
        else
            ldmatrix_x2(two, lane < 16 ? row : nullptr);
        r[0] = two[0];
        r[1] = two[1];
    }
    for (int i = 0; i < 4; ++i) out[lane * 4 + i] = r[i];
}

template <bool Transposed, int Count> void check_ldmatrix() {
    const DeviceArray<uint32_t> out(128);
    for (const int rotation : {0, 5}) {
        CHECK(report_of(ldmatrix_kernel<Transposed, Count>, {1, 1, 32, sizeof(Matrices)}, out.data(), rotation).empty());
        for (int lane = 0; lane < 32; ++lane)
            for (int matrix = 0; matrix < Count; ++matrix)
                for (int half = 0; half < 2; ++half) {
                    const int row = Transposed ? lane % 4 * 2 + half : lane / 4,
                              column = Transposed ? lane / 4 : lane % 4 * 2 + half;
                    const int expected = (matrix * 8 + row + rotation) % (Count * 8) * 8 + column;
                    const int found = static_cast<int>(out[static_cast<size_t>(lane * 4 + matrix)] >> (16 * half) & 0xffff);
                    CHECK(found == expected, "lane %d matrix %d half %d: %d, expected %d", lane, matrix, half, found, expected);
                }
    }
}

struct Tile {
    Array<Vec<uint16_t, 8>, 8 * 32> chunks; // 32 rows of 8 chunks of 16 bytes
};

template <bool Swizzled> NLM_KERNEL conflicts_kernel(uint32_t* out) {
    auto& s = shared_memory<Tile>();
    for (int i = thread_index(); i < 256; i += 32) s.chunks[i] = Vec<uint16_t, 8>{};
    sync_threads();
    const int row = lane_index(), chunk = Swizzled ? 3 ^ (row & 7) : 3;
    uint32_t r[4];
    ldmatrix_x4(r, &s.chunks[row * 8 + chunk]);
    out[lane_index()] = r[0];
}

NLM_KERNEL crooked_row_kernel(int offset) {
    auto& s = shared_memory<Matrices>();
    uint32_t r[4];
    const auto* first = reinterpret_cast<const char*>(s.elements.data());
    ldmatrix_x4(r, first + (lane_index() == 20 ? offset : 0));
}

int64_t conflicts(void (*kernel)(uint32_t*)) {
    const DeviceArray<uint32_t> out(32);
    const int64_t before = counter("ldmatrix_conflicts");
    CHECK(report_of(kernel, {1, 1, 32, sizeof(Tile)}, out.data()).empty());
    return counter("ldmatrix_conflicts") - before;
}

template <typename T> void check_conversions(int32_t type) {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
        const auto half = static_cast<uint16_t>(bits);
        unsigned char bytes[2];
        std::memcpy(bytes, &half, 2);
        const double expected = decode(type, bytes);
        const float found = to_float(T{half});
        CHECK(std::isnan(expected) ? std::isnan(found) : static_cast<double>(found) == expected, "%04x: %g", bits,
              static_cast<double>(found));
        if (!std::isnan(expected)) CHECK(from_float<T>(found).bits == half, "%04x does not come back", bits);
    }
    // Between neighbours: nearest, halves to even, and past the largest to infinity.
    Random random(9);
    for (int i = 0; i < 200000; ++i) {
        const double magnitude = std::ldexp(1 + std::fabs(random.uniform()), random.integer(type == NLM_F16 ? -26 : -30, 15));
        const auto value = static_cast<float>(i % 2 ? magnitude : -magnitude);
        if (type == NLM_F16 && std::fabs(value) >= 65504) continue;
        const double found = static_cast<double>(to_float(from_float<T>(value)));
        CHECK(found == rounded(type, static_cast<double>(value)), "%.9g became %.9g", static_cast<double>(value), found);
    }
    CHECK(std::isinf(to_float(from_float<T>(3.4e38f))) && to_float(from_float<T>(-3.4e38f)) < 0);
    CHECK(from_float<T>(NAN).bits == 0x7fff && from_float<T>(-0.0f).bits == 0x8000);
    float low = 0, high = 0;
    unpack2<T>(pack2<T>(1.5f, -2.25f), low, high);
    CHECK(low == 1.5f && high == -2.25f && (pack2<T>(1.5f, -2.25f) & 0xffff) == from_float<T>(1.5f).bits);
}

} // namespace

TEST("Every_16_bit_value_converts_and_comes_back_and_floats_round_to_the_nearest") {
    check_conversions<bf16>(NLM_BF16);
    check_conversions<f16>(NLM_F16);
    CHECK(from_float<f16>(65519.0f).bits == 0x7bff && from_float<f16>(65520.0f).bits == 0x7c00);
    CHECK(from_float<f16>(0x1p-25f).bits == 0 && from_float<f16>(0x1.8p-25f).bits == 1, "half of the smallest goes to even");
}

TEST("Mma_multiplies_the_matrices_that_its_fragments_hold") {
    for (const std::string& schedule : schedules()) {
        const Settings settings(schedule);
        check_mma<bf16>();
        check_mma<f16>();
    }
}

TEST("Mma_accumulates_in_float_and_hands_on_nan") {
    double a[16][16] = {}, b[16][8] = {};
    float d[16][8] = {};
    a[2][0] = 1;
    b[0][5] = 1;
    d[2][5] = 16777214; // 2^24 - 2: the sum is exact in float and would not be in 16 bits
    a[9][3] = NAN;
    const std::vector<float> found = multiply<bf16>(a, b, d);
    CHECK(found[2 * 8 + 5] == 16777215);
    for (size_t i = 0; i < 128; ++i) CHECK(std::isnan(found[i]) == (i / 8 == 9));
}

TEST("Ldmatrix_gives_lanes_the_elements_of_the_rows_that_lanes_address") {
    for (const std::string& schedule : schedules()) {
        const Settings settings(schedule);
        check_ldmatrix<false, 4>();
        check_ldmatrix<true, 4>();
        check_ldmatrix<false, 2>();
        check_ldmatrix<true, 2>();
    }
}

TEST("Ldmatrix_of_a_crooked_or_foreign_row_is_reported_with_its_lane") {
    const Launch shape{1, 1, 32, sizeof(Matrices)};
    CHECK(report_of(crooked_row_kernel, shape, 496).empty());
    CHECK(contains(report_of(crooked_row_kernel, shape, 8), "not aligned to 16 bytes"));
    const std::string outside = report_of(crooked_row_kernel, shape, 512);
    CHECK(contains(outside, "outside the block's 512 bytes") && contains(outside, "thread 20"), "%s", outside.c_str());
}

TEST("Bank_conflicts_of_ldmatrix_are_counted_and_the_swizzle_has_none") {
    CHECK(conflicts(conflicts_kernel<true>) == 0);
    CHECK(conflicts(conflicts_kernel<false>) == 4 * 7, "four phases of eight rows in one bank group");
}
