#pragma once

#include <string>
#include <string_view>

namespace postern::proto {

/// What reports are searched for, whoever sends them. All take foreign text, never throw on it, and
/// give back nothing that holds control characters.

/// 32 hexadecimal digits in lower case; empty where the text is anything else.
[[nodiscard]] std::string report_token(std::string_view text);

/// The token of an X-Abuse field's body (`report to ...; ref=TOKEN`); empty where it has none.
[[nodiscard]] std::string abuse_token(std::string_view body);

/// A Message-ID with angle brackets, which are put around one that came without; at most 998
/// octets; empty where there is none.
[[nodiscard]] std::string bracketed_message_id(std::string_view text);

/// The first enhanced status code (RFC 3463) in the text whose class digit is one of `classes`;
/// empty where there is none. Version numbers and IP addresses of more parts are none.
[[nodiscard]] std::string enhanced_code_in(std::string_view text, std::string_view classes);

/// The first word of the text that is a reply code from 400 to 599; 0 where there is none.
[[nodiscard]] int reply_code_in(std::string_view text) noexcept;

/// enhanced_code_in(); `X.0.0` of reply_code_in() where there is none.
[[nodiscard]] std::string status_in(std::string_view text, std::string_view classes);

/// One mailbox, with or without angle brackets, display name or comment, with its ASCII domain in
/// lower case; empty where the text is anything else.
[[nodiscard]] std::string foreign_mailbox(std::string_view text);

}  // namespace postern::proto
