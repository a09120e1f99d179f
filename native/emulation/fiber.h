// Fibers: threads of execution that switch by hand, one for each CUDA thread of a block. x86-64 only.
#pragma once

#include <cstddef>

namespace nlm::emulation {

constexpr size_t fiber_stack_bytes = 128 << 10;

// The thread that calls the emulator is a fiber too, without a stack of its own.
class Fiber {
public:
    Fiber() = default;
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;
    ~Fiber();

    // Prepares the fiber to run entry from its start at the next switch. What it did before is forgotten.
    void prepare(void (*entry)());
    // Adopts the calling thread, so that it can be switched back to.
    void adopt_caller();
    // Leaves `from`, which is running, and continues this fiber. from_ends: `from` will not be continued, only prepared again.
    void switch_from(Fiber& from, bool from_ends = false);
    // To be called first thing in entry.
    void entered();
    // The fiber was left in the middle and will be prepared anew. order_token: what the caller acquires before it reads what the
    // fiber wrote.
    void abandon(void* order_token);

private:
    void* stack_pointer_ = nullptr;
    char* stack_ = nullptr;
    void* race_detector_ = nullptr; // handle of -fsanitize=thread
    bool adopted_ = false;
    // What -fsanitize=address keeps for a fiber that is not running, and the stack of the adopted thread.
    void* fake_stack_ = nullptr;
    const void* bottom_ = nullptr;
    size_t size_ = 0;
};

} // namespace nlm::emulation
