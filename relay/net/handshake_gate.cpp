#include "relay/net/handshake_gate.hpp"

#include <malloc.h>

#include <algorithm>

namespace postern::relay::net {

asio::execution_context::id HandshakeGate::id;

HandshakeGate::HandshakeGate(asio::execution_context& context) : service(context) {}

void HandshakeGate::shutdown() {
    stopped_ = true;
    trim_timer_.reset();
}

awaitable<std::optional<HandshakeGate::Place>> HandshakeGate::enter(
    std::chrono::steady_clock::time_point deadline) {
    if (under_way_ >= limit) {
        Waiter waiter(co_await asio::this_coro::executor);
        waiter.timer.expires_at(deadline);
        const auto where = waiters_.insert(waiters_.end(), &waiter);
        // Also when this coroutine is destroyed while it waits, nothing may point to it any more.
        struct Out {
            std::list<Waiter*>& list;
            std::list<Waiter*>::iterator where;
            Waiter& waiter;
            ~Out() {
                if (!waiter.admitted) list.erase(where);
            }
        } out{waiters_, where, waiter};
        co_await waiter.timer.async_wait(as_value);
        if (!waiter.admitted) co_return std::nullopt;
    } else {
        ++under_way_;
    }
    peak_ = std::max(peak_, under_way_);
    if (!trim_timer_ && !stopped_) trim_timer_.emplace(co_await asio::this_coro::executor);
    co_return Place(this);
}

void HandshakeGate::leave() noexcept {
    if (!waiters_.empty() && !stopped_) {  // the place changes hands
        Waiter* next = waiters_.front();
        waiters_.pop_front();
        next->admitted = true;
        next->timer.cancel();
        return;
    }
    --under_way_;
    if (under_way_ == 0 && peak_ >= storm && !trim_pending_ && !stopped_) trim_later();
}

void HandshakeGate::trim_later() {
    trim_pending_ = true;
    peak_ = 0;
    trim_timer_->expires_after(std::chrono::seconds(2));
    trim_timer_->async_wait([this](error_code ec) {
        if (ec || stopped_) return;
        trim_pending_ = false;
        ::malloc_trim(std::size_t{1024} * 1024);
    });
}

}  // namespace postern::relay::net
