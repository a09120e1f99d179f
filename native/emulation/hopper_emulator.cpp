#include "hopper_emulator.h"

#include "sanitized_copy.h"
#include "sanitizers.h"
#include "scheduling.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <limits>
#include <memory>
#include <vector>

namespace nlm::emulation {

namespace {

constexpr int group_threads = 128;
constexpr int thread_limit = 1024;
constexpr int group_rows = 64; // of a matrix instruction
constexpr int instruction_k = 16;
constexpr size_t row_bytes = 128;   // of a swizzled tile
constexpr size_t atom_bytes = 1024; // eight rows: the swizzle's period
constexpr int arrivals_limit = (1 << 20) - 1;

// Where the 128-byte swizzle puts a 16-byte chunk: bits 4 to 6 of its offset change with bits 7 to 9.
size_t swizzled(size_t offset) {
    return offset ^ ((offset >> 7 & 7) << 4);
}

struct TensorLoad {
    unsigned char* tile;
    TensorMap map;
    int row, column;
    int64_t bytes() const { return static_cast<int64_t>(map.tile_rows) * static_cast<int64_t>(row_bytes); }
};

struct MBarrier {
    const void* address = nullptr;
    int arrivals = 0;      // of a phase
    int arrivals_left = 0; // of the current one
    int64_t bytes_left = 0;
    int phase = 0;
    int owner = 0; // thread that initialised it
    bool known_to_copies = false;
    std::vector<TensorLoad> loads; // under way
    std::vector<int> waiting;
    char order_token = 0; // for the race detector: arrivals and landed bytes order memory
};

struct MatrixInstruction {
    float* d;
    int columns;
    uint64_t left, right;
    float (*value_of)(uint16_t);
};

// Accumulators of one thread that belong to the tensor cores until their last instruction is waited for.
struct Accumulators {
    float* registers;
    std::vector<float> values;
    int instructions = 0; // not executed yet
};

struct GroupThread {
    std::vector<MatrixInstruction> open;
    std::deque<std::vector<MatrixInstruction>> committed; // oldest first
    std::vector<Accumulators> accumulators;
    bool fenced = false;
};

struct WarpGroup {
    GroupThread threads[group_threads];
    std::vector<int> waiting; // threads that have reached the wait
    int pending = 0;
    Site site{};
    char order_token = 0;
};

struct Hopper {
    std::deque<MBarrier> barriers; // addresses of its elements stay
    std::unique_ptr<WarpGroup> groups[thread_limit / group_threads];
};

Hopper& hopper() {
    static Hopper instance;
    return instance;
}

// ---- mbarriers ----

MBarrier* find_barrier(const void* address) {
    for (MBarrier& barrier : hopper().barriers)
        if (barrier.address == address) return &barrier;
    return nullptr;
}

MBarrier& the_barrier(const void* address, const char* what) {
    shared_offset(address, 8, 8, what);
    MBarrier* barrier = find_barrier(address);
    if (barrier == nullptr) fail("%s: the barrier at %p was not initialised", what, address);
    return *barrier;
}

// Whoever waits looks again.
void wake_all(MBarrier& barrier) {
    const RaceDetectorLooksAway guard;
    wake(barrier.waiting.data(), static_cast<int>(barrier.waiting.size()));
    barrier.waiting.clear();
}

// Ends the phase if nothing is missing, and wakes who waits.
void settle(MBarrier& barrier) {
    if (barrier.arrivals_left > 0 || barrier.bytes_left > 0) return;
    barrier.arrivals_left = barrier.arrivals;
    ++barrier.phase;
    wake_all(barrier);
}

void land(const TensorLoad& load) {
    const size_t start = shared_offset(load.tile, 1, 1, "tensor_load");
    for (int row = 0; row < load.map.tile_rows; ++row) {
        unsigned char line[row_bytes] = {};
        const int64_t from_row = int64_t{load.row} + row;
        for (int i = 0; i < tensor_tile_columns; ++i) {
            const int64_t from_column = int64_t{load.column} + i;
            if (from_row < 0 || from_row >= load.map.rows || from_column < 0 || from_column >= load.map.columns) continue;
            std::memcpy(line + 2 * i, load.map.base + from_row * load.map.row_stride_bytes + from_column * 2, 2);
        }
        for (size_t chunk = 0; chunk < row_bytes; chunk += 16) {
            const size_t offset = start + static_cast<size_t>(row) * row_bytes + chunk;
            std::memcpy(shared_at(swizzled(offset), 16, "tensor_load"), line + chunk, 16);
        }
    }
}

// Copies land only when somebody waits and nothing else is missing from the phase: as late as the hardware may be.
void land_all(MBarrier& barrier) {
    if (barrier.arrivals_left > 0) return;
    while (!barrier.loads.empty()) {
        const TensorLoad load = barrier.loads.back();
        if (barrier.bytes_left < load.bytes())
            fail("tensor_load: %lld bytes land at the barrier at %p, which expects %lld", static_cast<long long>(load.bytes()),
                 barrier.address, static_cast<long long>(barrier.bytes_left));
        const RaceDetectorLooksAway guard;
        barrier.loads.pop_back();
        land(load);
        barrier.bytes_left -= load.bytes();
    }
    settle(barrier);
}

bool has_ended(const MBarrier& barrier, int parity) {
    return (barrier.phase & 1) != parity;
}

} // namespace

void barrier_init(void* address, int arrivals) {
    shared_offset(address, 8, 8, "barrier_init");
    if (arrivals < 1 || arrivals > arrivals_limit)
        fail("barrier_init: expected 1 to %d arrivals, found %d", arrivals_limit, arrivals);
    if (find_barrier(address) != nullptr) fail("barrier_init: the barrier at %p is initialised already", address);
    const RaceDetectorLooksAway guard;
    MBarrier& barrier = hopper().barriers.emplace_back();
    barrier.address = address;
    barrier.arrivals = barrier.arrivals_left = arrivals;
    barrier.owner = current_thread().thread;
}

void fence_async_proxy() {
    for (MBarrier& barrier : hopper().barriers)
        if (barrier.owner == current_thread().thread) barrier.known_to_copies = true;
}

void barrier_arrive(void* address, int expected_bytes, Site site) {
    MBarrier& barrier = the_barrier(address, "barrier_arrive");
    if (barrier.arrivals_left == 0)
        fail("barrier_arrive at line %d: the phase of the barrier at %p has had its %d arrivals and still waits for bytes",
             site.line, address, barrier.arrivals);
    race_release(&barrier.order_token);
    barrier.bytes_left += expected_bytes;
    --barrier.arrivals_left;
    settle(barrier);
    if (barrier.arrivals_left == 0) wake_all(barrier); // only bytes are missing: a waiting thread lands them
}

void barrier_wait(void* address, int parity, Site site) {
    if (parity != 0 && parity != 1) fail("barrier_wait: expected parity 0 or 1, found %d", parity);
    MBarrier& barrier = the_barrier(address, "barrier_wait");
    for (;;) {
        if (!has_ended(barrier, parity)) land_all(barrier);
        if (has_ended(barrier, parity)) break;
        {
            const RaceDetectorLooksAway guard;
            barrier.waiting.push_back(current_thread().thread);
        }
        park("barrier_wait", site);
    }
    race_acquire(&barrier.order_token);
}

// ---- tensor copies ----

namespace {

void check_source(const TensorMap& map, int row, int column) {
    const int64_t first = row < 0 ? 0 : row, last = std::min<int64_t>(map.rows, int64_t{row} + map.tile_rows);
    const int64_t from = column < 0 ? 0 : column, to = std::min<int64_t>(map.columns, int64_t{column} + tensor_tile_columns);
    for (int64_t i = first; i < last && from < to; ++i)
        check_global(map.base + i * map.row_stride_bytes + from * 2, static_cast<size_t>(to - from) * 2, 2, "tensor_load");
}

} // namespace

void tensor_load(void* tile, const TensorMap& map, int row, int column, void* address, Site site) {
    const size_t bytes = static_cast<size_t>(map.tile_rows) * row_bytes;
    shared_offset(tile, bytes, atom_bytes, "tensor_load");
    MBarrier& barrier = the_barrier(address, "tensor_load");
    if (!barrier.known_to_copies)
        fail("tensor_load at line %d: the barrier at %p was initialised without fence_async_proxy", site.line, address);
    check_source(map, row, column);
    // A write at issue: a stage that others still read shows as a race, a missing wait as NaN.
    for (size_t i = 0; i < bytes; i += 16) sanitized_fill16(static_cast<unsigned char*>(tile) + i, 0xff);
    race_release(&barrier.order_token);
    {
        const RaceDetectorLooksAway guard;
        barrier.loads.push_back({static_cast<unsigned char*>(tile), map, row, column});
    }
    wake_all(barrier); // who waits already may have nobody else to wake it
}

// ---- matrix instructions ----

namespace {

WarpGroup& running_group() {
    std::unique_ptr<WarpGroup>& group = hopper().groups[current_thread().thread / group_threads];
    if (group == nullptr) group = std::make_unique<WarpGroup>();
    return *group;
}

GroupThread& running_group_thread() {
    return running_group().threads[current_thread().thread % group_threads];
}

// Rows of 16 elements behind a descriptor, as floats [k][rows].
void read_operand(uint64_t descriptor, int rows, float (*value_of)(uint16_t), std::vector<float>& values) {
    const size_t start = (descriptor & 0x3fff) << 4, atom_stride = (descriptor >> 32 & 0x3fff) << 4;
    if (descriptor >> 62 != 1)
        fail("wgmma: descriptor %016llx does not name the 128-byte swizzle", static_cast<unsigned long long>(descriptor));
    if (start % atom_bytes >= row_bytes)
        fail("wgmma: the tile at offset %zu of shared memory is not aligned to %zu bytes", start, atom_bytes);
    values.resize(static_cast<size_t>(rows) * instruction_k);
    for (int row = 0; row < rows; ++row) {
        const size_t offset = start + static_cast<size_t>(row / 8) * atom_stride + static_cast<size_t>(row % 8) * row_bytes;
        for (int half = 0; half < 2; ++half) {
            alignas(16) uint16_t elements[8];
            sanitized_copy16(elements, shared_at(swizzled(offset + static_cast<size_t>(half) * 16), 16, "wgmma"));
            for (int i = 0; i < 8; ++i) values[static_cast<size_t>((half * 8 + i) * rows + row)] = value_of(elements[i]);
        }
    }
}

Accumulators* find_accumulators(GroupThread& thread, const float* registers) {
    for (Accumulators& accumulators : thread.accumulators)
        if (accumulators.registers == registers) return &accumulators;
    return nullptr;
}

// Where sum i of a thread stands: layout in cuda/sm90a/hopper.cuh.
size_t place_of(int thread, int i, int columns) {
    const int row = thread / 32 * 16 + thread % 32 / 4 + i % 4 / 2 * 8, column = i / 4 * 8 + thread % 4 * 2 + i % 2;
    return static_cast<size_t>(row * columns + column);
}

// The same instruction of all threads of the group. Each sum is one chain over ascending k.
void execute(WarpGroup& group, const MatrixInstruction* const (&of)[group_threads]) {
    const MatrixInstruction& one = *of[0];
    std::vector<float> left, right;
    read_operand(one.left, group_rows, one.value_of, left);
    read_operand(one.right, one.columns, one.value_of, right);
    const RaceDetectorLooksAway guard;
    const auto columns = static_cast<size_t>(one.columns);
    std::vector<float> sums(group_rows * columns);
    for (int thread = 0; thread < group_threads; ++thread) {
        const std::vector<float>& values = find_accumulators(group.threads[thread], of[thread]->d)->values;
        for (size_t i = 0; i < values.size(); ++i) sums[place_of(thread, static_cast<int>(i), one.columns)] = values[i];
    }
    for (size_t row = 0; row < group_rows; ++row)
        for (size_t k = 0; k < instruction_k; ++k) {
            const float factor = left[k * group_rows + row];
            for (size_t column = 0; column < columns; ++column)
                sums[row * columns + column] += factor * right[k * columns + column];
        }
    for (int thread = 0; thread < group_threads; ++thread) {
        std::vector<float>& values = find_accumulators(group.threads[thread], of[thread]->d)->values;
        for (size_t i = 0; i < values.size(); ++i) values[i] = sums[place_of(thread, static_cast<int>(i), one.columns)];
    }
}

void check_same(const MatrixInstruction& a, const MatrixInstruction& b, int thread) {
    if (a.columns != b.columns || a.left != b.left || a.right != b.right || a.value_of != b.value_of)
        fail("wgmma: thread %d of the warp group gave another instruction or descriptor than thread 0", thread);
}

// Runs the oldest committed group of every thread.
void execute_oldest(WarpGroup& group) {
    const size_t count = group.threads[0].committed.front().size();
    for (int thread = 0; thread < group_threads; ++thread)
        if (group.threads[thread].committed.front().size() != count)
            fail("wgmma: thread %d of the warp group committed another number of instructions than thread 0", thread);
    for (size_t i = 0; i < count; ++i) {
        const MatrixInstruction* of[group_threads];
        for (int thread = 0; thread < group_threads; ++thread) {
            of[thread] = &group.threads[thread].committed.front()[i];
            check_same(*of[0], *of[thread], thread);
        }
        execute(group, of);
    }
    const RaceDetectorLooksAway guard;
    for (GroupThread& thread : group.threads) {
        for (const MatrixInstruction& instruction : thread.committed.front())
            --find_accumulators(thread, instruction.d)->instructions;
        thread.committed.pop_front();
    }
}

// Accumulators without instructions under way go back to their thread.
void hand_back(GroupThread& thread) {
    for (size_t i = 0; i < thread.accumulators.size();) {
        Accumulators& accumulators = thread.accumulators[i];
        if (accumulators.instructions > 0) {
            ++i;
            continue;
        }
        std::memcpy(accumulators.registers, accumulators.values.data(), accumulators.values.size() * sizeof(float));
        thread.accumulators.erase(thread.accumulators.begin() + static_cast<std::ptrdiff_t>(i));
        thread.fenced = false; // the thread may touch them again
    }
}

void execute_until(WarpGroup& group, int pending) {
    const size_t count = group.threads[0].committed.size();
    for (int thread = 0; thread < group_threads; ++thread)
        if (group.threads[thread].committed.size() != count)
            fail("wgmma_wait: thread %d of the warp group has %zu groups under way, thread 0 has %zu", thread,
                 group.threads[thread].committed.size(), count);
    for (size_t left = count; left > static_cast<size_t>(pending); --left) execute_oldest(group);
    const RaceDetectorLooksAway guard;
    for (GroupThread& thread : group.threads) hand_back(thread);
}

} // namespace

uint64_t tile_descriptor(const void* tile) {
    const uint64_t offset = shared_offset(tile, atom_bytes, row_bytes, "tile_descriptor");
    return uint64_t{1} << 62 | uint64_t{atom_bytes / 16} << 32 | uint64_t{1} << 16 | (offset & 0x3ffff) >> 4;
}

void wgmma_fence() {
    running_group_thread().fenced = true;
}

void wgmma(float* d, int columns, uint64_t left, uint64_t right, float (*value_of)(uint16_t), Site site) {
    GroupThread& self = running_group_thread();
    if (!self.fenced) fail("wgmma at line %d: no wgmma_fence since the thread could last touch the accumulators", site.line);
    const auto count = static_cast<size_t>(columns / 2);
    Accumulators* found = find_accumulators(self, d);
    if (found != nullptr && found->values.size() != count)
        fail("wgmma at line %d: accumulators of %zu registers are used by an instruction of %zu", site.line, found->values.size(),
             count);
    const RaceDetectorLooksAway guard;
    if (found == nullptr) {
        found = &self.accumulators.emplace_back();
        found->registers = d;
        found->values.assign(d, d + count);
        std::fill(d, d + count, std::numeric_limits<float>::quiet_NaN());
    }
    ++found->instructions;
    self.open.push_back({d, columns, left, right, value_of});
}

void wgmma_commit() {
    const RaceDetectorLooksAway guard;
    GroupThread& self = running_group_thread();
    self.committed.push_back(std::move(self.open));
    self.open.clear();
}

void wgmma_wait(int pending, Site site) {
    WarpGroup& group = running_group();
    if (group.waiting.empty()) {
        group.pending = pending;
        group.site = site;
    }
    if (group.pending != pending || group.site.line != site.line)
        fail("threads of one warp group meet in wgmma_wait at lines %d and %d", group.site.line, site.line);
    if (group.waiting.size() + 1 < group_threads) {
        {
            const RaceDetectorLooksAway guard;
            group.waiting.push_back(current_thread().thread);
        }
        park("wgmma_wait", site);
    } else {
        execute_until(group, pending);
        race_release(&group.order_token); // what the tensor cores read, no thread of the group reads later
        const RaceDetectorLooksAway guard;
        std::sort(group.waiting.begin(), group.waiting.end());
        wake(group.waiting.data(), static_cast<int>(group.waiting.size()));
        group.waiting.clear();
    }
    race_acquire(&group.order_token);
}

// ---- for the emulator ----

void hopper_begin_block() {
    hopper().barriers.clear();
    for (std::unique_ptr<WarpGroup>& group : hopper().groups) group.reset();
}

const char* hopper_unfinished() {
    for (const MBarrier& barrier : hopper().barriers)
        if (!barrier.loads.empty()) return "the block ended with tensor copies that nobody waited for";
    for (const std::unique_ptr<WarpGroup>& group : hopper().groups) {
        if (group == nullptr) continue;
        for (const GroupThread& thread : group->threads)
            if (!thread.open.empty() || !thread.committed.empty())
                return "the block ended with matrix instructions that nobody waited for";
    }
    return nullptr;
}

} // namespace nlm::emulation
