#include "cpu_count.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <sched.h>
#include <string>
#include <thread>

namespace nlm::cpu {

namespace {

int affinity_count() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    return static_cast<int>(std::thread::hardware_concurrency()); // more processors than the set holds
}

// Quota of one cgroup v2 folder in processors, or infinity.
double quota_v2(const std::string& folder) {
    std::ifstream file(folder + "/cpu.max");
    double quota = 0, period = 0;
    if (file >> quota >> period && quota > 0 && period > 0) return quota / period; // "max 100000" fails to parse: no limit
    return INFINITY;
}

double quota_v1(const std::string& folder) {
    std::ifstream quota_file(folder + "/cpu.cfs_quota_us"), period_file(folder + "/cpu.cfs_period_us");
    double quota = 0, period = 0;
    if (quota_file >> quota && period_file >> period && quota > 0 && period > 0) return quota / period;
    return INFINITY;
}

// The tightest quota on the way from this process's cgroup to the root.
double cgroup_quota() {
    double quota = std::min(quota_v2("/sys/fs/cgroup"), quota_v1("/sys/fs/cgroup/cpu"));
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) { // "0::/path" or "4:cpu,cpuacct:/path"
        const size_t first = line.find(':'), second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        const bool v2 = second == first + 1;
        if (!v2 && line.substr(first + 1, second - first - 1).find("cpu") == std::string::npos) continue;
        for (std::string path = line.substr(second + 1); path.size() > 1; path.resize(path.rfind('/'))) {
            quota = std::min(quota, v2 ? quota_v2("/sys/fs/cgroup" + path) : quota_v1("/sys/fs/cgroup/cpu" + path));
            if (path.rfind('/') == std::string::npos) break;
        }
    }
    return quota;
}

} // namespace

int available_cpu_count() {
    const double quota = std::ceil(std::min(cgroup_quota(), 4096.0));
    return std::max(1, std::min(affinity_count(), static_cast<int>(quota)));
}

} // namespace nlm::cpu
