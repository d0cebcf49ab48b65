#pragma once

#include <optional>
#include <string_view>

#include <boost/system/result.hpp>

#include "proto/address.hpp"

namespace postern::proto {

/// The argument of MAIL FROM: or RCPT TO: in its two parts; views into what was given.
struct PathText {
    std::string_view mailbox;  ///< Between the brackets, less a source route; empty: the null path.
    std::string_view rest;     ///< Behind the closing bracket: parameters, or empty.
};

/// Splits `<[@host,@host:]mailbox> parameters` (RFC 5321 4.1.2); spaces before the bracket are
/// passed over. The mailbox is not judged. Source routes are checked and dropped (RFC 5321 appendix
/// C). Errors: syntax, too_long (a path over 256 octets with its brackets, RFC 5321 4.5.3.1.3).
[[nodiscard]] boost::system::result<PathText> split_path(std::string_view text);

/// The path of RCPT: a mailbox, or `postmaster` in any case without a domain (RFC 5321 4.1.1.3).
[[nodiscard]] boost::system::result<Address> parse_forward_path(std::string_view mailbox,
                                                                bool smtputf8);

}  // namespace postern::proto
