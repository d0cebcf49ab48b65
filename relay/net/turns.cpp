#include "relay/net/turns.hpp"

namespace postern::relay::net {

awaitable<std::optional<Turns::Turn>> Turns::wait(clock::time_point deadline) {
    const auto executor = co_await asio::this_coro::executor;
    if (!taken_) {
        taken_ = true;
        co_return Turn(this, executor);
    }
    Waiter waiter(executor);
    waiter.timer.expires_at(deadline);
    const auto where = waiters_.insert(waiters_.end(), &waiter);
    // Also when this coroutine is destroyed while it waits, nothing may point to it any more, and a
    // turn that it was given and did not take is the next one's.
    struct Out {
        Turns& turns;
        std::list<Waiter*>::iterator where;
        Waiter& waiter;
        bool took = false;
        ~Out() {
            if (!waiter.admitted) {
                turns.waiters_.erase(where);
            } else if (!took) {
                turns.pass_on();
            }
        }
    } out{*this, where, waiter};
    co_await waiter.timer.async_wait(as_value);
    if (!waiter.admitted) co_return std::nullopt;
    out.took = true;
    co_return Turn(this, executor);
}

void Turns::pass_on_later(const asio::any_io_executor& executor) noexcept {
    if (!stopped_) asio::post(executor, [this] { pass_on(); });
}

void Turns::pass_on() noexcept {
    if (waiters_.empty()) {
        taken_ = false;
        return;
    }
    Waiter* const next = waiters_.front();
    waiters_.pop_front();
    next->admitted = true;
    next->timer.cancel();
}

}  // namespace postern::relay::net
