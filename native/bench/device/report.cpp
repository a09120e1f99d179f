#include "report.h"

#include <cmath>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string_view>

namespace nlm::bench {

double Record::seconds() const {
    const std::string_view text = unit;
    return text == "us" ? value * 1e-6 : text == "ms" ? value * 1e-3 : unknown;
}

namespace {

double reached(const Record& record) {
    switch (record.target.quantity) {
    case Target::FloorPercent:
        return record.floor_percent;
    case Target::TeraflopPerSecond:
        return record.teraflop_per_second();
    case Target::MicrosecondsMost:
        return record.seconds() * 1e6;
    case Target::RatioMost:
        return record.ratio;
    case Target::None:
        break;
    }
    return unknown;
}

// "%.*f", or another text where there is no value.
std::string number(double value, int digits, const char* missing) {
    if (!std::isfinite(value)) return missing;
    char text[48];
    std::snprintf(text, sizeof text, "%.*f", digits, value);
    return text;
}

std::string json_number(double value) {
    if (!std::isfinite(value)) return "null";
    char text[48];
    std::snprintf(text, sizeof text, "%.6g", value);
    return text;
}

std::string json_text(const std::string& text) {
    std::string quoted = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') quoted += '\\';
        quoted += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
    return quoted + "\"";
}

std::string json_record(const Record& record) {
    const int met = record.met();
    std::string text = "    {\"name\": " + json_text(record.name) + ", \"kind\": " + json_text(record.kind) +
                       ", \"value\": " + json_number(record.value) + ", \"unit\": " + json_text(record.unit);
    text += ", \"partner\": " + (record.partner.empty() ? "null" : json_text(record.partner));
    text += ", \"ratio\": " + json_number(record.ratio) + ", \"floor_percent\": " + json_number(record.floor_percent);
    text += ", \"spread_percent\": " + json_number(record.spread_percent);
    text += ", \"bytes\": " + json_number(record.work.bytes()) + ", \"operations\": " + json_number(record.work.operations);
    text += ", \"target\": " + (record.target.quantity == Target::None ? "null" : json_text(record.target_text()));
    return text + ", \"met\": " + (met < 0 ? "null" : met == 1 ? "true" : "false") + "}";
}

} // namespace

int Record::met() const {
    const double value = reached(*this);
    if (target.quantity == Target::None || !std::isfinite(value)) return -1;
    const bool is_most = target.quantity == Target::MicrosecondsMost || target.quantity == Target::RatioMost;
    return is_most ? value <= target.value : value >= target.value;
}

std::string Record::target_text() const {
    switch (target.quantity) {
    case Target::FloorPercent:
        return "floor_percent >= " + number(target.value, 0, "");
    case Target::TeraflopPerSecond:
        return "TFLOP/s >= " + number(target.value, 0, "");
    case Target::MicrosecondsMost:
        return "us <= " + number(target.value, 0, "");
    case Target::RatioMost:
        return "ratio <= " + number(target.value, 2, "");
    case Target::None:
        break;
    }
    return "";
}

void Report::write_json(const std::string& path, const Device& device) const {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "w"), std::fclose);
    if (file == nullptr) throw std::runtime_error("cannot write " + path);
    const nlm_device_info& info = device.info();
    std::fprintf(file.get(),
                 "{\n  \"device\": {\"name\": %s, \"driver\": %s, \"compute_capability\": %d, \"multiprocessors\": %d, "
                 "\"memory_bytes\": %lld},\n  \"rehearsal\": %s,\n  \"records\": [",
                 json_text(info.name).c_str(), json_text(info.driver).c_str(), info.compute_capability, info.multiprocessors,
                 static_cast<long long>(info.memory_bytes_total), device.is_emulated() ? "true" : "false");
    const char* separator = "\n";
    for (const Record& record : records_) {
        std::fprintf(file.get(), "%s%s", separator, json_record(record).c_str());
        separator = ",\n";
    }
    std::fprintf(file.get(), "\n  ]\n}\n");
}

void Report::print_table(const Device& device) const {
    if (device.is_emulated()) {
        std::printf("\n%s: a rehearsal of %zu figures, nothing was timed\n", device.info().name, records_.size());
        return;
    }
    std::printf("\n%s\n", device.info().name);
    std::printf("%-58s %10s %-7s %8s %8s %7s %7s %6s  %s\n", "figure", "value", "unit", "GB/s", "TFLOP/s", "floor %", "ratio",
                "spread", "target");
    for (const Record& record : records_) {
        const int met = record.met();
        const std::string target = record.target_text() + (met < 0 ? "" : met == 1 ? " (met)" : " (missed)");
        std::printf("%-58s %10s %-7s %8s %8s %7s %7s %6s  %s%s%s\n", record.name.c_str(),
                    number(record.value, record.value < 100 ? 2 : 1, "-").c_str(), record.unit,
                    number(record.gigabytes_per_second(), 0, "-").c_str(), number(record.teraflop_per_second(), 1, "-").c_str(),
                    number(record.floor_percent, 1, "-").c_str(), number(record.ratio, 2, "-").c_str(),
                    number(record.spread_percent, 1, "-").c_str(), target.c_str(), record.partner.empty() ? "" : " vs ",
                    record.partner.c_str());
    }
}

} // namespace nlm::bench
