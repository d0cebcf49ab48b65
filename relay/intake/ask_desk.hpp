#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "relay/asio.hpp"
#include "relay/intake/desk.hpp"

namespace postern::relay::intake {

/// How long a peer waits until what it brought is safe.
constexpr std::chrono::seconds desk_patience{60};

/// Hands `what` (a Mail, or Words) to the desk and waits for its answer; `overloaded` where none
/// comes in time. Resumes on the caller's thread, which is that of its io_context alone.
template <typename What>
[[nodiscard]] awaitable<Taken> ask_desk(Desk& desk, What what,
                                        std::chrono::milliseconds patience = desk_patience) {
    struct Waiting {
        explicit Waiting(const asio::any_io_executor& on) : timer(on) {}
        asio::steady_timer timer;
        std::optional<Taken> answer;
    };
    const asio::any_io_executor home = co_await asio::this_coro::executor;
    const auto waiting = std::make_shared<Waiting>(home);
    waiting->timer.expires_after(patience);
    desk.take(std::move(what), [waiting, home](Taken taken) {
        asio::post(home, [waiting, taken] {
            waiting->answer = taken;
            waiting->timer.cancel();
        });
    });
    (void)co_await waiting->timer.async_wait(as_value);
    co_return waiting->answer.value_or(Taken::overloaded);
}

}  // namespace postern::relay::intake
