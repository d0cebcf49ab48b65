// Who are you: SASL exchanges, with the login guard around them.

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/async_result.hpp>

#include "auth/login_name.hpp"
#include "relay/session/driver.hpp"
#include "relay/session/sameness.hpp"
#include "relay/session/transaction.hpp"

namespace postern::relay {

namespace {

using clock = std::chrono::steady_clock;

/// So long a login by token waits for keys that are being fetched.
constexpr std::chrono::seconds key_patience{5};
/// A login that waits longer than this for its turn on the pool is answered 454.
constexpr std::chrono::seconds pool_patience{10};

proto::Reply wrong_credentials(bool close_after) {
    return {535, "5.7.8", "authentication failed: wrong user name or password", close_after};
}

proto::Reply suspended_reply(const std::string& text, const std::string& where) {
    return {525, "5.7.13",
            text.empty() ? "account is suspended, write to " + where
                         : proto::clean_text(text, 300) + " (write to " + where + ")",
            false};
}

std::optional<std::uint64_t> number_of(const std::string& hex) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(), value, 16);
    if (error != std::errc{} || end != hex.data() + hex.size()) return std::nullopt;
    return value;
}

std::optional<policy::Mode> guard_mode(const auth::AccountPtr& account) {
    if (!account) return std::nullopt;
    const std::string* const mode = auth::mode_of(*account, "login_guard");
    return mode == nullptr ? std::nullopt : policy::parse_mode(*mode);
}

}  // namespace

awaitable<void> SessionDriver::authenticate(proto::Session::Auth what) {
    // It has failed already, and was counted: whatever the client answers to being told why.
    if (auto said = std::exchange(farewell_, std::nullopt); said && what.mechanism.empty()) {
        machine_->auth_failed(std::move(*said));
        co_return;
    }
    if (!what.mechanism.empty()) {
        mechanism_ = what.mechanism;
        guarded_ = false;
        attempt_name_.clear();
        auth::ExchangeContext context;
        // Others have nothing to bind, and this costs a hash of the certificate.
        const bool binds = what.mechanism.starts_with("SCRAM-");
        context.mechanism = what.mechanism;
        context.source = source_;
        context.listener = snapshot_->config->server.listen[listener_].name;
        context.separator = snapshot_->config->auth.credential_separator.front();
        if (binds) {
            context.bindings.tls_exporter = stream_.channel_binding_exporter();
            context.bindings.tls_server_end_point = stream_.channel_binding_server_end_point();
            context.bindings.tls_unique = stream_.channel_binding_unique();
        }
        context.offered = machine_->mechanisms();
        if (snapshot_->tokens) context.tokens = snapshot_->tokens->authority();
        context.certificate = certificate_;
        exchange_ = services_.sasl.begin(std::move(context));
    }
    if (!exchange_) {
        machine_->auth_failed({451, "4.3.0", "internal error", false});
        co_return;
    }
    if (!co_await pass_guard(what.response)) co_return;
    check_began_ = clock::now();
    std::optional<auth::StepResult> said = exchange_->try_quick(what.response);
    if (!said) {
        if (!co_await have_keys(what.response)) co_return;
        said = co_await step(std::move(what.response));
    }
    if (aborted_) co_return;
    if (!said) {
        login_unavailable(unanswered_);
        co_return;
    }
    if (auto* challenge = std::get_if<auth::Challenge>(&*said)) {
        machine_->auth_challenge(challenge->octets);
    } else if (auto* success = std::get_if<auth::Success>(&*said)) {
        co_await logged_in(std::move(*success));
    } else {
        co_await login_failed(std::move(std::get<auth::Failure>(*said)));
    }
}

/// Waits for this source's turn once the account's name is known. False: the answer has been given.
awaitable<bool> SessionDriver::pass_guard(const std::optional<proto::Secret>& response) {
    if (guarded_) co_return true;
    const std::optional<std::string> said = exchange_->name_in(response);
    if (!said) co_return true;  // It comes with a later message.
    guarded_ = true;
    // A name that can be nobody's counts all the same, or it would guess for nothing.
    const std::string& name = attempt_name_ = said->empty() ? "?" : *said;
    attempt_ = services_.guard.attempt(
        source_, name, guard_mode(services_.accounts.find_cached(name)), clock::now());
    for (;;) {
        const policy::LoginGuard::Gate gate = attempt_.ask(clock::now());
        if (gate.observed) {
            services_.events.emit(
                event::Verdict{.rule = "login_guard", .mode = "observe", .verdict = "delay"});
        }
        if (gate.kind == policy::LoginGuard::Gate::Kind::go) co_return true;
        if (gate.kind == policy::LoginGuard::Gate::Kind::busy) {
            login_unavailable("busy");
            co_return false;
        }
        if (!co_await pause(gate.wait)) {
            attempt_ = {};
            machine_->auth_failed({421, "4.3.2", "closing", true});
            co_return false;
        }
    }
}

/// Waits, where a token names a key that is not there, for the keys to be fetched. False: the
/// answer has been given.
awaitable<bool> SessionDriver::have_keys(const std::optional<proto::Secret>& response) {
    const auto& tokens = snapshot_->tokens;
    if (!tokens || !exchange_->lacks_key(response)) co_return true;
    /// Shared with whoever fetches; touched on this thread alone.
    struct Wait {
        asio::steady_timer* timer = nullptr;
        bool good = false;
    };
    const auto wait = std::make_shared<Wait>(&pause_);
    const asio::any_io_executor home = co_await asio::this_coro::executor;
    const auto asked = tokens->ask(clock::now(), [home, wait](bool good) {
        asio::post(home, [wait, good] {
            wait->good = good;
            if (wait->timer != nullptr) wait->timer->cancel();
        });
    });
    bool stays = true;
    if (asked == oauth::TokenKeys::Asked::wait) {
        stays = co_await pause(key_patience);
        wait->timer = nullptr;
    }
    if (!stays) {
        attempt_ = {};
        machine_->auth_failed({421, "4.3.2", "closing", true});
        co_return false;
    }
    if (asked == oauth::TokenKeys::Asked::settled || wait->good) co_return true;
    login_unavailable("the keys of tokens are not to be had");
    co_return false;
}

/// Does work that blocks on the auth pool. False: the pool is full, or it took too long; the work
/// was not begun.
awaitable<bool> SessionDriver::on_auth_pool(auth::AuthPool::Priority priority,
                                            std::function<void()> work) {
    const asio::any_io_executor home = co_await asio::this_coro::executor;
    bool done = false;
    auto start = [&](auto handler) {
        // The two ends of the job share the one way home.
        auto resume = std::make_shared<decltype(handler)>(std::move(handler));
        auto back = [home, resume,
                     tracked = asio::prefer(home, asio::execution::outstanding_work.tracked)] {
            asio::post(home, std::move(*resume));
        };
        auth::AuthPool::Job job;
        job.deadline = clock::now() + pool_patience;
        job.priority = priority;
        job.run = [&work, &done, back] {
            work();
            done = true;
            back();
        };
        job.expired = back;
        if (!services_.auth_pool.submit(std::move(job))) back();
    };
    co_await asio::async_initiate<const asio::use_awaitable_t<>&, void()>(std::move(start),
                                                                          asio::use_awaitable);
    co_return done;
}

/// Runs one step on the auth pool, or where another back-end is asked. Unset: `unanswered_` says
/// why.
awaitable<std::optional<auth::StepResult>> SessionDriver::step(
    std::optional<proto::Secret> response) {
    std::optional<auth::StepResult> out;
    const auto priority = services_.guard.known_pair(source_, attempt_name_, clock::now())
                              ? auth::AuthPool::Priority::known
                              : auth::AuthPool::Priority::stranger;
    if (services_.backend != nullptr && exchange_->asks_elsewhere()) {
        check_began_ = clock::now();
        auto answer = co_await services_.backend->step(exchange_, std::move(response), priority,
                                                       pause_, [this] { return aborted_; });
        unanswered_ = answer.why;
        co_return std::move(answer.said);
    }
    unanswered_ = "overload";
    (void)co_await on_auth_pool(priority, [&] {
        check_began_ = clock::now();  // What it waited for its turn tells nothing.
        out = exchange_->step(response);
    });
    co_return out;
}

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
    by_account_ = services_.accounts_connected.take(
        account_name_, snapshot_->config->resources.max_connections_per_account);
    policy::Facts known = facts();
    known.connections_of_account =
        by_account_ ? 1 : snapshot_->config->resources.max_connections_per_account + 1;
    const policy::Verdict verdict =
        policy::decide(policy::Stage::auth, known, {}, snapshot_->policy);
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
        farewell_ = wrong_credentials(false);
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
        told.secret_hash = failure->secret_hash;
        if (told.result == "error" || failure->kind == auth::Failure::Kind::suspended)
            told.error = failure->detail;
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
