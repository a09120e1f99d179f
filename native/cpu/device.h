// The CPU device: a thread pool and the instruction family chosen when it was opened.
#pragma once

#include "nativelm.h"
#include "thread_pool.h"

#include <atomic>
#include <cstddef>
#include <map>
#include <mutex>

struct nlm_device {
    nlm_device(int thread_count, nlm_isa family) : pool(thread_count), isa(family) {}
    nlm::cpu::ThreadPool pool;
    nlm_isa isa; // never NLM_ISA_AUTO

    std::mutex memory_lock;
    std::map<void*, size_t> allocations; // address to mapped bytes
    std::atomic<int> open_handles{0};    // streams, events and graphs
    std::atomic<nlm_graph*> recording{nullptr};
};

struct nlm_stream {
    nlm_device* device;             // in order and synchronous: a call returns when its work is done
    nlm_graph* recording = nullptr; // takes the work instead, between nlm_graph_begin and nlm_graph_end
};

struct nlm_event {
    nlm_device* device; // always complete
};
