// The tokens that upstreams are logged in to with: kept fresh while we serve.

#include <algorithm>
#include <utility>

#include "relay/serve/server.hpp"

namespace postern::relay {

void Server::tend_upstream_tokens() {
    std::vector<oauth::TokenSourcePtr> wanted;
    for (const PathPtr& path : current_.get()->paths->paths) {
        if (const auto& tokens = path->settings().login->tokens()) wanted.push_back(tokens);
    }
    std::erase_if(token_fetchers_, [&](const auto& fetcher) {
        if (std::ranges::find(wanted, fetcher->source()) != wanted.end()) return false;
        fetcher->stop();
        fetcher->source()->retire();
        return true;
    });
    for (oauth::TokenSourcePtr& source : wanted) {
        const bool tended = std::ranges::any_of(
            token_fetchers_, [&](const auto& fetcher) { return fetcher->source() == source; });
        if (tended) continue;
        auto fetcher = std::make_shared<oauth::TokenFetcher>(
            house_, offload_, std::move(source),
            [this] { return current_.get()->config->dns.resolvers; });
        chores_->spawn(fetcher->run());
        token_fetchers_.push_back(std::move(fetcher));
    }
}

}  // namespace postern::relay
