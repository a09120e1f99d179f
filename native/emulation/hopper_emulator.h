// Emulates what only Hopper has: mbarriers, tensor copies, warp-group matrix instructions, as cuda/sm90a/hopper.cuh wraps them.
//
// Everything happens as late as the hardware may do it. A tensor copy poisons its tile when it is issued and lands when somebody
// waits for its barrier; a matrix instruction poisons its accumulators when it is issued, reads shared memory through its
// descriptors and writes the accumulators only at the wait that covers it. So a missing wait, a wrong phase or a stage refilled
// too early shows as NaN, a report or a deadlock. What it checks follows our reading of the PTX manual, not hardware.
#pragma once

#include "simt_emulator.h"

namespace nlm::emulation {

// ---- mbarriers ----

void barrier_init(void* barrier, int arrivals);
// A barrier that its initialising thread did not fence is unknown to tensor copies.
void fence_async_proxy();
// expected_bytes of tensor copies are announced before the arrival counts.
void barrier_arrive(void* barrier, int expected_bytes, Site site);
void barrier_wait(void* barrier, int parity, Site site);

// ---- tensor copies ----

constexpr int tensor_tile_columns = 64; // 16-bit elements: one row of the 128-byte swizzle

// A matrix of 16-bit elements in global memory, cut into tiles.
struct alignas(64) TensorMap {
    const unsigned char* base;
    int64_t rows, columns, row_stride_bytes;
    int tile_rows;
};

void tensor_load(void* tile, const TensorMap& map, int row, int column, void* barrier, Site site);

// ---- matrix instructions ----

uint64_t tile_descriptor(const void* tile);
void wgmma(float* d, int columns, uint64_t left, uint64_t right, float (*value_of)(uint16_t), Site site);
void wgmma_fence();
void wgmma_commit();
// Meets the other 127 threads of the warp group.
void wgmma_wait(int pending, Site site);

// ---- for the emulator ----

void hopper_begin_block();
// What the block left under way, or null.
const char* hopper_unfinished();

} // namespace nlm::emulation
