#pragma once

#include <string>
#include <string_view>

namespace postern::proto {

/// One SMTP reply (RFC 5321 4.2). `text` may hold several lines, split at '\n'; every line is sent
/// with the same code and enhanced code (RFC 2034). `enhanced` is empty for greeting, EHLO, 354,
/// 334.
struct Reply {
    int code = 0;
    std::string enhanced;
    std::string text;
    bool close_after = false;  ///< The connection ends once the reply is out.

    [[nodiscard]] bool positive() const noexcept { return code < 400; }
    [[nodiscard]] bool transient() const noexcept { return code >= 400 && code < 500; }
    [[nodiscard]] bool permanent() const noexcept { return code >= 500; }
    bool operator==(const Reply&) const = default;
};

/// Appends the wire form of `reply` to `out`, each line ended by CRLF.
void render(const Reply& reply, std::string& out);

/// Foreign text made fit for a reply or a log line: control and undecodable octets become '?', line
/// breaks a space, at most `limit` octets (never cut inside a UTF-8 sequence).
[[nodiscard]] std::string clean_text(std::string_view text, std::size_t limit = 510);

}  // namespace postern::proto
