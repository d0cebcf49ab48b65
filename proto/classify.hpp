#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "proto/client_session.hpp"
#include "proto/reply.hpp"

namespace postern::proto {

/// Whom an upstream's word speaks about: the message, or the path it took (the upstream's own
/// trouble, which never counts against a sender).
enum class Judges : std::uint8_t { message, path };
[[nodiscard]] std::string_view name(Judges judges) noexcept;

/// A reply that the operator names as the upstream's own trouble, beside those built in.
struct PathReply {
    int code = 0;            ///< 400 to 599
    std::string enhanced{};  ///< Empty: any.
    std::string text{};      ///< Stands in the reply's text, whatever the case; empty: any.
    bool operator==(const PathReply&) const = default;
};
using PathReplies = std::span<const PathReply>;

/// 2xx to MAIL, RCPT, DATA or the dot: message. 4xx: path. 5xx: message at MAIL, RCPT, data and
/// dot, unless the code (421, 530, 535, 538), the built-in table or `more` names it as the
/// upstream's trouble (our quota, our address listed); path at every other stage.
[[nodiscard]] Judges judges(UpstreamStage stage, const Reply& reply,
                            PathReplies more = {}) noexcept;

/// What something that happened on a path does to its circuit breaker.
enum class BreakerEffect : std::uint8_t {
    none,    ///< Says nothing about the path.
    counts,  ///< One failure of several.
    opens,   ///< At once.
    doubt,  ///< The answer to the final dot was lost: counts once three different messages had one.
};

/// Of a reply: `opens` for 5xx before MAIL, 530/535/538, and what the built-in table or `more`
/// names (4xx, too); `counts` for 4xx before MAIL and 421 up to the answer to DATA; none else.
[[nodiscard]] BreakerEffect breaker_effect(UpstreamStage stage, const Reply& reply,
                                           PathReplies more = {}) noexcept;

/// Of the end of a connection.
[[nodiscard]] BreakerEffect breaker_effect(const ClientSession::Failed& failed,
                                           PathReplies more = {}) noexcept;

/// Whether the built-in table or `more` names the reply as the upstream's own trouble. Stage is not
/// looked at.
[[nodiscard]] bool is_path_trouble(const Reply& reply, PathReplies more = {}) noexcept;

/// The upstream asks for less at a time: 421, or 4.7.x where that speaks of no recipient and no
/// content, which any sender could draw.
[[nodiscard]] bool asks_for_less(UpstreamStage stage, const Reply& reply) noexcept;

}  // namespace postern::proto
