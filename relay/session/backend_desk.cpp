#include "relay/session/backend_desk.hpp"

#include <utility>
#include <variant>

#include <fmt/format.h>

namespace postern::relay {

namespace {

/// Questions that wait for a thread, of each priority: as many as a burst of logins brings.
constexpr std::size_t longest_queue = 256;
/// A back-end that was ill is well once it has been so for as long: one that answers every other
/// question shall not raise an alert for each.
constexpr std::chrono::seconds settled_for{5};

/// An exception is a bug of ours, or no memory: it ends one login, never the process.
auth::StepResult step_safely(auth::Exchange& exchange,
                             const std::optional<proto::Secret>& response) {
    try {
        return exchange.step(response);
    } catch (const std::exception& error) {
        auth::Failure failure;
        failure.kind = auth::Failure::Kind::unavailable;
        failure.detail = error.what();
        return failure;
    }
}

}  // namespace

/// A session's wait for one answer. `over` is whoever comes first: the answer, or the session that
/// waits no longer. The rest belongs to the session's thread.
struct BackendDesk::Waiting {
    std::atomic<bool> over{false};
    std::atomic<bool> begun{false};  ///< A thread has it, since then:
    clock::time_point since;
    asio::steady_timer* wait = nullptr;  ///< Null: nobody waits.
    std::optional<auth::StepResult> said;
};

std::string_view BackendDesk::name(Result result) noexcept {
    switch (result) {
        case Result::ok:
            return "ok";
        case Result::failed:
            return "failed";
        case Result::error:
            return "error";
        case Result::timeout:
            return "timeout";
        case Result::overload:
            break;
    }
    return "overload";
}

auth::AuthPool::Settings BackendDesk::pool_settings(const Settings& settings) {
    auth::AuthPool::Settings out;
    out.threads = settings.connections;
    out.queue = longest_queue;
    out.stuck_after = settings.timeout;
    return out;
}

BackendDesk::BackendDesk(Settings settings, event::Stream& events)
    : settings_(std::move(settings)), events_(events), pool_(pool_settings(settings_)) {}

awaitable<BackendDesk::Answer> BackendDesk::step(std::shared_ptr<auth::Exchange> exchange,
                                                 std::optional<proto::Secret> response,
                                                 auth::AuthPool::Priority priority,
                                                 asio::steady_timer& wait,
                                                 std::function<bool()> gave_up,
                                                 std::function<void(const auth::Failure&)> wrong) {
    const asio::any_io_executor home = co_await asio::this_coro::executor;
    const clock::time_point deadline = clock::now() + settings_.timeout;
    auto waiting = std::make_shared<Waiting>();
    waiting->wait = &wait;
    auth::AuthPool::Job job;
    job.deadline = deadline;
    job.priority = priority;
    job.run = [this, home, waiting, exchange = std::move(exchange), wrong = std::move(wrong),
               response = std::move(response)]() mutable {
        waiting->since = clock::now();
        waiting->begun.store(true);
        auth::StepResult said = step_safely(*exchange, response);
        const bool late = waiting->over.exchange(true);
        answered(late, exchange->heard_elsewhere(), said);
        // Where nobody waits the thread that did may have ended.
        if (late) {
            const auto* const failure = std::get_if<auth::Failure>(&said);
            if (failure != nullptr && failure->kind == auth::Failure::Kind::bad_credentials)
                wrong(*failure);
            return;
        }
        asio::post(home, [waiting, told = std::move(said)]() mutable {
            waiting->said = std::move(told);
            if (waiting->wait != nullptr) waiting->wait->cancel();
        });
    };
    if (!pool_.submit(std::move(job))) {
        tell(Result::overload, {});
        co_return Answer{std::nullopt, "overload", {}};
    }
    Answer answer;
    while (!waiting->said) {
        wait.expires_at(deadline);
        (void)co_await wait.async_wait(as_value);
        if (waiting->said) break;
        const bool late = clock::now() >= deadline;
        if (!late && !gave_up()) continue;
        // An answer that is on its way has won.
        if (waiting->over.exchange(true)) {
            if (!waiting->said) co_await asio::post(home, asio::use_awaitable);
            continue;
        }
        // One that never came to be asked tells of a crowd, and not of the back-end.
        const Result result = waiting->begun.load() ? Result::timeout : Result::overload;
        answer.why = late ? name(result) : "closing";
        if (late) tell(result, "no answer in time");
        break;
    }
    waiting->wait = nullptr;
    if (waiting->begun.load()) answer.began = waiting->since;
    answer.said = std::move(waiting->said);
    co_return answer;
}

/// On a thread of the pool.
void BackendDesk::answered(bool late, std::optional<auth::BackendAnswer::Kind> heard,
                           const auth::StepResult& said) {
    using Kind = auth::BackendAnswer::Kind;
    if (!heard) return;  // The name was nobody's, or our own store failed.
    const bool well = *heard == Kind::ok || *heard == Kind::failed;
    const auto* const failure = std::get_if<auth::Failure>(&said);
    const std::string detail = !well && failure != nullptr ? failure->detail : std::string();
    // What comes too late has been counted as such.
    if (late) {
        if (well) note(true, {});
        return;
    }
    const Result result = *heard == Kind::ok        ? Result::ok
                          : *heard == Kind::failed  ? Result::failed
                          : *heard == Kind::timeout ? Result::timeout
                                                    : Result::error;
    tell(result, detail);
}

void BackendDesk::tell(Result result, const std::string& detail) {
    counts_[static_cast<std::size_t>(result)].fetch_add(1);
    // Too many logins at once say nothing about the back-end.
    if (result != Result::overload) note(result == Result::ok || result == Result::failed, detail);
}

void BackendDesk::note(bool well, const std::string& detail) {
    const auto now = clock::now();
    {
        const std::scoped_lock lock(mutex_);
        if (well) {
            answered_ = now;
            return;
        }
        failed_ = now;
        down_ = true;
    }
    events_.emit(event::AlertRaised{
        .kind = "backend_down",
        .subject = settings_.backend,
        .text = fmt::format("logins cannot be checked by {}: {}", settings_.backend, detail),
        .action = "see that it runs and answers, and auth.options; `postern check` asks it",
        .fields = {{"error", detail}}});
}

void BackendDesk::look_after() {
    {
        const std::scoped_lock lock(mutex_);
        if (!down_ || answered_ <= failed_ || clock::now() - failed_ < settled_for) return;
        down_ = false;
    }
    events_.emit(event::AlertRaised{.kind = "backend_down",
                                    .subject = settings_.backend,
                                    .text = fmt::format("{} answers again", settings_.backend),
                                    .resolved = true});
}

std::uint64_t BackendDesk::count(Result result) const noexcept {
    return counts_[static_cast<std::size_t>(result)].load();
}

}  // namespace postern::relay
