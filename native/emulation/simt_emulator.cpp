// Runs the blocks of a grid: fibers, collectives, barriers, shared memory, asynchronous copies.
#include "simt_emulator.h"

#include "emulator_state.h"
#include "fiber.h"
#include "hopper_emulator.h"
#include "sanitized_copy.h"
#include "sanitizers.h"
#include "scheduling.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

namespace nlm::emulation {

ThreadContext* running_thread = nullptr;

namespace {

constexpr int warp_size = 32;
constexpr int thread_limit = 1024;
constexpr size_t shared_limit = 227 << 10; // bytes a block may have on sm_90
constexpr size_t shared_alignment = 1024;  // of the block's dynamic shared memory: what swizzled tiles need

enum class ThreadState { ready, waiting, ended };

struct PendingCopy {
    void* shared;
    const void* global; // null: zeros
};

// One CUDA thread.
struct EmulatedThread {
    Fiber fiber;
    ThreadContext context;
    ThreadState state = ThreadState::ended;
    const char* waits_for = "";
    Site waits_at{};
    std::vector<PendingCopy> open_copies;                  // issued, not committed
    std::deque<std::vector<PendingCopy>> committed_copies; // oldest group first
};

// A collective that some lanes of a warp have reached.
struct Meeting {
    uint32_t mask = 0, arrived = 0;
    const char* name = "";
    Site site{};
    unsigned number = 0; // of the meetings of its warp
    void* outs[warp_size];
};

struct Warp {
    Meeting meetings[warp_size]; // disjoint masks, the first meeting_count are open
    int meeting_count = 0;
    alignas(64) unsigned char in[warp_size][lane_bytes];
    alignas(16) unsigned char out[warp_size][lane_bytes];
    unsigned meetings_opened = 0;
    char order_tokens[2 * warp_size]; // for the race detector: what warp_barrier orders, by the meeting's number
};

// Everything about the launch under way. One at a time, under the emulator's lock.
struct Machine {
    Shape shape;
    const std::function<void()>* kernel = nullptr;
    Fiber scheduler;
    std::vector<std::unique_ptr<EmulatedThread>> threads; // pooled
    std::vector<Warp> warps;
    int ready[thread_limit]; // a ring: who may run, in order
    int ready_head = 0, ready_count = 0;
    EmulatedThread* current = nullptr;
    int ended = 0, barrier_arrived = 0;
    Site barrier_site{};
    // For the race detector: what the start, the end and the barriers of a block order. Start and end are apart, because the end
    // of one thread does not come before the start of another; barriers take turns, because a thread that wakes late from one
    // must not learn what others did on their way to the next.
    char start_token = 0, end_token = 0, barrier_tokens[2] = {};
    unsigned barriers_passed = 0;
    unsigned char* shared = nullptr;
    bool failed = false;
    uint64_t random = 0;
};

Machine the_machine;

uint64_t next_random(Machine& m) {
    m.random = m.random * 6364136223846793005ull + 1442695040888963407ull;
    return m.random >> 33;
}

// Takes the next thread to run: the front of the queue, or any for random orders.
EmulatedThread* take_ready(Machine& m) {
    if (m.ready_count == 0) return nullptr;
    int& front = m.ready[m.ready_head];
    if (settings().threads == ThreadOrder::random) {
        const auto chosen = static_cast<int>(next_random(m) % static_cast<uint64_t>(m.ready_count));
        std::swap(front, m.ready[(m.ready_head + chosen) % thread_limit]);
    }
    m.ready_head = (m.ready_head + 1) % thread_limit;
    --m.ready_count;
    return m.threads[static_cast<size_t>(front)].get();
}

void make_ready(Machine& m, const int* list, int list_count) {
    for (int i = 0; i < list_count; ++i) {
        const int thread = settings().threads == ThreadOrder::reverse ? list[list_count - 1 - i] : list[i];
        m.threads[static_cast<size_t>(thread)]->state = ThreadState::ready;
        m.ready[(m.ready_head + m.ready_count++) % thread_limit] = thread;
    }
}

// All threads of the block but one, or all.
void make_all_ready(Machine& m, int except = -1) {
    int threads[thread_limit], thread_total = 0;
    for (int i = 0; i < m.shape.block; ++i)
        if (i != except) threads[thread_total++] = i;
    make_ready(m, threads, thread_total);
}

// Leaves the current thread, which waits or has ended, for the next one, or for the scheduler when none can run.
void leave(Machine& m, bool ends) {
    EmulatedThread* self = m.current;
    EmulatedThread* next = m.failed ? nullptr : take_ready(m);
    if (next == self) return; // released by itself: no switch
    m.current = next;
    running_thread = next != nullptr ? &next->context : nullptr;
    Fiber& target = next != nullptr ? next->fiber : m.scheduler;
    target.switch_from(self->fiber, ends);
    m.current = self;
    running_thread = &self->context;
}

void wait_here(Machine& m, const char* what, Site site) {
    m.current->state = ThreadState::waiting;
    m.current->waits_for = what;
    m.current->waits_at = site;
    leave(m, false);
}

void thread_main() {
    Machine& m = the_machine;
    EmulatedThread& self = *m.current;
    self.fiber.entered();
    race_acquire(&m.start_token);
    (*m.kernel)();
    if (!self.open_copies.empty() || !self.committed_copies.empty())
        fail("the thread ended with asynchronous copies that nobody waited for");
    race_release(&m.end_token);
    self.state = ThreadState::ended;
    ++m.ended;
    leave(m, true);
    __builtin_unreachable();
}

const char* file_name(const char* path) {
    const char* slash = std::strrchr(path, '/');
    return slash != nullptr ? slash + 1 : path;
}

// A block in which nobody can run although not everybody has ended.
void report_deadlock(Machine& m) {
    const EmulatedThread* first = nullptr;
    int waiting = 0;
    for (int i = 0; i < m.shape.block; ++i) {
        const EmulatedThread& thread = *m.threads[static_cast<size_t>(i)];
        if (thread.state != ThreadState::waiting) continue;
        if (first == nullptr) first = &thread;
        ++waiting;
    }
    set_report("deadlock in block (%d, %d): %d of %d threads wait, %d have ended; thread %d waits for %s at %s:%d",
               first->context.block_x, first->context.block_y, waiting, m.shape.block, m.ended, first->context.thread,
               first->waits_for, file_name(first->waits_at.file), first->waits_at.line);
    m.failed = true;
}

void abandon_threads(Machine& m) {
    for (int i = 0; i < m.shape.block; ++i) {
        EmulatedThread& thread = *m.threads[static_cast<size_t>(i)];
        if (thread.state != ThreadState::ended) thread.fiber.abandon(&m.end_token);
        thread.state = ThreadState::ended;
        thread.open_copies.clear();
        thread.committed_copies.clear();
    }
    for (Warp& warp : m.warps) warp.meeting_count = 0;
}

void run_block(Machine& m, int block_x, int block_y) {
    count(Counter::blocks);
    void* memory = nullptr;
    if (m.shape.shared_bytes > 0 && posix_memalign(&memory, shared_alignment, m.shape.shared_bytes) != 0) throw std::bad_alloc();
    const std::unique_ptr<void, void (*)(void*)> owner(memory, &std::free);
    m.shared = static_cast<unsigned char*>(memory);
    if (memory != nullptr) std::memset(memory, 0xff, m.shape.shared_bytes); // NaN in every float type
    m.ended = m.barrier_arrived = 0;
    m.ready_head = m.ready_count = 0;
    hopper_begin_block();
    for (int i = 0; i < m.shape.block; ++i) {
        EmulatedThread& thread = *m.threads[static_cast<size_t>(i)];
        thread.context = {i, block_x, block_y, &m.shape};
        thread.fiber.prepare(&thread_main);
    }
    make_all_ready(m);
    race_release(&m.start_token);
    EmulatedThread* first = take_ready(m);
    m.current = first;
    running_thread = &first->context;
    first->fiber.switch_from(m.scheduler);
    running_thread = nullptr;
    m.current = nullptr;
    if (!m.failed && m.ended < m.shape.block) report_deadlock(m);
    if (!m.failed && hopper_unfinished() != nullptr) {
        set_report("block (%d, %d): %s", block_x, block_y, hopper_unfinished());
        m.failed = true;
    }
    if (m.failed) abandon_threads(m);
    race_acquire(&m.end_token);
    m.shared = nullptr;
}

cudaError_t check_shape(const Shape& shape) {
    if (shape.block < 1 || shape.block > thread_limit || shape.block % warp_size != 0) {
        set_report("launch: expected 32 to 1024 threads in whole warps, found %d", shape.block);
        return cudaErrorInvalidValue;
    }
    if (shape.shared_bytes > shared_limit) {
        set_report("launch: expected at most %zu bytes of shared memory, found %zu", shared_limit, shape.shared_bytes);
        return cudaErrorInvalidValue;
    }
    if (shape.grid_x < 1 || shape.grid_y < 1 || shape.grid_y > 65535) {
        set_report("launch: expected a grid of at least 1 by 1 and at most 65535 in y, found %d by %d", shape.grid_x,
                   shape.grid_y);
        return cudaErrorInvalidValue;
    }
    return cudaSuccess;
}

} // namespace

cudaError_t run_grid(const Shape& shape, const std::function<void()>& kernel) {
    Machine& m = the_machine;
    const cudaError_t shape_status = check_shape(shape);
    if (shape_status != cudaSuccess) return shape_status;
    const RaceDetectorLooksAway guard;
    count(Counter::launches);
    m.shape = shape;
    m.kernel = &kernel;
    m.failed = false;
    m.random = settings().seed * 2 + 1;
    m.scheduler.adopt_caller();
    while (m.threads.size() < static_cast<size_t>(shape.block)) m.threads.push_back(std::make_unique<EmulatedThread>());
    m.warps.resize(static_cast<size_t>(shape.block / warp_size));
    const int64_t blocks = static_cast<int64_t>(shape.grid_x) * shape.grid_y;
    for (int64_t i = 0; i < blocks && !m.failed; ++i) {
        const int64_t block = settings().blocks_reversed ? blocks - 1 - i : i;
        run_block(m, static_cast<int>(block % shape.grid_x), static_cast<int>(block / shape.grid_x));
    }
    m.kernel = nullptr;
    return m.failed ? cudaErrorLaunchFailure : cudaSuccess;
}

void fail(const char* format, ...) {
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    Machine& m = the_machine;
    const ThreadContext& context = m.current->context;
    set_report("block (%d, %d), thread %d: %s", context.block_x, context.block_y, context.thread, text);
    m.failed = true;
    m.current->state = ThreadState::waiting; // for ever: the scheduler throws the block away
    leave(m, false);
    std::abort(); // not reached: nobody continues a thread of a failed block
}

// ---- for other emulated units ----

void park(const char* what, Site site) {
    wait_here(the_machine, what, site);
}

void wake(const int* threads, int count) {
    make_ready(the_machine, threads, count);
}

// ---- collectives ----

namespace {

struct Operands {
    const void* in;
    size_t in_bytes;
    void* out;
    size_t out_bytes;
    void (*compute)(const Lanes&);
};

enum class Arrival { waits, completes, foreign_lane, mismatch };

Meeting* find_meeting(Warp& warp, uint32_t mask) {
    for (int i = 0; i < warp.meeting_count; ++i)
        if ((warp.meetings[i].mask & mask) != 0) return &warp.meetings[i];
    return nullptr;
}

Meeting* open_meeting(Warp& warp, uint32_t mask, const char* name, Site site) {
    Meeting* meeting = &warp.meetings[warp.meeting_count++];
    meeting->mask = mask;
    meeting->arrived = 0;
    meeting->name = name;
    meeting->site = site;
    meeting->number = warp.meetings_opened++;
    return meeting;
}

// Text is compared where addresses differ: a header's literal may have several.
bool same_text(const char* a, const char* b) {
    return a == b || std::strcmp(a, b) == 0;
}

bool same_place(const Site& a, const Site& b) {
    return a.line == b.line && same_text(a.file, b.file);
}

// Operands are whole words.
void copy_words(void* destination, const void* source, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 4)
        std::memcpy(static_cast<char*>(destination) + i, static_cast<const char*>(source) + i, 4);
}

// Enters the current lane into the meeting of its mask; the last to arrive serves all and makes them ready.
Arrival arrive(Machine& m, Warp& warp, uint32_t mask, const char* name, const Site& site, const Operands& operands) {
    const RaceDetectorLooksAway guard;
    count(Counter::collectives);
    const int thread = m.current->context.thread, lane = thread % warp_size;
    if ((mask >> lane & 1u) == 0) return Arrival::foreign_lane;
    Meeting* meeting = find_meeting(warp, mask);
    if (meeting == nullptr) meeting = open_meeting(warp, mask, name, site);
    if (meeting->mask != mask || !same_place(meeting->site, site) || !same_text(meeting->name, name)) return Arrival::mismatch;
    copy_words(warp.in[lane], operands.in, operands.in_bytes);
    meeting->outs[lane] = operands.out;
    meeting->arrived |= 1u << lane;
    if (meeting->arrived != mask) return Arrival::waits;
    if (operands.compute != nullptr) operands.compute(Lanes(warp.in, warp.out));
    int others[warp_size], other_count = 0;
    for (int other = 0; other < warp_size; ++other) {
        if ((mask >> other & 1u) == 0) continue;
        copy_words(meeting->outs[other], warp.out[other], operands.out_bytes);
        if (other != lane) others[other_count++] = thread - lane + other;
    }
    *meeting = warp.meetings[--warp.meeting_count];
    make_ready(m, others, other_count);
    return Arrival::completes;
}

} // namespace

void collective(uint32_t mask, const char* name, Site site, const void* in, size_t in_bytes, void* out, size_t out_bytes,
                void (*compute)(const Lanes&)) {
    Machine& m = the_machine;
    const int thread = m.current->context.thread;
    Warp& warp = m.warps[static_cast<size_t>(thread / warp_size)];
    switch (arrive(m, warp, mask, name, site, {in, in_bytes, out, out_bytes, compute})) {
    case Arrival::completes:
        return;
    case Arrival::waits:
        return wait_here(m, name, site);
    case Arrival::foreign_lane:
        fail("%s at %s:%d: lane %d is not in its own mask %08x", name, file_name(site.file), site.line, thread % warp_size, mask);
    case Arrival::mismatch:
        const Meeting* other = find_meeting(warp, mask);
        fail("lanes of one warp meet in %s at %s:%d (mask %08x) and in %s at %s:%d (mask %08x)", other->name,
             file_name(other->site.file), other->site.line, other->mask, name, file_name(site.file), site.line, mask);
    }
}

void warp_barrier(uint32_t mask, Site site) {
    Machine& m = the_machine;
    Warp& warp = m.warps[static_cast<size_t>(m.current->context.thread / warp_size)];
    // A token of this meeting alone: a lane that wakes late must not learn what others did after it.
    const Meeting* open = find_meeting(warp, mask);
    char* const token = &warp.order_tokens[(open != nullptr ? open->number : warp.meetings_opened) % (2 * warp_size)];
    race_release(token);
    collective(mask, "sync_warp", site, nullptr, 0, nullptr, 0, nullptr);
    race_acquire(token);
}

void block_barrier(Site site) {
    Machine& m = the_machine;
    if (m.ended > 0) fail("sync_threads at %s:%d: %d threads of the block have ended", file_name(site.file), site.line, m.ended);
    if (m.barrier_arrived == 0) m.barrier_site = site;
    if (!same_place(m.barrier_site, site))
        fail("threads of one block meet in sync_threads at %s:%d and at %s:%d", file_name(m.barrier_site.file),
             m.barrier_site.line, file_name(site.file), site.line);
    char* const token = &m.barrier_tokens[m.barriers_passed % 2];
    race_release(token);
    if (++m.barrier_arrived < m.shape.block) {
        wait_here(m, "sync_threads", site);
    } else {
        m.barrier_arrived = 0;
        ++m.barriers_passed;
        make_all_ready(m, m.current->context.thread);
    }
    race_acquire(token);
}

// ---- memory ----

void* block_shared_memory(size_t bytes) {
    Machine& m = the_machine;
    if (bytes > m.shape.shared_bytes)
        fail("shared memory: the kernel uses %zu bytes, the launch gave %zu", bytes, m.shape.shared_bytes);
    return m.shared;
}

namespace {

bool in_shared(const Machine& m, const void* p, size_t bytes) {
    const auto* address = static_cast<const unsigned char*>(p);
    return m.shared != nullptr && address >= m.shared && address + bytes <= m.shared + m.shape.shared_bytes;
}

void check_shared(const void* p, size_t bytes, size_t alignment, const char* what) {
    const Machine& m = the_machine;
    if (!in_shared(m, p, bytes))
        fail("%s: %zu bytes at %p are outside the block's %zu bytes of shared memory", what, bytes, p, m.shape.shared_bytes);
    if (reinterpret_cast<uintptr_t>(p) % alignment != 0)
        fail("%s: shared address %p is not aligned to %zu bytes", what, p, alignment);
}

void land(const std::vector<PendingCopy>& group) {
    for (const PendingCopy& copy : group) {
        if (copy.global != nullptr)
            sanitized_copy16(copy.shared, copy.global);
        else
            sanitized_fill16(copy.shared, 0);
    }
}

} // namespace

size_t shared_offset(const void* p, size_t bytes, size_t alignment, const char* what) {
    check_shared(p, bytes, alignment, what);
    return static_cast<size_t>(static_cast<const unsigned char*>(p) - the_machine.shared);
}

unsigned char* shared_at(size_t offset, size_t bytes, const char* what) {
    const Machine& m = the_machine;
    if (offset > m.shape.shared_bytes || bytes > m.shape.shared_bytes - offset)
        fail("%s: %zu bytes at offset %zu are outside the block's %zu bytes of shared memory", what, bytes, offset,
             m.shape.shared_bytes);
    return m.shared + offset;
}

void check_global(const void* p, size_t bytes, size_t alignment, const char* what) {
    if (running_thread == nullptr) return; // host code that shares a helper with kernels
    if (reinterpret_cast<uintptr_t>(p) % alignment != 0) fail("%s: address %p is not aligned to %zu bytes", what, p, alignment);
    if (!is_device_accessible(p, bytes)) fail("%s: %zu bytes at %p are in no live allocation", what, bytes, p);
}

void check_atomic(const void* p, size_t bytes) {
    if (in_shared(the_machine, p, bytes))
        check_shared(p, bytes, bytes, "atomic");
    else
        check_global(p, bytes, bytes, "atomic");
}

void cp_async16(void* shared, const void* global, bool valid) {
    check_shared(shared, 16, 16, "cp_async16");
    if (valid) check_global(global, 16, 16, "cp_async16");
    sanitized_fill16(shared, 0xff); // a write at issue: a slot that others still read shows as a race, a missing wait as NaN
    const RaceDetectorLooksAway guard;
    the_machine.current->open_copies.push_back({shared, valid ? global : nullptr});
}

void cp_async_commit() {
    const RaceDetectorLooksAway guard;
    EmulatedThread& self = *the_machine.current;
    self.committed_copies.push_back(std::move(self.open_copies));
    self.open_copies.clear();
}

void cp_async_wait(int pending) {
    EmulatedThread& self = *the_machine.current;
    for (;;) {
        std::vector<PendingCopy> oldest;
        {
            const RaceDetectorLooksAway guard;
            if (self.committed_copies.size() <= static_cast<size_t>(pending)) return;
            oldest = std::move(self.committed_copies.front());
            self.committed_copies.pop_front();
        }
        land(oldest);
    }
}

} // namespace nlm::emulation
