// What the sanitizers are told about fibers and about memory order. Nothing in an ordinary build.
#pragma once

#if defined(__SANITIZE_THREAD__)
#define NLM_RACE_DETECTOR 1
#else
#define NLM_RACE_DETECTOR 0
#endif
#if defined(__SANITIZE_ADDRESS__)
#define NLM_ADDRESS_SANITIZER 1
#else
#define NLM_ADDRESS_SANITIZER 0
#endif

// The emulator itself is compiled without the race detector's instrumentation, so a definition says that the detector is there.
#if NLM_RACE_DETECTOR || defined(NATIVELM_RACE_DETECTOR)
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#define NLM_HAS_RACE_DETECTOR 1
#else
#define NLM_HAS_RACE_DETECTOR 0
#endif

#if NLM_ADDRESS_SANITIZER
extern "C" {
void __sanitizer_start_switch_fiber(void** fake_stack_save, const void* bottom, __SIZE_TYPE__ size);
void __sanitizer_finish_switch_fiber(void* fake_stack_save, const void** bottom_old, __SIZE_TYPE__* size_old);
void __asan_unpoison_memory_region(const volatile void* address, __SIZE_TYPE__ size);
}
#endif

namespace nlm::emulation {

inline void race_acquire([[maybe_unused]] void* token) {
#if NLM_HAS_RACE_DETECTOR
    __tsan_acquire(token);
#endif
}

inline void race_release([[maybe_unused]] void* token) {
#if NLM_HAS_RACE_DETECTOR
    __tsan_release(token);
#endif
}

// The emulator's own bookkeeping passes data between fibers on purpose: the detector looks away while one of these lives.
class RaceDetectorLooksAway {
public:
    RaceDetectorLooksAway() {
#if NLM_HAS_RACE_DETECTOR
        AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
        AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
#endif
    }
    ~RaceDetectorLooksAway() {
#if NLM_HAS_RACE_DETECTOR
        AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
        AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
#endif
    }
    RaceDetectorLooksAway(const RaceDetectorLooksAway&) = delete;
    RaceDetectorLooksAway& operator=(const RaceDetectorLooksAway&) = delete;
};

} // namespace nlm::emulation
