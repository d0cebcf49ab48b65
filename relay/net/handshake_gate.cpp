#include "relay/net/handshake_gate.hpp"

#include <malloc.h>

#include <algorithm>

namespace postern::relay::net {

asio::execution_context::id HandshakeGate::id;

HandshakeGate::HandshakeGate(asio::execution_context& context) : service(context) {}

void HandshakeGate::shutdown() {
    stopped_ = true;
    turns_.stop();
    trim_timer_.reset();
}

awaitable<std::optional<HandshakeGate::Place>> HandshakeGate::enter(clock::time_point deadline) {
    pass_over_stalled();
    if (holders_.size() + promised_ >= limit) {
        Waiter waiter(co_await asio::this_coro::executor);
        const auto enough = clock::now() + patience;
        waiter.timer.expires_at(std::min(deadline, enough));
        const auto where = waiters_.insert(waiters_.end(), &waiter);
        // Also when this coroutine is destroyed while it waits, nothing may point to it any more.
        struct Out {
            HandshakeGate& gate;
            std::list<Waiter*>::iterator where;
            Waiter& waiter;
            ~Out() {
                if (waiter.admitted) {
                    --gate.promised_;
                } else {
                    gate.waiters_.erase(where);
                }
            }
        } out{*this, where, waiter};
        co_await waiter.timer.async_wait(as_value);
        if (!waiter.admitted && (stopped_ || deadline < enough)) co_return std::nullopt;
    }
    if (!trim_timer_ && !stopped_) trim_timer_.emplace(co_await asio::this_coro::executor);
    co_return Place(this, take());
}

std::list<HandshakeGate::Holder>::iterator HandshakeGate::take() {
    const auto at = holders_.insert(holders_.end(), Holder{clock::now()});
    peak_ = std::max(peak_, holders_.size());
    return at;
}

void HandshakeGate::leave(std::list<Holder>::iterator at) noexcept {
    (at->counts ? holders_ : stalled_).erase(at);
    if (stopped_) return;
    while (!waiters_.empty() && holders_.size() + promised_ < limit) {
        Waiter* next = waiters_.front();
        waiters_.pop_front();
        next->admitted = true;
        ++promised_;
        next->timer.cancel();
    }
    if (holders_.empty() && waiters_.empty() && peak_ >= storm && !trim_pending_) trim_later();
}

void HandshakeGate::pass_over_stalled() noexcept {
    const auto before = clock::now() - patience;
    while (!holders_.empty() && holders_.front().since <= before) {
        holders_.front().counts = false;
        stalled_.splice(stalled_.end(), holders_, holders_.begin());
    }
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
