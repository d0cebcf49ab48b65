#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proto/envelope.hpp"
#include "proto/reply.hpp"

namespace postern::proto {

/// Action of RFC 3464 2.3.3.
enum class DsnAction : std::uint8_t { failed, delayed, delivered, relayed };

/// One recipient told of. Foreign text may hold anything: it is cleaned here.
struct DsnRecipient {
    Recipient recipient;  ///< Its ORCPT becomes Original-Recipient.
    DsnAction action = DsnAction::failed;
    std::string status;  ///< Enhanced code; taken from `reply` where empty, 5.0.0, 4.0.0 or 2.0.0
                         ///< where that has none of the right class.
    Reply reply;         ///< The last word of the upstream; code 0: there was none.
    std::string remote_mta;  ///< Host name of who said so; empty: we ourselves.
    std::string
        reason;  ///< One short sentence where no reply explains it ("not delivered within 4 days").
    std::int64_t last_attempt = 0;      ///< Unix seconds; 0: none.
    std::int64_t will_retry_until = 0;  ///< Unix seconds, for delayed; 0: not told.
};

struct DsnRequest {
    std::string hostname;     ///< Reporting-MTA.
    std::string from_domain;  ///< From: postmaster@; may hold UTF-8 only when written as A-label.
    std::string contact;      ///< Address or URL told to the reader; may be empty.
    std::string ref;          ///< Of the message told of.
    std::string own_ref;      ///< Of the notification: its Message-ID.
    std::int64_t unix_seconds = 0;         ///< Date.
    std::int64_t arrival = 0;              ///< Unix seconds: when the message came.
    Envelope envelope;                     ///< Of the message; mail_from must be set.
    std::vector<DsnRecipient> recipients;  ///< At least one.
    std::string_view header;  ///< Header section of the message, CRLF lines, as it goes out.
    std::string_view body;    ///< Used for RET=FULL only; empty where it is too large for that.
    std::string subject;      ///< Raw, for the human text; may be empty.
    std::string boundary;     ///< Random, at least 16 characters of [A-Za-z0-9].
};

/// Largest message (header and body) that goes into a notification whole.
inline constexpr std::size_t dsn_full_limit = 65536;

struct Dsn {
    Envelope envelope;  ///< Null reverse-path, one recipient: the sender, NOTIFY=NEVER. smtputf8
                        ///< and body as the text needs.
    std::string text;   ///< Header and body, CRLF line ends, not stuffed.
};

/// Whether a notification with this action is owed for the recipient (RFC 3461 4.1, 6.2: FAILURE
/// and DELAY unless told else, SUCCESS only when asked for; never to the null reverse-path).
/// `relayed` is for upstreams that do not offer DSN.
[[nodiscard]] bool dsn_owed(const Envelope& envelope, const Recipient& recipient,
                            DsnAction action) noexcept;

/// Writes a delivery status notification (RFC 3461, 3464, 6522; 6533 for UTF-8 addresses). All
/// recipients go into one.
[[nodiscard]] Dsn make_dsn(const DsnRequest& request);

}  // namespace postern::proto
