// What the login watch knows at the start.

#include <chrono>
#include <ranges>

#include "relay/serve/server.hpp"

namespace postern::relay {

void Server::load_watch(const geo::DatabasePtr& geo) {
    const auto wall = std::chrono::system_clock::now();
    const auto now = std::chrono::steady_clock::now();
    const auto load = [&](const result<std::vector<auth::KnownPair>>& logins) {
        if (!logins) {
            events_->log(event::Level::warning, "auth",
                         "earlier logins cannot be read: " + logins.error().message());
            return;
        }
        // The newest last: it is kept where not all have room.
        for (const auth::KnownPair& login : *logins | std::views::reverse) {
            const auto ago =
                std::chrono::duration_cast<std::chrono::seconds>(wall - login.last_seen);
            login_watch_.load(login.account, login.source,
                              geo ? geo->find(login.source) : policy::Place{}, ago, now);
        }
    };
    login_watch_.set({.known_for = guard_settings(*current_.get()->config).known_for});
    load(accounts_->last_logins());
    load(accounts_->known_pairs(known_since()));
}

}  // namespace postern::relay
