#include "relay/upstream/attempt.hpp"

#include <algorithm>

namespace postern::relay {

namespace {

std::string what_happened(const proto::ClientSession::Failed& failed) {
    using Kind = proto::ClientSession::Failed::Kind;
    if (failed.reply.code != 0) return std::to_string(failed.reply.code) + " " + failed.reply.text;
    switch (failed.kind) {
        case Kind::refused:
            return "refused";
        case Kind::protocol:
            return "broke the protocol";
        case Kind::eof:
            return failed.reply.text.empty() ? "connection closed" : failed.reply.text;
        case Kind::timeout:
            return failed.reply.text.empty() ? "no answer in time" : failed.reply.text;
        case Kind::no_tls:
            return failed.reply.text.empty() ? "STARTTLS is not offered" : failed.reply.text;
        case Kind::no_auth:
            return failed.reply.text.empty()
                       ? "no AUTH mechanism that both know"
                       : "no AUTH mechanism that both know: " + failed.reply.text;
        case Kind::sasl:
            return failed.reply.text;
    }
    return "?";
}

}  // namespace

std::string describe(const proto::ClientSession::Failed& failed) {
    return failed.place.empty() ? what_happened(failed)
                                : failed.place + ": " + what_happened(failed);
}

awaitable<bool> Attempt::wait_until(SteadyTime deadline) {
    while (!result_) {
        if (hurried_) {
            if (!dot_sent_) co_return false;
            deadline = std::min(deadline, *hurried_);
        }
        changed_.expires_at(deadline);
        const auto [error] = co_await changed_.async_wait(as_value);
        if (!error && !result_) co_return false;  // The timer ran out; finish() cancels it.
        if (error && !result_ && std::chrono::steady_clock::now() >= deadline) co_return false;
    }
    co_return true;
}

void Attempt::abandon() {
    if (dot_sent_ || result_) return;
    abandoned_ = true;
    if (close_) close_();
}

void Attempt::hurry(SteadyTime until) {
    hurried_ = until;
    changed_.cancel();
}

void Attempt::finish(AttemptResult result) {
    result_ = std::move(result);
    changed_.cancel();
}

}  // namespace postern::relay
