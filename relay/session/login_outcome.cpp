// What comes of a login: right, wrong or not judged; and what the account is now.

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "auth/login_name.hpp"
#include "proto/reply.hpp"
#include "relay/session/driver.hpp"
#include "relay/session/guard_mode.hpp"
#include "relay/session/sameness.hpp"

namespace postern::relay {

namespace {

using clock = std::chrono::steady_clock;

proto::Reply wrong_credentials(bool close_after) {
    return {535, "5.7.8", "authentication failed: wrong user name or password", close_after};
}

proto::Reply suspended_reply(const std::string& text, const std::string& where) {
    return {525, "5.7.13",
            text.empty() ? "account is suspended, write to " + where
                         : proto::clean_text(text, 300) + " (write to " + where + ")",
            false};
}

}  // namespace

awaitable<void> SessionDriver::logged_in(auth::Success success) {
    auth::Identity& identity = success.identity;
    exchange_.reset();
    account_ = proved_ = identity.account;
    account_name_ = identity.account->name;
    credential_ = identity.credential;
    rests_on_ = identity.rests_on;
    account_generation_ = identity.generation;
    // From here on a change of the account finds this session; one that came before is seen now.
    if (services_.accounts.generation() != account_generation_) {
        if (!co_await refresh_account()) {
            account_name_.clear();
            login_unavailable("overload");
            co_return;
        }
        // The proof may have been right for a password that is none any more.
        if (!auth::stands(identity, account_.get())) {
            attempt_ = {};
            tell_login(false, "failed", nullptr);
            account_name_.clear();
            machine_->auth_failed(wrong_credentials(true));
            co_return;
        }
    }
    if (!success.notice.empty()) {
        services_.events.log(event::Level::warning, "auth",
                             "an imported hash could not be made a verifier, its next login "
                             "tries again: " +
                                 success.notice);
    }
    if (success.made) {
        services_.events.log(event::Level::info, "auth",
                             fmt::format("account {} was made at its first login by {}",
                                         account_name_, services_.backend->backend()));
    }
    auto guard = attempt_.succeeded(clock::now(), credential_);
    attempt_ = {};
    if (attempt_name_ != account_name_) {
        // Whose a certificate is shows only now; the guard knows its account by its own name.
        attempt_ =
            services_.guard.attempt(source_, account_name_, guard_mode(account_), clock::now());
        guard = attempt_.succeeded(clock::now(), credential_);
        attempt_ = {};
    }
    if (!account_ || account_->suspended) {
        tell_login(false, "failed", nullptr);
        account_name_.clear();
        machine_->auth_failed(
            suspended_reply(account_ && account_->suspended ? account_->suspended->text : "",
                            services_.current.get()->config->server.contact));
        co_return;
    }
    acting_as_ = identity.authzid == account_name_ ? std::string() : identity.authzid;
    acting_account_.reset();
    const policy::Verdict verdict = admit_account();
    if (!verdict.accepted()) {
        tell_login(true, "error", nullptr);
        account_name_.clear();
        end_reason_ = std::string(verdict.rule);
        machine_->auth_failed(verdict.reply);
        co_return;
    }
    by_source_.release();
    by_network_.release();
    services_.accounts.record_login(account_name_, credential_, source_,
                                    std::chrono::system_clock::now());
    tell_login(true, "ok", nullptr);
    watch_login(guard);
    login_failures_ = 0;
    machine_->auth_succeeded();
}

/// Counts this connection to its account, and asks whether that may have one more.
policy::Verdict SessionDriver::admit_account() {
    const std::uint32_t most = snapshot_->config->resources.max_connections_per_account;
    by_account_ = services_.accounts_connected.take(account_name_, most);
    policy::Facts known = facts();
    known.connections_of_account = by_account_ ? 1 : most + 1;
    return policy::decide(policy::Stage::auth, known, {}, snapshot_->policy);
}

awaitable<void> SessionDriver::login_failed(auth::Failure failure) {
    using Kind = auth::Failure::Kind;
    // A failure counts against the credential that was named; a token is one of its own.
    std::string label = auth::parse_login(exchange_->typed_name(),
                                          snapshot_->config->auth.credential_separator.front())
                            .label.value_or("");
    if (!failure.challenge.empty()) label = auth::token_credential;
    exchange_.reset();
    switch (failure.kind) {
        case Kind::malformed:
            attempt_ = {};
            tell_login(false, "error", &failure);
            machine_->auth_failed({501, "5.5.2", "malformed authentication message", false});
            co_return;
        case Kind::unavailable:
            attempt_ = {};
            tell_login(false, "error", &failure);
            // Of another back-end its alert tells.
            services_.events.log(
                services_.backend != nullptr ? event::Level::debug : event::Level::error, "auth",
                "logins cannot be judged: " + failure.detail);
            machine_->auth_failed(
                {454, "4.7.0", "authentication is not possible now, try again later", false});
            co_return;
        case Kind::not_offered:
            attempt_ = {};
            tell_login(false, "error", &failure);
            machine_->auth_failed({504, "5.5.4", "mechanism is not offered", false});
            co_return;
        case Kind::suspended: {
            // The secret was right: nothing that the guard should hold against anybody.
            attempt_ = {};
            failure.secret_hash.clear();
            failure.detail = "the account is suspended";
            tell_login(false, "failed", &failure);
            const std::string where = services_.current.get()->config->server.contact;
            machine_->auth_failed(suspended_reply(failure.text, where));
            co_return;
        }
        case Kind::bad_credentials:
            break;
    }
    const std::optional<std::uint64_t> hash = number_of(failure.secret_hash);
    auto answer = attempt_.failed(hash, login_failures_, clock::now(), label);
    // A name that is nobody's has no owner to be told.
    if (!failure.known) answer.counts.account.clear();
    services_.attacks.saw(answer.counts);
    ++login_failures_;
    tell_login(false, answer.delay.count() > 0 ? "delayed" : "failed", &failure);
    penalty_place_ = std::move(answer.place);
    if (answer.observed) {
        services_.events.emit(
            event::Verdict{.rule = "login_guard", .mode = "observe", .verdict = "delay"});
    }
    const auto wait = answer.delay + rest_of_floor();
    if (answer.withhold) {
        // The wait hides how many guesses were right about the name.
        if (wait.count() > 0) (void)co_await pause(wait);
        end_reason_ = "penalty";
        attempt_ = {};
        machine_->auth_failed(
            {421, "4.7.0", "too many failed logins from your address, try again later", true});
        co_return;
    }
    if (wait.count() > 0) (void)co_await pause(wait);
    if (answer.close_after) end_reason_ = "failed logins";
    attempt_ = {};
    if (!failure.challenge.empty() && !answer.close_after) {
        farewell_ = std::make_unique<proto::Reply>(wrong_credentials(false));
        machine_->auth_challenge(failure.challenge);
        co_return;
    }
    machine_->auth_failed(wrong_credentials(answer.close_after));
}

/// What is left of the time that a failing login has to take.
std::chrono::milliseconds SessionDriver::rest_of_floor() const {
    const auto floor = failure_floor(snapshot_->config->auth, services_.accounts, mechanism_);
    const auto left = floor - (clock::now() - check_began_);
    return std::max(std::chrono::milliseconds(0),
                    std::chrono::ceil<std::chrono::milliseconds>(left));
}

void SessionDriver::login_unavailable(std::string_view why) {
    auth::Failure failure;
    failure.account = attempt_name_;
    failure.detail = why;
    tell_login(false, "error", &failure);
    exchange_.reset();
    attempt_ = {};
    machine_->auth_failed(
        {454, "4.7.0", "authentication is not possible now, try again later", false});
}

void SessionDriver::tell_login(bool ok, std::string result, const auth::Failure* failure) {
    event::Login told;
    told.session = id_;
    told.account = failure != nullptr ? failure->account : account_name_;
    told.source = source_;
    if (const SnapshotPtr now = services_.current.get(); now->geo)
        told.place = now->geo->find(client_ip_);
    told.mechanism = mechanism_;
    told.listener = snapshot_->config->server.listen[listener_].name;
    told.ok = ok;
    told.result = std::move(result);
    if (failure != nullptr) {
        told.known = failure->known;
        told.customer = failure->customer;
        // Of a password: that of a token serves the guard alone.
        if (mechanism_ == "PLAIN" || mechanism_ == "LOGIN") told.secret_hash = failure->secret_hash;
        if (told.result == "error" || failure->kind == auth::Failure::Kind::suspended)
            told.error = failure->detail;
        else
            told.reason = failure->detail;
    } else {
        told.known = true;
        told.customer = account_ ? account_->customer : "";
        told.credential = credential_;
    }
    services_.events.emit(std::move(told));
}

/// Reads the account again where anything about any account has changed since. A removed one leaves
/// account_ empty. False: it is not to be had now, and account_ is as before.
awaitable<bool> SessionDriver::refresh_account() {
    const std::uint64_t generation = services_.accounts.generation();
    if (generation == account_generation_) co_return true;
    auto fresh = co_await look_up(account_name_);
    if (!fresh) co_return false;
    account_ = std::move(*fresh);
    account_generation_ = generation;
    co_return true;
}

bool SessionDriver::still_stands(const auth::AccountRecord* now) const {
    return proved_ && auth::stands({proved_, credential_, {}, 0, rests_on_}, now);
}

/// An account as it is now; null: there is none. Error: the store cannot be asked now.
awaitable<result<auth::AccountPtr>> SessionDriver::look_up(std::string name) {
    if (auth::AccountPtr cached = services_.accounts.find_cached(name)) co_return cached;
    result<auth::AccountPtr> out{error_code(asio::error::try_again)};
    (void)co_await on_auth_pool(auth::AuthPool::Priority::known, [&] {
        out = services_.accounts.find(name);
        // Only a store that can be read may say that an account is gone.
        if (!out && out.error() == auth::AuthError::not_found) out = auth::AccountPtr();
    });
    co_return out;
}

}  // namespace postern::relay
