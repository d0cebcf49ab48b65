#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "relay/event/event.hpp"
#include "relay/oauth/refresh_tokens.hpp"
#include "relay/oauth/token_answer.hpp"
#include "relay/oauth/token_schedule.hpp"

namespace postern::relay::oauth {

/// What an upstream is logged in to with, or why there is nothing.
struct AccessToken {
    proto::Secret text;
    std::uint64_t serial = 0;  ///< Which one; 0: none.
    std::string trouble;       ///< Where there is none.
};

/// The access token of one upstream: connections of all threads read it, one fetcher renews it.
/// Thread-safe; time is an argument.
class TokenSource {
  public:
    using time = TokenSchedule::time;
    /// So many connections may wait for a fetch.
    static constexpr std::size_t max_waiting = 1000;

    struct Settings {
        std::string upstream;
        config::UpstreamOAuth oauth;
        std::string file;  ///< Where a refresh token is kept that the server gives; empty: nowhere.
    };
    TokenSource(Settings settings, event::Stream& events);
    TokenSource(const TokenSource&) = delete;
    TokenSource& operator=(const TokenSource&) = delete;

    [[nodiscard]] const Settings& settings() const noexcept { return settings_; }

    /// Set: the token that holds, or why there is none now. Unset: `done` will be called with it,
    /// from another thread.
    [[nodiscard]] std::optional<AccessToken> ask(time now, std::function<void(AccessToken)> done);
    /// A login by that token was good.
    void worked(std::uint64_t serial);
    /// The upstream refused it: one that was good before is renewed at once.
    void rejected(time now, std::uint64_t serial);

    // The fetcher's side; one caller at a time.
    [[nodiscard]] time next_fetch() const;
    void fetch_began();
    void fetch_ended(time now, boost::system::result<FetchedToken, TokenFault> got);
    /// Blocks.
    [[nodiscard]] RefreshTokens& refresh_tokens() noexcept { return refresh_tokens_; }
    /// A refresh token that was given could not be kept.
    void tell_unkept(const std::string& error);
    /// Nobody fetches for it any more: those that wait are let go.
    void retire();
    /// `wake` is called, from any thread, when a fetch is wanted at once.
    void on_wanted(std::function<void()> wake);

  private:
    [[nodiscard]] AccessToken current() const;
    void tell(unsigned failures_before, bool holds, const std::string& trouble);

    Settings settings_;
    event::Stream& events_;
    RefreshTokens refresh_tokens_;
    mutable std::mutex mutex_;
    TokenSchedule schedule_;
    proto::Secret token_;
    std::uint64_t serial_ = 0;
    std::string trouble_ = "no token yet";
    std::vector<std::function<void(AccessToken)>> waiting_;
    std::function<void()> wake_;
    bool retired_ = false;  ///< Connections of an older configuration still ask.
};

using TokenSourcePtr = std::shared_ptr<TokenSource>;

}  // namespace postern::relay::oauth
