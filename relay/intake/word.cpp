#include "relay/intake/word.hpp"

#include <array>
#include <cstddef>

namespace postern::relay::intake {

std::string_view name(Taken taken) noexcept {
    constexpr std::array<std::string_view, 6> names = {"counted", "duplicate",  "unknown",
                                                       "passed",  "unreadable", "overloaded"};
    return names[static_cast<std::size_t>(taken)];
}

std::string_view name(WordKind kind) noexcept {
    constexpr std::array<std::string_view, 5> names = {"bounce", "deferral", "delivery",
                                                       "complaint", "other"};
    return names[static_cast<std::size_t>(kind)];
}

std::string_view name(Via via) noexcept {
    constexpr std::array<std::string_view, 3> names = {"dsn", "arf", "webhook"};
    return names[static_cast<std::size_t>(via)];
}

}  // namespace postern::relay::intake
