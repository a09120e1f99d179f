#pragma once

namespace nlm::cpu {

// Processors this process may keep busy: the smaller of its affinity mask and its cgroup's CPU quota (rounded up); at least 1.
int available_cpu_count();

} // namespace nlm::cpu
