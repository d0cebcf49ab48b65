#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/thread_pool.hpp>

#include "relay/asio.hpp"

namespace postern::relay::net {

/// Runs `f` on `pool` and resumes the caller, on its own thread, with the result (or f's
/// exception). Not cancellable: the caller waits until `f` is through, so `f` may use what the
/// caller owns. The io_context must outlive the pool's work: join the pool, or the caller, first.
template <typename F>
[[nodiscard]] awaitable<std::invoke_result_t<F&>> offload(asio::thread_pool& pool, F f) {
    using T = std::invoke_result_t<F&>;
    using Value = std::conditional_t<std::is_void_v<T>, bool, std::optional<T>>;
    struct Outcome {
        Value value{};
        std::exception_ptr failure;
    } outcome;
    const asio::any_io_executor home = co_await asio::this_coro::executor;
    auto start = [&](auto handler) {
        asio::post(pool, [&outcome, &f, home,
                          work = asio::prefer(home, asio::execution::outstanding_work.tracked),
                          handler = std::move(handler)]() mutable {
            try {
                if constexpr (std::is_void_v<T>) {
                    f();
                } else {
                    outcome.value.emplace(f());
                }
            } catch (...) {
                outcome.failure = std::current_exception();
            }
            asio::post(home, std::move(handler));
        });
    };
    co_await asio::async_initiate<const asio::use_awaitable_t<>&, void()>(std::move(start),
                                                                          asio::use_awaitable);
    if (outcome.failure) std::rethrow_exception(outcome.failure);
    if constexpr (!std::is_void_v<T>) co_return std::move(*outcome.value);
}

}  // namespace postern::relay::net
