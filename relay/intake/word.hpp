#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace postern::relay::intake {

enum class WordKind : std::uint8_t {
    bounce,     ///< Failed for good.
    deferral,   ///< Delayed: nothing is counted but that it came.
    delivery,   ///< Delivered or relayed: likewise.
    complaint,  ///< A receiver calls it abuse.
    other,      ///< Opens, clicks, subscriptions, and what else services tell.
};

/// How a word came, as event `complaint` names it; a bounce by mail is `arf`'s neighbour and has
/// `dsn`.
enum class Via : std::uint8_t { dsn, arf, webhook };

/// What somebody says of one recipient of one mail. Foreign text, cleaned and bounded; whether it
/// is of a mail of ours is for the desk to find out.
struct Word {
    WordKind kind = WordKind::other;
    Via via = Via::dsn;
    std::string token;       ///< 32 hex digits in lower case; may be empty.
    std::string message_id;  ///< With angle brackets; may be empty.
    std::string rcpt;        ///< May be empty: then the only recipient of the mail is meant.
    std::string enhanced;    ///< "5.1.1"; may be empty.
    std::string text;        ///< At most 510 octets.
    std::string detail;      ///< Of a complaint: "abuse", "fraud", ...; else empty.
};

/// What became of a word; label `result` of intake_total.
enum class Taken : std::uint8_t {
    counted,    ///< It is of a mail of ours and new.
    duplicate,  ///< Told before.
    unknown,    ///< No mail or recipient of ours.
    passed,     ///< Understood, and nothing to count.
    unreadable,
    overloaded,  ///< The queue is full: the sender may try again (LMTP 451, HTTP 503).
};
[[nodiscard]] std::string_view name(Taken taken) noexcept;
[[nodiscard]] std::string_view name(WordKind kind) noexcept;
[[nodiscard]] std::string_view name(Via via) noexcept;

}  // namespace postern::relay::intake
