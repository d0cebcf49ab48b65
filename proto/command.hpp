#pragma once

#include <cstdint>
#include <string_view>

namespace postern::proto {

enum class Verb : std::uint8_t {
    ehlo,
    helo,
    starttls,
    auth,
    mail,
    rcpt,
    data,
    bdat,
    rset,
    noop,
    vrfy,
    expn,
    help,
    quit,
    not_offered,  ///< Known from RFCs, not spoken here.
    http,         ///< The first word of an HTTP request.
    unknown,
};

/// When a command is in order, as data. Legality is decided from this before anything acts.
struct CommandRule {
    enum class Tls : std::uint8_t { any, needed };
    enum class Login : std::uint8_t { any, needed };
    enum class Transaction : std::uint8_t { any, none, open };
    enum class Arguments : std::uint8_t { any, none, some };

    Verb verb;
    std::string_view name;  ///< As it stands in notes and metrics: a closed set.
    Tls tls;
    Login login;
    Transaction transaction;
    Arguments arguments;
};

struct Command {
    const CommandRule* rule;     ///< Never null; static.
    std::string_view arguments;  ///< Without spaces at either end.
};

/// Takes a line (without CRLF) apart. Verbs ignore case (RFC 5321 2.4); spaces at the end are
/// passed over.
[[nodiscard]] Command parse_command(std::string_view line) noexcept;

}  // namespace postern::proto
