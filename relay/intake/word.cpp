#include "relay/intake/word.hpp"

namespace postern::relay::intake {

std::string_view name(Taken taken) noexcept {
    switch (taken) {
        case Taken::counted:
            return "counted";
        case Taken::duplicate:
            return "duplicate";
        case Taken::unknown:
            return "unknown";
        case Taken::passed:
            return "passed";
        case Taken::unreadable:
            return "unreadable";
        case Taken::overloaded:
            break;
    }
    return "overloaded";
}

std::string_view name(WordKind kind) noexcept {
    switch (kind) {
        case WordKind::bounce:
            return "bounce";
        case WordKind::deferral:
            return "deferral";
        case WordKind::delivery:
            return "delivery";
        case WordKind::complaint:
            return "complaint";
        case WordKind::other:
            break;
    }
    return "other";
}

std::string_view name(Via via) noexcept {
    switch (via) {
        case Via::dsn:
            return "dsn";
        case Via::arf:
            return "arf";
        case Via::webhook:
            break;
    }
    return "webhook";
}

}  // namespace postern::relay::intake
