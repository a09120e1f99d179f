#include "fiber.h"

#include "sanitizers.h"

#include <cstdint>
#include <new>
#include <sys/mman.h>

// Saves the registers that a call must keep on the stack, swaps stacks, restores. 11 ns; ucontext costs twenty times that because
// it saves the signal mask by a system call.
asm(R"(
.text
.type nlm_fiber_switch, @function
nlm_fiber_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size nlm_fiber_switch, . - nlm_fiber_switch
)");
extern "C" void nlm_fiber_switch(void** from_stack_pointer, void* to_stack_pointer);

namespace nlm::emulation {

namespace {
[[maybe_unused]] Fiber* last_left = nullptr;
}

Fiber::~Fiber() {
#if NLM_HAS_RACE_DETECTOR
    if (race_detector_ != nullptr && !adopted_) __tsan_destroy_fiber(race_detector_);
#endif
    if (stack_ != nullptr) munmap(stack_, fiber_stack_bytes);
}

void Fiber::prepare(void (*entry)()) {
    if (stack_ == nullptr) {
        void* memory =
            mmap(nullptr, fiber_stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        stack_ = static_cast<char*>(memory);
        bottom_ = stack_;
        size_ = fiber_stack_bytes;
    }
#if NLM_HAS_RACE_DETECTOR
    if (race_detector_ == nullptr) race_detector_ = __tsan_create_fiber(0);
#endif
#if NLM_ADDRESS_SANITIZER
    constexpr size_t unfinished = 8 << 10; // frames of an entry function that never returned
    __asan_unpoison_memory_region(stack_ + fiber_stack_bytes - unfinished, unfinished);
#endif
    // Six registers, then the address that ret jumps to; a function starts with its stack pointer 8 past a multiple of 16.
    auto* top = reinterpret_cast<uintptr_t*>(stack_ + fiber_stack_bytes) - 2;
    *top = reinterpret_cast<uintptr_t>(entry);
    for (int i = 1; i <= 6; ++i) top[-i] = 0;
    stack_pointer_ = top - 6;
    fake_stack_ = nullptr;
}

void Fiber::adopt_caller() {
    adopted_ = true;
#if NLM_HAS_RACE_DETECTOR
    race_detector_ = __tsan_get_current_fiber();
#endif
}

void Fiber::switch_from(Fiber& from, [[maybe_unused]] bool from_ends) {
    last_left = &from;
#if NLM_ADDRESS_SANITIZER
    __sanitizer_start_switch_fiber(from_ends ? nullptr : &from.fake_stack_, bottom_, size_);
#endif
#if NLM_HAS_RACE_DETECTOR
    constexpr unsigned no_sync = 1; // a switch of fibers is the emulator's doing and orders nothing in the kernel
    __tsan_switch_to_fiber(race_detector_, no_sync);
#endif
    nlm_fiber_switch(&from.stack_pointer_, stack_pointer_);
    from.entered();
}

void Fiber::entered() {
#if NLM_ADDRESS_SANITIZER
    const void* bottom = nullptr;
    size_t size = 0;
    __sanitizer_finish_switch_fiber(fake_stack_, &bottom, &size);
    // Where the calling thread's own stack lies is known only now, to whoever it switched to.
    if (last_left->adopted_) {
        last_left->bottom_ = bottom;
        last_left->size_ = size;
    }
#endif
}

void Fiber::abandon([[maybe_unused]] void* order_token) {
#if NLM_HAS_RACE_DETECTOR
    // What it did happened before whatever the adopted thread does next, as far as the detector is concerned.
    constexpr unsigned no_sync = 1;
    void* const running = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(race_detector_, no_sync);
    __tsan_release(order_token);
    __tsan_switch_to_fiber(running, no_sync);
#endif
#if NLM_ADDRESS_SANITIZER
    __asan_unpoison_memory_region(stack_, fiber_stack_bytes);
#endif
}

} // namespace nlm::emulation
