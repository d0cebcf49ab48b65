#pragma once

// Inside of make_dsn(): included by dsn*.cpp only.

#include <string>
#include <string_view>

#include "proto/dsn.hpp"

namespace postern::proto {

/// Enhanced status of a recipient (RFC 3463), of a class that fits its action.
[[nodiscard]] std::string dsn_status(const DsnRecipient& recipient);

/// What the whole notification says: the gravest of its recipients' actions.
[[nodiscard]] DsnAction dsn_headline(const DsnRequest& request) noexcept;

/// The part for people: UTF-8, CRLF line ends, no line over 900 octets.
[[nodiscard]] std::string dsn_text(const DsnRequest& request);

/// The body of message/delivery-status (RFC 3464 2), or with `utf8` of
/// message/global-delivery-status (RFC 6533 4.2).
[[nodiscard]] std::string dsn_fields(const DsnRequest& request, bool utf8);

/// `text` on one line: controls and line ends gone, octets that are not ASCII become `?`.
[[nodiscard]] std::string ascii_line(std::string_view text, std::size_t limit = 510);

}  // namespace postern::proto
