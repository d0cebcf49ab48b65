#include "relay/upstream/login.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "auth/random.hpp"
#include "auth/token_message.hpp"
#include "relay/net/offload.hpp"

namespace postern::relay {

namespace {

using proto::ClientSession;

/// 192 bits, in printable ASCII without comma.
std::string fresh_nonce() {
    std::array<unsigned char, 24> octets{};
    auth::system_random()(octets);
    return auth::base64({reinterpret_cast<const char*>(octets.data()), octets.size()});
}

std::string in_words(auth::ScramFault fault) {
    return "SCRAM-SHA-256: " + std::string(auth::describe(fault));
}

}  // namespace

Login::Login(const config::Upstream& upstream, asio::thread_pool* compute,
             oauth::TokenSourcePtr tokens)
    : username_(upstream.username),
      password_(upstream.password),
      mechanism_(upstream.mechanism),
      address_(upstream.address),
      compute_(compute),
      tokens_(std::move(tokens)) {}

std::vector<std::string> Login::mechanisms() const {
    if (!mechanism_.empty()) return {mechanism_};
    std::vector<std::string> out;
    if (tokens_) out = {"XOAUTH2", "OAUTHBEARER"};
    if (!tokens_ || !password_.empty()) out.insert(out.end(), {"SCRAM-SHA-256", "PLAIN", "LOGIN"});
    return out;
}

std::optional<auth::ScramKeys> Login::remembered(const auth::ScramLogin::Asked& asked) const {
    const std::scoped_lock lock(mutex_);
    for (const auto& one : derived_) {
        if (one && one->asked == asked) return one->keys;
    }
    return std::nullopt;
}

std::optional<auth::ScramKeys> Login::derive(const auth::ScramLogin::Asked& asked) {
    const std::scoped_lock one_at_a_time(deriving_);
    if (auto before = remembered(asked)) return before;
    const auto prepared = auth::prepared_password(password_.reveal());
    if (!prepared) return std::nullopt;
    auth::ScramKeys keys =
        auth::derive_scram_keys(prepared->reveal(), asked.salt, asked.iterations);
    const std::scoped_lock lock(mutex_);
    derived_[oldest_].emplace(Derived{asked, keys});
    oldest_ = (oldest_ + 1) % most_derived;
    return keys;
}

awaitable<void> LoginExchange::take_turn(ClientSession& machine, Sasl turn, time deadline) {
    if (turn.mechanism == "SCRAM-SHA-256") {
        co_await scram(machine, turn);
    } else if (login_->tokens()) {
        co_await by_token(machine, turn, deadline);
    } else {
        machine.sasl_failed(turn.mechanism + " is not known here");
    }
}

awaitable<void> LoginExchange::scram(ClientSession& machine, const Sasl& turn) {
    switch (turn.turn) {
        case Sasl::Turn::first:
            scram_ = auth::ScramLogin::begin(login_->username(), fresh_nonce());
            if (!scram_) {
                machine.sasl_failed("SCRAM-SHA-256: the username holds what SASLprep prohibits");
                co_return;
            }
            machine.sasl_response(proto::Secret(scram_->first()));
            co_return;
        case Sasl::Turn::challenge:
            co_await scram_answer(machine, turn.challenge);
            co_return;
        case Sasl::Turn::end:
            // Whoever lets us in without a proof may be anybody: it gets no mail.
            if (scram_ && scram_->proven()) {
                machine.sasl_done();
            } else {
                machine.sasl_failed(in_words(auth::ScramFault::order));
            }
            co_return;
    }
}

awaitable<void> LoginExchange::scram_answer(ClientSession& machine, std::string_view challenge) {
    if (scram_->answered()) {
        if (const auto fault = scram_->take_final(challenge)) {
            machine.sasl_failed(in_words(*fault));
        } else {
            machine.sasl_response({});
        }
        co_return;
    }
    const auto asked = scram_->take_first(challenge);
    if (!asked) {
        machine.sasl_failed(in_words(asked.error()));
        co_return;
    }
    auto keys = login_->remembered(*asked);
    if (!keys && login_->compute() != nullptr) {
        keys = co_await net::offload(*login_->compute(),
                                     [this, &asked] { return login_->derive(*asked); });
    } else if (!keys) {
        keys = login_->derive(*asked);
    }
    if (!keys) {
        machine.sasl_failed("SCRAM-SHA-256: the password holds what SASLprep prohibits");
        co_return;
    }
    machine.sasl_response(proto::Secret(scram_->final(*keys)));
}

awaitable<void> LoginExchange::by_token(ClientSession& machine, const Sasl& turn, time deadline) {
    const bool google = turn.mechanism == "XOAUTH2";
    if (turn.turn == Sasl::Turn::end) {
        machine.sasl_done();
        co_return;
    }
    if (turn.turn == Sasl::Turn::challenge) {
        // It says in JSON why not, and its 535 comes after our empty word (RFC 7628 3.2.3).
        machine.sasl_response(google ? proto::Secret() : proto::Secret("\x01"));
        co_return;
    }
    const oauth::AccessToken shown = co_await token(*login_->tokens(), deadline);
    if (stopped_) {  // No word on the path: it was us.
        machine.eof();
        co_return;
    }
    if (shown.serial == 0) {
        machine.sasl_failed("no token: " + shown.trouble);
        co_return;
    }
    token_serial_ = shown.serial;
    machine.sasl_response(
        google ? auth::make_xoauth2(login_->username(), shown.text.reveal())
               : auth::make_oauthbearer(login_->username(), login_->address().host,
                                        login_->address().port, shown.text.reveal()));
}

awaitable<oauth::AccessToken> LoginExchange::token(oauth::TokenSource& source, time deadline) {
    /// Shared with whoever fetches; touched on this thread alone.
    struct Wait {
        asio::steady_timer* timer = nullptr;
        std::optional<oauth::AccessToken> got;
    };
    const asio::any_io_executor home = co_await asio::this_coro::executor;
    asio::steady_timer timer(home);
    const auto wait = std::make_shared<Wait>();
    wait->timer = &timer;
    auto given =
        source.ask(std::chrono::steady_clock::now(), [home, wait](oauth::AccessToken token) {
            asio::post(home, [wait, token = std::move(token)]() mutable {
                wait->got = std::move(token);
                if (wait->timer != nullptr) wait->timer->cancel();
            });
        });
    if (given) co_return std::move(*given);
    if (!stopped_) {
        timer.expires_at(deadline);
        waiting_ = &timer;
        (void)co_await timer.async_wait(as_value);
        waiting_ = nullptr;
    }
    wait->timer = nullptr;
    if (wait->got) co_return std::move(*wait->got);
    co_return oauth::AccessToken{.text = {}, .trouble = "none came in time"};
}

void LoginExchange::ended(const ClientSession::Failed* failed) {
    const std::uint64_t serial = std::exchange(token_serial_, 0);
    if (serial == 0) return;
    if (failed == nullptr) return login_->tokens()->worked(serial);
    using Kind = ClientSession::Failed::Kind;
    const bool refused = failed->stage == proto::UpstreamStage::auth &&
                         failed->kind == Kind::refused && failed->reply.permanent();
    if (refused) login_->tokens()->rejected(std::chrono::steady_clock::now(), serial);
}

void LoginExchange::stop() noexcept {
    stopped_ = true;
    if (waiting_ != nullptr) waiting_->cancel();
}

}  // namespace postern::relay
