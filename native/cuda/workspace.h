// Cuts an op's workspace into arrays, one after the other, each aligned like the buffer itself. Without memory it only adds up,
// so the size that is asked for and the layout that is used come from one text.
#pragma once

#include "check.h"

namespace nlm {

struct WorkspaceCutter {
    char* memory; // or null
    int64_t bytes = 0;

    template <typename T> void take(T*& array, int64_t count) {
        if (memory != nullptr) array = reinterpret_cast<T*>(memory + bytes);
        const int64_t alignment = buffer_alignment;
        bytes += (checked_product(count, sizeof(T), "workspace") + alignment - 1) / alignment * alignment;
    }
};

} // namespace nlm
