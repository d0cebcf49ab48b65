#include "relay/delivery/ways.hpp"

#include <algorithm>

#include "proto/address.hpp"

namespace postern::relay {

namespace {

/// How long a standby may keep a warm mail; while a client waits, a quarter of what it waits at
/// most.
constexpr std::chrono::seconds warm_patience{60};

SteadyTime gives_way(SteadyTime now, SteadyTime deadline) {
    return now + std::clamp<SteadyTime::duration>((deadline - now) / 4, SteadyTime::duration(0),
                                                  warm_patience);
}

}  // namespace

Sender sender_of(const proto::Envelope& envelope, const std::string& account,
                 const std::string& customer, const std::string& plan) {
    std::string_view domain;
    if (envelope.mail_from) {
        domain = envelope.mail_from->domain;
    } else if (const auto at = account.rfind('@'); at != std::string::npos) {
        domain = std::string_view(account).substr(at + 1);
    }
    return {.domain = proto::normalised_domain(domain),
            .account = account,
            .customer = customer,
            .plan = plan};
}

const std::string& warms_as(const Sender& sender) {
    static const std::string nobody;
    if (!sender.good_standing) return nobody;
    return sender.customer.empty() ? sender.account : sender.customer;
}

awaitable<Waited> wait_for(AttemptPtr attempt, SteadyTime deadline, bool warm,
                           const UpstreamPool& pool) {
    using clock = std::chrono::steady_clock;
    if (warm) {
        if (co_await attempt->wait_until(gives_way(clock::now(), deadline)))
            co_return Waited::finished;
        if (!attempt->dot_sent() && !pool.hurried()) {
            attempt->abandon();
            co_return Waited::passed_on;
        }
    }
    if (co_await attempt->wait_until(deadline)) co_return Waited::finished;
    attempt->abandon();
    co_return Waited::overdue;
}

void settle_warm(Ways& ways, Tally& tally, const AttemptResult& result) {
    const bool taken =
        std::ranges::any_of(result.results, [](const auto& one) { return one.reply.code < 400; });
    const bool in_doubt = result.how == AttemptResult::How::in_doubt;
    const bool left = tally.any(Tally::Fate::open) || tally.any(Tally::Fate::deferred);
    if (taken) {
        ways.warm->delivered();
    } else if (left && !in_doubt && result.how != AttemptResult::How::unfit) {
        ways.warm->failed(std::chrono::steady_clock::now());
    }
    ways.warm.reset();
    if (!in_doubt) tally.reopen();
}

}  // namespace postern::relay
