#include "relay/guard/attack_alerts.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

namespace postern::relay {

namespace {

constexpr const char* account_attacked = "account_attacked";
constexpr const char* source_spraying = "source_spraying";

bool is_network(const std::string& subject) {
    return subject.ends_with("/24") || subject.ends_with("/48");
}

}  // namespace

void AttackAlerts::saw(const policy::LoginGuard::Counts& counts) {
    if (!counts.account.empty())
        note(account_attacked, counts.account, counts.account_failures, counts.account_sources);
    if (!counts.spraying.empty())
        note(source_spraying, counts.spraying, counts.spraying_failures, counts.sprayed);
}

void AttackAlerts::note(const char* kind, const std::string& subject, double weight,
                        std::uint32_t others) {
    const Key key(kind, subject);
    Attack now;
    {
        const std::scoped_lock lock(mutex_);
        auto found = attacks_.find(key);
        if (found == attacks_.end() && attacks_.size() < most_followed_)
            found = attacks_.emplace(key, Attack{}).first;
        Attack beyond;
        Attack& attack = found == attacks_.end() ? beyond : found->second;
        if (attack.failures == 0) {
            attack.failures = static_cast<std::uint64_t>(std::lround(weight));
            attack.raised_at = weight;
        } else {
            ++attack.failures;
        }
        attack.others = std::max(attack.others, others);
        now = attack;
    }
    events_.emit(alert(key, now));
}

event::AlertRaised AttackAlerts::alert(const Key& key, const Attack& attack) {
    const auto& [kind, subject] = key;
    event::AlertRaised out;
    out.kind = kind;
    out.subject = subject;
    out.fields = {{"failures", std::to_string(attack.failures)}};
    if (kind == account_attacked) {
        out.text = fmt::format("logins of {} fail: {} times, from about {} sources", subject,
                               attack.failures, attack.others);
        out.action = "its owner is not kept out; see that the password is a good one";
        out.fields.emplace_back("sources", std::to_string(attack.others));
    } else if (is_network(subject)) {
        out.text = fmt::format("many neighbours in {} fail to log in: about {} of them", subject,
                               attack.others);
        out.action = "they are slowed; `postern login list` shows whom";
        out.fields.emplace_back("sources", std::to_string(attack.others));
    } else {
        out.text =
            fmt::format("{} tries one account after the other: {} so far", subject, attack.others);
        out.action = "it is slowed; `postern login list` shows it, `login allow` exempts it";
        out.fields.emplace_back("accounts", std::to_string(attack.others));
    }
    return out;
}

void AttackAlerts::sweep(const policy::LoginGuard& guard,
                         std::chrono::steady_clock::time_point now) {
    std::vector<std::pair<Key, double>> open;
    {
        const std::scoped_lock lock(mutex_);
        open.reserve(attacks_.size());
        for (const auto& [key, attack] : attacks_) open.emplace_back(key, attack.raised_at);
    }
    for (const auto& [key, raised_at] : open) {
        const auto which = key.first == account_attacked ? policy::LoginGuard::Kind::account
                                                         : policy::LoginGuard::Kind::source;
        if (guard.failures_of(which, key.second, now) >= raised_at / 2) continue;
        Attack ended;
        {
            const std::scoped_lock lock(mutex_);
            const auto found = attacks_.find(key);
            if (found == attacks_.end()) continue;
            ended = found->second;
            attacks_.erase(found);
        }
        event::AlertRaised over = alert(key, ended);
        over.text = key.first == account_attacked
                        ? fmt::format("the attack on {} is over", key.second)
                        : fmt::format("{} has stopped", key.second);
        over.action.clear();
        over.resolved = true;
        events_.emit(std::move(over));
    }
}

}  // namespace postern::relay
