// Who are you: SASL exchanges, with the login guard around them.

#include <utility>

#include <fmt/format.h>
#include <boost/asio/async_result.hpp>

#include "relay/session/driver.hpp"
#include "relay/session/guard_mode.hpp"
#include "relay/session/sameness.hpp"

namespace postern::relay {

namespace {

using clock = std::chrono::steady_clock;

/// So long a login by token waits for keys that are being fetched.
constexpr std::chrono::seconds key_patience{5};
/// A login that waits longer than this for its turn on the pool is answered 454.
constexpr std::chrono::seconds pool_patience{10};
/// So long a login that may not even wait its turn is kept before its 454.
constexpr std::chrono::seconds busy_pause{2};

auth::AuthPool::Priority priority_of(policy::LoginGuard::Trust trust) {
    switch (trust) {
        case policy::LoginGuard::Trust::known:
            return auth::AuthPool::Priority::known;
        case policy::LoginGuard::Trust::suspect:
            return auth::AuthPool::Priority::suspect;
        case policy::LoginGuard::Trust::stranger:
            break;
    }
    return auth::AuthPool::Priority::stranger;
}

}  // namespace

awaitable<void> SessionDriver::authenticate(proto::Session::Auth what) {
    // It has failed already, and was counted: whatever the client answers to being told why.
    if (auto said = std::exchange(farewell_, nullptr); said && what.mechanism.empty()) {
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
        if (certificate_) context.certificate = *certificate_;
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
            // Whoever asks again at once would have of our time what the owners are to have.
            attempt_ = {};
            if (co_await pause(busy_pause)) {
                login_unavailable("busy");
            } else {
                machine_->auth_failed({421, "4.3.2", "closing", true});
            }
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
/// was not begun. What `work` throws is thrown here.
awaitable<bool> SessionDriver::on_auth_pool(auth::AuthPool::Priority priority,
                                            std::function<void()> work) {
    const asio::any_io_executor home = co_await asio::this_coro::executor;
    bool done = false;
    std::exception_ptr failure;
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
        job.run = [&work, &done, &failure, back] {
            try {
                work();
                done = true;
            } catch (...) {
                failure = std::current_exception();
            }
            back();
        };
        job.expired = back;
        if (!services_.auth_pool.submit(std::move(job))) back();
    };
    co_await asio::async_initiate<const asio::use_awaitable_t<>&, void()>(std::move(start),
                                                                          asio::use_awaitable);
    if (failure) std::rethrow_exception(failure);
    co_return done;
}

/// What counts a wrong secret of this attempt once nobody waits for the answer any more.
std::function<void(const auth::Failure&)> SessionDriver::late_failure() const {
    return [&guard = services_.guard, source = source_, name = attempt_name_,
            mode = guard_mode(services_.accounts.find_cached(attempt_name_))](
               const auth::Failure& failure) {
        (void)guard.attempt(source, name, mode, clock::now())
            .failed(number_of(failure.secret_hash), 0, clock::now());
    };
}

/// Runs one step on the auth pool, or where another back-end is asked. Unset: `unanswered_` says
/// why.
awaitable<std::optional<auth::StepResult>> SessionDriver::step(
    std::optional<proto::Secret> response) {
    std::optional<auth::StepResult> out;
    const auto priority = priority_of(services_.guard.trust(source_, attempt_name_, clock::now()));
    if (services_.backend != nullptr && exchange_->asks_elsewhere()) {
        auto answer = co_await services_.backend->step(
            exchange_, std::move(response), priority, pause_, [this] { return aborted_; },
            late_failure());
        check_began_ = answer.began;  // What it waited for its turn tells nothing.
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

}  // namespace postern::relay
