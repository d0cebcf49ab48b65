#include "relay/intake/delivered_by.hpp"

#include <algorithm>
#include <exception>
#include <functional>
#include <mutex>
#include <utility>

#include "proto/ref.hpp"
#include "relay/event/journal.hpp"
#include "relay/event/journal_lines.hpp"
#include "relay/event/journal_reader.hpp"
#include "relay/event/json.hpp"

namespace postern::relay::intake {

namespace {

/// Of 64 MiB each.
constexpr std::size_t most_files = 4;

bool had_it(std::string_view result) {
    return result == "delivered" || result == "in_doubt";
}

std::string text_of(const nlohmann::json& line, const char* field) {
    const auto found = line.find(field);
    return found == line.end() || !found->is_string() ? std::string() : found->get<std::string>();
}

}  // namespace

DeliveredBy::DeliveredBy()
    : seen_(std::make_unique<std::array<std::atomic<std::uint64_t>, slots>>()) {}

std::uint64_t DeliveredBy::number_of(const std::string& upstream) {
    const auto number = [&]() -> std::uint64_t {
        const auto at = std::ranges::find(names_, upstream);
        return at == names_.end() ? 0 : static_cast<std::uint64_t>(at - names_.begin()) + 1;
    };
    {
        const std::shared_lock lock(mutex_);
        if (const auto known = number(); known != 0) return known;
    }
    const std::unique_lock lock(mutex_);
    if (const auto known = number(); known != 0) return known;
    if (names_.size() >= name_bits) return 0;
    names_.push_back(upstream);
    return names_.size();
}

void DeliveredBy::on_event(const event::Event& e) noexcept {
    const auto* delivery = std::get_if<event::Delivery>(&e.what);
    if (delivery == nullptr || !had_it(delivery->result)) return;
    // Of a notification that tells of the message, not the message itself.
    if (!delivery->id.empty() && delivery->id != delivery->ref) return;
    try {
        const std::uint64_t number = number_of(delivery->upstream);
        if (number == 0) return;
        const std::uint64_t hash = std::hash<std::string>{}(delivery->ref);
        (*seen_)[(hash >> 8U) % slots].store((hash & ~name_bits) | number,
                                             std::memory_order_relaxed);
    } catch (const std::exception&) {
        return;  // No memory for a name: it is not known then.
    }
}

std::string DeliveredBy::find(std::string_view ref) const {
    const std::uint64_t hash = std::hash<std::string>{}(std::string(ref));
    const std::uint64_t seen = (*seen_)[(hash >> 8U) % slots].load(std::memory_order_relaxed);
    const std::uint64_t number = seen & name_bits;
    if (number == 0 || (seen & ~name_bits) != (hash & ~name_bits)) return {};
    const std::shared_lock lock(mutex_);
    return number <= names_.size() ? names_[number - 1] : std::string();
}

std::string delivered_by_journal(const std::string& folder, const std::string& ref,
                                 std::string_view rcpt) {
    const auto ms = proto::ref_time(ref);
    if (!ms || *ms >= std::uint64_t{253'402'300'799'000}) return {};
    const std::chrono::system_clock::time_point made{
        std::chrono::milliseconds(static_cast<std::int64_t>(*ms))};
    const std::string day = event::time_text(made).substr(0, 10);
    std::string found;
    std::size_t looked = 0;
    for (const auto& file : event::journal_files(folder)) {
        if (file.date < day) continue;
        if (looked++ == most_files) break;
        bool its_own = false;
        [[maybe_unused]] const auto read =
            event::read_lines(file.path, ref, [&](std::string_view text) {
                const auto line = event::parse_journal_line(text);
                if (!line || text_of(*line, "event") != "delivery" ||
                    text_of(*line, "ref") != ref || line->contains("id") ||
                    !had_it(text_of(*line, "result")))
                    return true;
                found = text_of(*line, "upstream");
                its_own = text_of(*line, "rcpt") == rcpt;
                return !its_own;
            });
        if (its_own) break;
    }
    return found;
}

}  // namespace postern::relay::intake
