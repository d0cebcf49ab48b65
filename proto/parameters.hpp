#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "proto/envelope.hpp"

namespace postern::proto {

/// What is wrong with the parameters of MAIL or RCPT (RFC 5321 4.1.1.11).
enum class ParameterFault : std::uint8_t {
    none,
    unknown,  ///< 555 5.5.4: not offered (also BODY=BINARYMIME)
    bad,      ///< 501 5.5.4: value or form wrong, or given twice
};

/// Reads `SIZE= BODY= SMTPUTF8 RET= ENVID= AUTH=` behind a reverse-path into `envelope`. AUTH= is
/// checked and discarded (RFC 4954 5). A SIZE beyond 64 bits becomes the largest value. On a fault
/// `envelope` may hold what stood before it.
[[nodiscard]] ParameterFault read_mail_parameters(std::string_view text, Envelope& envelope);

/// Reads `NOTIFY= ORCPT=` behind a forward-path into `recipient`. ORCPT may be UTF-8 where the
/// message is SMTPUTF8 (RFC 6533 3).
[[nodiscard]] ParameterFault read_rcpt_parameters(std::string_view text, bool smtputf8,
                                                  Recipient& recipient);

}  // namespace postern::proto
