// What was measured: one record per figure, as JSON for machines and as a table for readers.
#pragma once

#include "device.h"

#include <limits>
#include <string>
#include <vector>

namespace nlm::bench {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN(); // null in JSON, "-" in the table

// What one call has to do at least: bytes of device memory, and floating point operations (a multiply-add counts two).
struct Work {
    double read = 0, written = 0, operations = 0;

    double bytes() const { return read + written; }
};

// What a figure should reach. Missing it fails nothing.
struct Target {
    enum Quantity { None, FloorPercent, TeraflopPerSecond, MicrosecondsMost, RatioMost } quantity = None;
    double value = 0;
};

struct Record {
    std::string name;
    const char* kind = "performance"; // "ceiling", "performance", or "context": a figure that has neither partner nor floor
    double value = unknown;
    const char* unit = "us";
    std::string partner = {};        // what was timed in turn with it
    double ratio = unknown;          // partner's time over ours: above 1 we are faster
    double floor_percent = unknown;  // the least time that this card's measured ceilings allow, as a share of ours
    double spread_percent = unknown; // of rounds: 90th less 10th percentile, over the median
    Work work = {};
    Target target = {};

    double seconds() const; // of a value in "us" or "ms"
    double gigabytes_per_second() const { return work.bytes() / seconds() / 1e9; }
    double teraflop_per_second() const { return work.operations / seconds() / 1e12; }
    // 1 met, 0 missed, -1 no target or nothing measured.
    int met() const;
    std::string target_text() const;
};

class Report {
public:
    void add(const Record& record) { records_.push_back(record); }
    void write_json(const std::string& path, const Device& device) const;
    void print_table(const Device& device) const;

private:
    std::vector<Record> records_;
};

} // namespace nlm::bench
