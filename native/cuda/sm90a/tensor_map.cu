// Descriptions of matrices for the copy engine. The driver writes them in its own format; its function is looked up at run time,
// so that the library does not need the driver to load.
#include "hopper.cuh"

#include "error.h"

#if defined(__CUDACC__)
#include <cuda.h>
#include <dlfcn.h>
#endif

namespace nlm::sm90a {

namespace {

constexpr int64_t dimension_limit = int64_t{1} << 32, stride_limit = int64_t{1} << 40; // of the copy engine
constexpr int64_t alignment = 16;                                                      // bytes, of base and row stride

void check(const void* base, int64_t rows, int64_t columns, int64_t row_stride, int tile_rows) {
    NLM_REQUIRE(reinterpret_cast<uintptr_t>(base) % alignment == 0, "tensor map: expected 16-byte alignment, found address %p",
                base);
    NLM_REQUIRE(rows > 0 && rows <= dimension_limit && columns > 0 && columns <= dimension_limit,
                "tensor map: expected 1 to 2^32 rows and columns, found %lld by %lld", static_cast<long long>(rows),
                static_cast<long long>(columns));
    NLM_REQUIRE(row_stride >= columns && row_stride < stride_limit / 2 && row_stride * 2 % alignment == 0,
                "tensor map: expected a row stride of %lld to 2^39 elements in steps of 8, found %lld",
                static_cast<long long>(columns), static_cast<long long>(row_stride));
    NLM_REQUIRE(tile_rows > 0 && tile_rows <= tile_rows_limit, "tensor map: expected tiles of 1 to %d rows, found %d",
                tile_rows_limit, tile_rows);
}

#if defined(__CUDACC__)

using Encode = decltype(&cuTensorMapEncodeTiled);

Encode find_encode() {
    void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    void* symbol = driver == nullptr ? nullptr : dlsym(driver, "cuTensorMapEncodeTiled");
    if (symbol == nullptr)
        throw Error(NLM_UNSUPPORTED,
                    "found a driver without cuTensorMapEncodeTiled; kernels for compute capability 9.0a need driver "
                    "branch 525 or newer; update the driver or unset NATIVELM_SM90A");
    return reinterpret_cast<Encode>(symbol);
}

TensorMap encode(int32_t type, const void* base, int64_t rows, int64_t columns, int64_t row_stride, int tile_rows) {
    static const Encode encode_tiled = find_encode(); // once; a failure is tried again by the next call
    static_assert(sizeof(TensorMap) == sizeof(CUtensorMap) && alignof(TensorMap) >= alignof(CUtensorMap), "the driver's format");
    const cuuint64_t dimensions[] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows)};
    const cuuint64_t strides[] = {static_cast<cuuint64_t>(row_stride) * 2}; // bytes, of all dimensions but the first
    const cuuint32_t tile[] = {swizzle_row_bytes / 2, static_cast<cuuint32_t>(tile_rows)}, steps[] = {1, 1};
    TensorMap map;
    const CUresult result =
        encode_tiled(reinterpret_cast<CUtensorMap*>(&map),
                     type == NLM_BF16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 2,
                     const_cast<void*>(base), dimensions, strides, tile, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                     CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result != CUDA_SUCCESS)
        throw Error(NLM_DEVICE_ERROR, "cuTensorMapEncodeTiled: error %d for %lld by %lld, row stride %lld, tiles of %d rows",
                    static_cast<int>(result), static_cast<long long>(rows), static_cast<long long>(columns),
                    static_cast<long long>(row_stride), tile_rows);
    return map;
}

#else

TensorMap encode(int32_t, const void* base, int64_t rows, int64_t columns, int64_t row_stride, int tile_rows) {
    return {static_cast<const unsigned char*>(base), rows, columns, row_stride * 2, tile_rows};
}

#endif

} // namespace

TensorMap make_tensor_map(int32_t type, const void* base, int64_t rows, int64_t columns, int64_t row_stride, int tile_rows) {
    check(base, rows, columns, row_stride, tile_rows);
    return encode(type, base, rows, columns, row_stride, tile_rows);
}

} // namespace nlm::sm90a
