#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "auth/auth_pool.hpp"
#include "auth/password_backend.hpp"
#include "auth/sasl_server.hpp"
#include "relay/asio.hpp"
#include "relay/event/event.hpp"

namespace postern::relay {

/// Where sessions have another password back-end asked: on threads of its own, with a time-out, so
/// that one that hangs keeps them and nobody else. Knows whether it is well, and raises
/// `backend_down` where it is not. Thread-safe.
class BackendDesk {
  public:
    struct Settings {
        std::string backend;  ///< saslauthd sasldb ldapdb sql
        std::chrono::milliseconds
            timeout;               ///< What a session waits, its place in the queue included.
        unsigned connections = 8;  ///< Threads: each asks one question at a time.
    };
    /// How a question ended, for the metric.
    enum class Result : std::uint8_t { ok, failed, error, timeout, overload };
    static constexpr std::size_t results = 5;
    [[nodiscard]] static std::string_view name(Result result) noexcept;

    BackendDesk(Settings settings, event::Stream& events);

    struct Answer {
        std::optional<auth::StepResult> said;         ///< Unset: none.
        std::string_view why;                         ///< Then: "timeout", "overload" or "closing".
        std::chrono::steady_clock::time_point began;  ///< When a thread took it; unset where none.
    };
    /// Takes a step of an exchange that asks the back-end. `wait` is a timer of the caller's on its
    /// thread; whoever cancels it is asked by `gave_up` whether the session waits no longer. What
    /// is late is not lost: it may be remembered, or make an account;
    /// `wrong` hears, on a thread of the pool, of a secret that was wrong after all.
    [[nodiscard]] awaitable<Answer> step(std::shared_ptr<auth::Exchange> exchange,
                                         std::optional<proto::Secret> response,
                                         auth::AuthPool::Priority priority,
                                         asio::steady_timer& wait, std::function<bool()> gave_up,
                                         std::function<void(const auth::Failure&)> wrong);

    /// Now and then: takes the alert back where the back-end has answered since.
    void look_after();
    [[nodiscard]] const std::string& backend() const noexcept { return settings_.backend; }
    [[nodiscard]] std::uint64_t count(Result result) const noexcept;
    [[nodiscard]] std::size_t queued() const { return pool_.queued(); }
    /// False: a question still hangs, and nothing that it uses may be destroyed.
    [[nodiscard]] bool stop() { return pool_.stop_within(std::chrono::milliseconds(500)); }

  private:
    using clock = std::chrono::steady_clock;
    struct Waiting;

    [[nodiscard]] static auth::AuthPool::Settings pool_settings(const Settings& settings);
    void answered(bool late, std::optional<auth::BackendAnswer::Kind> heard,
                  const auth::StepResult& said);
    void tell(Result result, const std::string& detail);
    void note(bool well, const std::string& detail);

    Settings settings_;
    event::Stream& events_;
    std::array<std::atomic<std::uint64_t>, results> counts_{};
    std::mutex mutex_;
    bool down_ = false;
    clock::time_point failed_;    ///< Last.
    clock::time_point answered_;  ///< Last.
    auth::AuthPool pool_;
};

}  // namespace postern::relay
