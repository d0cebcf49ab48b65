#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/thread_pool.hpp>

#include "auth/scram_login.hpp"
#include "proto/client_session.hpp"
#include "relay/asio.hpp"
#include "relay/config/config.hpp"
#include "relay/oauth/token_source.hpp"

namespace postern::relay {

/// How one upstream is logged in to, shared by its connections on all threads: who, by what, and
/// what SCRAM made of the password. Thread-safe.
class Login {
  public:
    /// `compute`: where passwords are derived; null: by whoever asks. It outlives every exchange.
    /// `tokens`: null where `upstream.oauth` names none.
    Login(const config::Upstream& upstream, asio::thread_pool* compute,
          oauth::TokenSourcePtr tokens);

    /// Those that may be used, best first.
    [[nodiscard]] std::vector<std::string> mechanisms() const;
    [[nodiscard]] const oauth::TokenSourcePtr& tokens() const noexcept { return tokens_; }
    [[nodiscard]] asio::thread_pool* compute() const noexcept { return compute_; }
    [[nodiscard]] const std::string& username() const noexcept { return username_; }
    [[nodiscard]] const config::Address& address() const noexcept { return address_; }

    /// What was derived for it before.
    [[nodiscard]] std::optional<auth::ScramKeys> remembered(
        const auth::ScramLogin::Asked& asked) const;
    /// Derives and remembers it; several that ask for the same cost one. Blocks for up to a fifth
    /// of a second. Unset: SASLprep prohibits the password.
    [[nodiscard]] std::optional<auth::ScramKeys> derive(const auth::ScramLogin::Asked& asked);

  private:
    struct Derived {
        auth::ScramLogin::Asked asked;
        auth::ScramKeys keys;
    };
    /// Servers behind one name may each show a salt of their own.
    static constexpr std::size_t most_derived = 4;

    std::string username_;
    proto::Secret password_;
    std::string mechanism_;
    config::Address address_;
    asio::thread_pool* compute_;
    oauth::TokenSourcePtr tokens_;
    std::mutex deriving_;
    mutable std::mutex mutex_;
    std::array<std::optional<Derived>, most_derived> derived_;
    std::size_t oldest_ = 0;
};

using LoginPtr = std::shared_ptr<Login>;

/// One connection's part of it: answers the turns of an exchange. On the connection's thread.
class LoginExchange {
  public:
    explicit LoginExchange(LoginPtr login) : login_(std::move(login)) {}
    LoginExchange(const LoginExchange&) = delete;
    LoginExchange& operator=(const LoginExchange&) = delete;

    /// Answers, or fails the machine's exchange with why.
    [[nodiscard]] awaitable<void> take_turn(proto::ClientSession& machine,
                                            proto::ClientSession::Sasl turn,
                                            std::chrono::steady_clock::time_point deadline);
    /// The login came to this end: the upstream's word on a token is passed on.
    void ended(const proto::ClientSession::Failed* failed);
    /// Nobody needs it any more: ends waiting for a token.
    void stop() noexcept;

  private:
    using Sasl = proto::ClientSession::Sasl;
    using time = std::chrono::steady_clock::time_point;
    [[nodiscard]] awaitable<void> scram(proto::ClientSession& machine, const Sasl& turn);
    [[nodiscard]] awaitable<void> scram_answer(proto::ClientSession& machine,
                                               std::string_view challenge);
    [[nodiscard]] awaitable<void> by_token(proto::ClientSession& machine, const Sasl& turn,
                                           time deadline);
    [[nodiscard]] awaitable<oauth::AccessToken> token(oauth::TokenSource& source, time deadline);

    LoginPtr login_;
    std::optional<auth::ScramLogin> scram_;
    std::uint64_t token_serial_ = 0;  ///< Of the token that was shown; 0: none.
    asio::steady_timer* waiting_ = nullptr;
    bool stopped_ = false;
};

}  // namespace postern::relay
