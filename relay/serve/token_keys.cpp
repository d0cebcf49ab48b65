// The keys that tokens are checked with: kept fresh while we serve, and `postern check`.

#include <utility>

#include <fmt/format.h>

#include "relay/oauth/key_fetcher.hpp"
#include "relay/serve.hpp"
#include "relay/serve/server.hpp"

namespace postern::relay {

void Server::tend_token_keys() {
    const oauth::TokenKeysPtr keys = current_.get()->tokens;
    const bool fetched = keys && keys->by_url();
    if (key_fetcher_ && (!fetched || key_fetcher_->keys() != keys)) {
        key_fetcher_->stop();
        key_fetcher_->keys()->retire();
        key_fetcher_.reset();
    }
    if (fetched && !key_fetcher_) {
        key_fetcher_ = std::make_shared<oauth::KeyFetcher>(
            house_, keys, [this] { return current_.get()->config->dns.resolvers; });
        chores_->spawn(key_fetcher_->run());
    }
    key_watch_.reset();
    if (!keys || fetched) return;
    key_watch_ = std::make_unique<net::FileWatch>(house_.get_executor(), [this, keys] {
        auto read = keys->read_file();
        if (!read) {
            events_->log(event::Level::error, "oauth",
                         "the keys of tokens changed and cannot be used: " + read.error());
            return false;
        }
        keys->use(std::move(*read));
        return true;
    });
    key_watch_->set({keys->settings().jwks.file});
}

namespace {

using config::Finding;
using config::Status;

/// The text of the key set, or a finding that says why there is none.
boost::system::result<std::string, net::HttpFault> fetched(const config::Config& config) {
    boost::system::result<std::string, net::HttpFault> out{net::HttpFault{"nothing came"}};
    asio::io_context context(1);
    asio::co_spawn(context,
                   oauth::fetch_keys(context, config.auth.oauth.jwks, config.dns.resolvers),
                   [&out](const std::exception_ptr& bug, result<std::string, net::HttpFault> got) {
                       if (bug) std::rethrow_exception(bug);
                       out = std::move(got);
                   });
    context.run();
    return out;
}

}  // namespace

std::vector<Finding> check_token_keys(const config::Config& config, config::Reach reach) {
    std::vector<Finding> out;
    const config::KeySetPlace& jwks = config.auth.oauth.jwks;
    const auto add = [&](Status status, std::string text, std::string fix) {
        out.push_back({"oauth", status, std::move(text), std::move(fix)});
    };
    if (!config.takes_tokens()) {
        if (!jwks.empty()) {
            add(Status::warn, "auth.oauth is without effect: no listener offers what it is for",
                "add OAUTHBEARER or XOAUTH2 to auth.mechanisms, or take the section out");
        }
        return out;
    }
    const std::string& place = jwks.file.empty() ? jwks.url : jwks.file;
    std::string error;
    std::optional<std::string> text;
    if (!jwks.file.empty()) {
        text = oauth::read_key_file(jwks.file, error);
    } else if (reach == config::Reach::network) {
        if (auto got = fetched(config)) {
            text = std::move(*got);
        } else {
            error = got.error().what;
        }
    } else {
        return out;
    }
    const auto keys = text ? auth::KeySet::parse(*text)
                           : boost::system::result<auth::KeySetPtr, std::string>(error);
    if (!keys) {
        add(Status::fail, fmt::format("{}: {}", place, keys.error()),
            "see that auth.oauth.jwks is the issuer's key set (jwks_uri of its "
            ".well-known/openid-configuration)");
        return out;
    }
    for (const std::string& fault : (*keys)->faults())
        add(Status::warn, fmt::format("{}: {}", place, fault), "tell the issuer");
    add(Status::ok, fmt::format("{}: {} keys to check tokens with", place, (*keys)->size()), "");
    return out;
}

}  // namespace postern::relay
