#include "policy/decide.hpp"

namespace postern::policy {

PlanLimits PlanLimits::transactional() {
    using std::chrono::days;
    using std::chrono::hours;
    using std::chrono::minutes;
    return {.messages = {{60, minutes(1)}, {1'000, hours(1)}, {5'000, days(1)}},
            .recipients = {{200, minutes(1)}, {10'000, days(1)}}};
}

PlanLimits PlanLimits::device() {
    using std::chrono::days;
    using std::chrono::hours;
    return {.messages = {{30, hours(1)}, {200, days(1)}},
            .recipients = {{60, hours(1)}, {400, days(1)}}};
}

const PlanLimits& Settings::limits_of(std::string_view plan) const {
    static const PlanLimits built_in = PlanLimits::transactional();
    if (const auto named = plans.find(plan); named != plans.end()) return named->second;
    const auto standard = plans.find("transactional");
    return standard == plans.end() ? built_in : standard->second;
}

Mode mode_of(Rule rule, const Facts& facts, const Settings& settings) noexcept {
    return facts.overrides[rule].value_or(settings.rules[rule]);
}

std::string_view name(Stage stage) noexcept {
    switch (stage) {
        case Stage::connect:
            return "connect";
        case Stage::auth:
            return "auth";
        case Stage::mail:
            return "mail";
        case Stage::rcpt:
            return "rcpt";
        case Stage::data:
            return "data";
    }
    return "";
}

std::string_view Verdict::outcome() const noexcept {
    switch (kind) {
        case VerdictKind::accept:
            return "accepted";
        case VerdictKind::refuse:
            return "refused";
        case VerdictKind::delay:
        case VerdictKind::throttle:
            break;
    }
    return "throttled";
}

}  // namespace postern::policy
