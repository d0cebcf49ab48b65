#pragma once

#include <cstdint>
#include <string_view>

#include "proto/client_session.hpp"
#include "proto/reply.hpp"

namespace postern::proto {

/// Whom an upstream's word speaks about: the message, or the path it took (the upstream's own
/// trouble, which never counts against a sender).
enum class Judges : std::uint8_t { message, path };
[[nodiscard]] std::string_view name(Judges judges) noexcept;

/// 2xx to MAIL, RCPT, DATA or the dot: message. 4xx: path. 5xx: message at MAIL, RCPT, data and
/// dot, unless the code (421, 530, 535, 538) or the built-in table names it as the upstream's
/// trouble (our quota, our address listed); path at every other stage.
[[nodiscard]] Judges judges(UpstreamStage stage, const Reply& reply) noexcept;

/// What something that happened on a path does to its circuit breaker.
enum class BreakerEffect : std::uint8_t {
    none,    ///< Says nothing about the path.
    counts,  ///< One failure of several.
    opens,   ///< At once.
    doubt,  ///< The answer to the final dot was lost: counts once three different messages had one.
};

/// Of a reply: `opens` for 5xx before MAIL, 530/535/538, and what the built-in table names (4xx,
/// too); `counts` for 4xx before MAIL and 421 up to the answer to DATA; none else.
[[nodiscard]] BreakerEffect breaker_effect(UpstreamStage stage, const Reply& reply) noexcept;

/// Of the end of a connection.
[[nodiscard]] BreakerEffect breaker_effect(const ClientSession::Failed& failed) noexcept;

/// Whether the built-in table names the reply as the upstream's own trouble. Stage is not looked
/// at.
[[nodiscard]] bool is_path_trouble(const Reply& reply) noexcept;

}  // namespace postern::proto
