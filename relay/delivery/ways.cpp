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

std::string shares_as(const Sender& sender) {
    return sender.customer.empty() ? "account " + sender.account : "customer " + sender.customer;
}

awaitable<Waited> wait_for(AttemptPtr attempt, SteadyTime deadline, bool warm,
                           const UpstreamPool& pool) {
    if (warm) {
        if (co_await attempt->wait_until(gives_way(std::chrono::steady_clock::now(), deadline)))
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
    // A word on one mail or its recipients says nothing of the standby: who sends such mail must
    // not keep it cold for everybody.
    const bool its_own =
        result.failure.has_value() || std::ranges::any_of(result.results, [](const auto& one) {
            return one.reply.code >= 400 &&
                   (one.stage == proto::UpstreamStage::mail || proto::is_path_trouble(one.reply));
        });
    if (taken) {
        ways.warm->delivered();
    } else if (its_own && !in_doubt) {
        ways.warm->failed(std::chrono::steady_clock::now());
    }
    ways.warm.reset();
    if (!in_doubt) tally.reopen();
}

proto::Reply unfit_reply(const PathSet& paths, const PathSet::Needs& needs) {
    if (needs.eight_bit_mime &&
        !paths.any_offers({.size = 0, .eight_bit_mime = true, .smtputf8 = false})) {
        return {554, "5.6.3", "the way out takes no 8-bit messages (8BITMIME)", false};
    }
    if (needs.smtputf8 &&
        !paths.any_offers({.size = 0, .eight_bit_mime = false, .smtputf8 = true})) {
        return {550, "5.6.9", "the way out takes no internationalized addresses (SMTPUTF8)", false};
    }
    return {552, "5.3.4", "the message is larger than any way out takes", false};
}

Choice ways_of(const PathSet& all, const PathSet& routed, const LoadedEntry& loaded,
               const Sender& sender, const PathSet::Needs& needs, std::string_view dsn_upstream,
               const std::function<double()>& random) {
    const NewEntry& entry = loaded.entry;
    const bool in_doubt = entry.state == EntryState::in_doubt;
    const bool to_dsn_upstream = entry.dsn && !dsn_upstream.empty();
    if (in_doubt || loaded.rerouted || to_dsn_upstream) {
        // Wherever such mail goes by now. What an operator said of one goes before what is said of
        // all.
        const bool its_own = in_doubt || loaded.rerouted;
        const PathPtr path = all.find(its_own ? std::string_view(entry.upstream) : dsn_upstream);
        const auto offer = path ? path->last_offer() : std::nullopt;
        if (path && (!offer || offers(*offer, needs))) {
            Choice own{.ways = {}, .own_way = true};
            if (path->takes_mail(std::chrono::steady_clock::now())) own.ways.paths.push_back(path);
            return own;
        }
        // What is in doubt goes no other way; what an operator sent there does, where that one is
        // gone or never takes it.
        if (in_doubt) return {.ways = {}, .own_way = true};
    }
    // What was tried before is the primaries' own.
    const bool first = entry.attempts == 0 && !entry.dsn;
    const Wish wish{.needs = needs,
                    .warms_as = first ? std::string_view(warms_as(sender)) : std::string_view(),
                    .before = entry.upstream};
    return {.ways = choose(routed, wish,
                           {std::chrono::steady_clock::now(), std::chrono::system_clock::now()},
                           random),
            .own_way = false};
}

}  // namespace postern::relay
