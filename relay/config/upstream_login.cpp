#include "relay/config/upstream_login.hpp"

#include <fmt/format.h>

#include "relay/config/reading.hpp"

namespace postern::relay::config {
namespace {

bool by_token(std::string_view mechanism) {
    return mechanism == "XOAUTH2" || mechanism == "OAUTHBEARER";
}

void look_at_oauth(const std::string& path, const UpstreamLoginKeys& keys) {
    const auto missing = [&](std::string_view key) {
        return !keys.given(fmt::format("{}.oauth.{}", path, key));
    };
    const auto say = [&](std::string_view key, std::string_view what) {
        keys.fault(fmt::format("{}.oauth.{}", path, key), fmt::format("not set; {}", what));
    };
    if (missing("token_url"))
        say("token_url", "write where tokens are fetched, like \"https://a.example/token\"");
    if (missing("client_id"))
        say("client_id", "write the name under which the token server knows this relay");
    if (missing("refresh_token") && missing("refresh_token_file"))
        say("refresh_token_file", "name the file with the refresh token");
}

}  // namespace

void finish_upstream_login(const std::string& path, const Upstream& upstream,
                           const UpstreamLoginKeys& keys) {
    const auto given = [&](std::string_view key) {
        return keys.given(fmt::format("{}.{}", path, key));
    };
    const auto fault = [&](std::string_view key, std::string text) {
        keys.fault(fmt::format("{}.{}", path, key), std::move(text));
    };
    const bool user = given("username");
    const bool password = given("password") || given("password_file");
    const bool oauth = given("oauth");
    const std::string& mechanism = upstream.mechanism;
    if (user && !password && !oauth && keys.strict) {
        fault("password_file",
              "not set, but username is; name the file with the password, or leave both out");
    }
    if (password && !user) {
        fault("username", "not set, but a password is; write the login name, or leave both out");
    }
    if (oauth && !user)
        fault("username", "not set, but oauth is; write whose tokens they are, or leave both out");
    if (oauth && keys.strict) look_at_oauth(path, keys);
    if (mechanism.empty()) return;
    if (!user) {
        if (!password && !oauth)
            fault("mechanism",
                  "says how to log in, and username is not set; write it, or leave "
                  "both out");
        return;
    }
    if (by_token(mechanism) && !oauth) {
        fault("mechanism", fmt::format("{} needs tokens, and oauth is not set; write it, or "
                                       "another mechanism",
                                       in_quotes(mechanism)));
    }
    if (!by_token(mechanism) && oauth && !password) {
        fault("mechanism", fmt::format("{} needs a password, and only oauth is set; write "
                                       "\"XOAUTH2\", or leave it out",
                                       in_quotes(mechanism)));
    } else if (!by_token(mechanism) && oauth) {
        fault("mechanism", fmt::format("{} leaves oauth without effect; take one of them out",
                                       in_quotes(mechanism)));
    }
}

}  // namespace postern::relay::config
