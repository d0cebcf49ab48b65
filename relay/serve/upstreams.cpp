// What operators see and do of upstreams while we serve, and what becomes of a standby's share.

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "relay/serve/server.hpp"

namespace postern::relay {

namespace {

using clock = std::chrono::steady_clock;

admin::UpstreamView view_of(Path& path) {
    const auto steady = clock::now();
    const auto wall = std::chrono::system_clock::now();
    const Path::View seen = path.view();
    const PathControl control = path.memory().control();
    const Traffic::Today today = path.traffic().today(path.name(), wall);
    admin::UpstreamView out{.upstream = path.name(),
                            .role = std::string(config::name(path.role(steady))),
                            .address = path.settings().upstream.address.place(),
                            .breaker = std::string(name(seen.breaker)),
                            .paused = control.paused(steady),
                            .promoted = control.promoted(steady),
                            .until = std::nullopt,
                            .connections = seen.connections,
                            .messages_today = today.by_upstream,
                            .share = today.share(),
                            .latency_s = path.memory().latency()};
    if (const auto ends = control.ends(steady)) {
        out.until =
            wall + std::chrono::duration_cast<std::chrono::system_clock::duration>(*ends - steady);
    }
    return out;
}

}  // namespace

/// By the account as it is now: the queue keeps its name. One that is gone has what nobody gave it.
boost::system::result<Standing> Server::standing_of(const std::string& account) const {
    const auto found = accounts_->find(account);
    if (!found && found.error() != auth::AuthError::not_found) return found.error();
    if (!found) return Standing{.plan = std::string(auth::default_plan), .good = false};
    return Standing{.plan = (*found)->plan, .good = !(*found)->suspended};
}

/// Where nothing asks for that at MAIL, mail could be sent in another's name for the sake of what
/// comes back.
bool Server::may_tell(const std::string& account, const proto::Address& sender) const {
    const auto has = [&](const auth::AccountRecord& owner) {
        const policy::Owned owned{.everything = owner.owned.everything,
                                  .account = owner.name,
                                  .addresses = owner.owned.addresses,
                                  .domains = owner.owned.domains};
        return owned.has(sender);
    };
    const bool asked_for = current_.get()->config->rules.sender_ownership == config::Mode::enforce;
    const auto found = accounts_->find(account);
    if (!found) {
        // It was asked for when the mail came. Of a removed account's frozen mail the notification
        // would be frozen as well, and nobody could release it.
        const bool gone = found.error() == auth::AuthError::not_found;
        return asked_for &&
               !(gone && std::ranges::binary_search(spool_->frozen_accounts(), account));
    }
    if (has(**found)) return true;
    return std::ranges::any_of((*found)->authzids, [&](const std::string& other) {
        const auto acted_as = accounts_->find(other);
        return acted_as && has(**acted_as);
    });
}

std::vector<admin::UpstreamView> Server::list_upstreams() const {
    std::vector<admin::UpstreamView> out;
    for (const PathPtr& path : current_.get()->paths->paths) out.push_back(view_of(*path));
    return out;
}

admin::UpstreamSaid Server::change_upstream(const std::string& upstream, admin::UpstreamVerb verb,
                                            std::optional<std::chrono::seconds> for_long) {
    using enum admin::UpstreamSaid;
    const PathPtr path = current_.get()->paths->find(upstream);
    if (!path) return unknown;
    const auto now = clock::now();
    const auto until = for_long ? PathControl::Until(now + *for_long) : PathControl::Until();
    switch (verb) {
        case admin::UpstreamVerb::pause:
            path->memory().pause(until);
            break;
        case admin::UpstreamVerb::resume:
            if (!path->memory().resume(now)) return nothing;
            break;
        case admin::UpstreamVerb::promote:
            if (path->settings().upstream.role == config::UpstreamRole::primary) return nothing;
            path->memory().promote(until);
            break;
        case admin::UpstreamVerb::demote:
            if (!path->memory().demote(now)) return nothing;
            break;
    }
    upstreams_changed();
    return done;
}

/// Idle connections of what is paused end, and who waits for a way looks again.
void Server::upstreams_changed() {
    for (const auto& thread : threads_) {
        thread->post([t = thread.get()] {
            t->tasks().spawn(t->upstreams().sweep(clock::now()));
            t->upstreams().wake_waiters();
        });
    }
    runner_->wake();
}

void Server::look_after_upstreams() {
    bool ended = false;
    for (const PathPtr& path : current_.get()->paths->paths) {
        const PathControl::Ended over = path->memory().expire(clock::now());
        if (over.pause)
            events_->log(event::Level::info, "upstream",
                         fmt::format("the pause of {} has ended by itself", path->name()));
        if (over.promotion)
            events_->log(event::Level::info, "upstream",
                         fmt::format("the promotion of {} has ended by itself", path->name()));
        ended = ended || over.pause || over.promotion;
    }
    if (ended) upstreams_changed();
}

void Server::look_after_standbys() {
    const SnapshotPtr now = current_.get();
    if (now->paths->paths.empty()) return;
    const auto day = now->paths->paths.front()->traffic().ended(std::chrono::system_clock::now());
    if (!day) return;
    for (const PathPtr& path : now->paths->paths) {
        const config::Upstream& upstream = path->settings().upstream;
        if (upstream.role != config::UpstreamRole::standby) continue;
        const WarmShare share = warm_share(*path);
        const auto at = day->by_upstream.find(path->name());
        const std::uint64_t had = at == day->by_upstream.end() ? 0 : at->second;
        const double owed = std::floor(WarmSchedule::owed(share, day->mail, day->began));
        const bool met = WarmSchedule::met(share, day->mail, day->began, had);
        events_->emit(event::AlertRaised{
            .kind = "standby_share_unmet",
            .subject = path->name(),
            .text = met ? fmt::format("standby {} had its share of the day's mail", path->name())
                        : fmt::format("standby {} had {} mails on the day that is over, and {:.0f} "
                                      "were to keep it known",
                                      path->name(), had, owed),
            .action = "see `postern upstream list`: whether it is up, and whether a [[route]] lets "
                      "mail go there",
            .resolved = met,
            .fields = {{"sent", std::to_string(had)}, {"owed", fmt::format("{:.0f}", owed)}}});
    }
}

}  // namespace postern::relay
