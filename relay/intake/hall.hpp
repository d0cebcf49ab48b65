#pragma once

#include <list>
#include <string>
#include <string_view>

#include "proto/intake_session.hpp"
#include "relay/intake/listeners.hpp"
#include "relay/intake/signature.hpp"
#include "relay/net/stream.hpp"

namespace postern::relay::intake {

/// A connection while it is served.
struct Guest {
    net::Stream stream;
    std::string address;  ///< An IP literal.
    config::IntakeSpeech speech = config::IntakeSpeech::lmtp;
    bool waiting = false;  ///< Nothing is under way: it may be interrupted.
};

/// What the listeners' connections share; of one thread.
struct Hall {
    Hall(ListenerPorts with, ListenerLimits bounds) : ports(std::move(with)), limits(bounds) {}

    ListenerPorts ports;
    ListenerLimits limits;
    bool stopping = false;
    TokensSeen tokens;
    std::list<Guest> guests;

    void count(std::string_view kind, std::string_view result) const {
        if (ports.count) ports.count(kind, result);
    }
    /// Counts, and tells the operator; a flood of them is told once in a while, with its number.
    void turned_away(std::string_view kind, std::string_view result, std::string_view address);

  private:
    std::chrono::steady_clock::time_point told_{};
    std::size_t untold_ = 0;
};

[[nodiscard]] std::string_view name(config::IntakeSpeech speech) noexcept;

/// Serves LMTP or SMTP to its end.
[[nodiscard]] awaitable<void> serve_mail(Hall& hall, Guest& guest, proto::IntakeSession session);
/// Serves HTTP to its end.
[[nodiscard]] awaitable<void> serve_http(Hall& hall, Guest& guest);

}  // namespace postern::relay::intake
