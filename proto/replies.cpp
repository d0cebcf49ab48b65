#include "proto/replies.hpp"

#include <algorithm>
#include <array>

namespace postern::proto {

namespace {

enum class After : std::uint8_t { go_on, count, close };

struct Row {
    Say say;
    int code;
    std::string_view enhanced;
    std::string_view text;
    After after = After::go_on;
};

using enum Say;
using enum After;

constexpr std::array table{
    Row{tls_ready, 220, "2.0.0", "ready to start TLS"},
    Row{auth_done, 235, "2.7.0", "logged in"},
    Row{bye, 221, "2.0.0", "bye", close},
    Row{ok, 250, "2.0.0", "ok"},
    Row{reset_done, 250, "2.0.0", "reset"},
    Row{cannot_verify, 252, "2.5.0", "cannot verify, but will try to deliver"},
    Row{sender_ok, 250, "2.1.0", "sender ok"},
    Row{recipient_ok, 250, "2.1.5", "recipient ok"},
    Row{data_go, 354, "", "end data with <CRLF>.<CRLF>"},

    Row{unknown_command, 500, "5.5.2", "unknown command", count},
    Row{line_too_long, 500, "5.5.2", "line too long", count},
    Row{auth_line_too_long, 500, "5.5.6", "authentication line too long", count},  // RFC 4954 4
    Row{bad_octets, 500, "5.5.2", "control octet in a command, or a line not ended by CRLF", count},
    Row{bad_arguments, 501, "5.5.4", "syntax error in the arguments", count},
    Row{argument_missing, 501, "5.5.4", "an argument is missing", count},
    Row{no_arguments, 501, "5.5.4", "no argument is allowed", count},
    Row{unknown_parameter, 555, "5.5.4", "parameter not known", count},
    Row{bad_parameter, 501, "5.5.4", "parameter with a bad value, or given twice", count},
    Row{out_of_order, 503, "5.5.1", "command out of order", count},
    Row{mail_first, 503, "5.5.1", "MAIL comes first", count},
    Row{mail_twice, 503, "5.5.1", "MAIL was given already", count},
    Row{no_recipients, 503, "5.5.1", "no valid recipients", count},
    Row{in_bdat, 503, "5.5.1", "BDAT has begun", count},
    Row{tls_already, 503, "5.5.1", "TLS is on already", count},
    Row{login_already, 503, "5.5.1", "logged in already", count},
    Row{ehlo_first, 503, "5.5.1", "EHLO comes first", count},
    Row{no_expn, 502, "5.5.1", "EXPN is not offered", count},
    Row{not_offered, 502, "5.5.1", "command not offered", count},
    Row{tls_first, 530, "5.7.0", "STARTTLS comes first", count},
    Row{login_first, 530, "5.7.0", "authentication required", count},

    Row{auth_mechanism, 504, "5.5.4", "mechanism not offered", count},
    Row{auth_base64, 501, "5.5.2", "not base64", count},
    Row{auth_cancelled, 501, "5.7.0", "authentication cancelled", count},

    Row{bad_address, 501, "5.5.4", "not an address"},
    Row{address_too_long, 501, "5.5.4", "address too long"},
    Row{no_domain, 554, "5.1.2", "recipient address without a domain"},  // RFC 6409 4.2
    Row{needs_smtputf8, 553, "5.6.7", "non-ASCII address without SMTPUTF8"},
    Row{bad_utf8, 501, "5.5.4", "address is not UTF-8"},
    Row{too_many_recipients, 452, "4.5.3", "too many recipients"},
    Row{too_large, 552, "5.3.4", "message too large"},
    Row{no_8bit, 554, "5.6.3", "8BITMIME cannot be passed on"},
    Row{no_smtputf8, 550, "5.6.9", "SMTPUTF8 cannot be passed on"},

    Row{bad_newlines, 554, "5.6.0", "lone CR, lone LF or NUL in the message"},
    Row{long_line, 554, "5.6.0", "line too long in the message"},

    Row{spoke_first, 554, "5.5.1", "wait for the greeting", close},
    Row{not_smtp, 421, "4.7.0", "this is a mail submission service", close},
    Row{garbage, 554, "5.5.1", "this is not SMTP", close},
    Row{endless_line, 500, "5.5.2", "line without end", close},
    Row{bad_bdat, 501, "5.5.4", "BDAT without a usable size", close},
    Row{idle, 421, "4.4.2", "too slow", close},
    Row{too_many_errors, 421, "4.7.0", "too many errors", close},
};

static_assert(std::ranges::all_of(table,
                                  [](const Row& row) {
                                      return table.at(static_cast<std::size_t>(row.say)).say ==
                                             row.say;
                                  }),
              "the rows stand in the order of Say");

constexpr const Row& row_of(Say say) noexcept {
    return table[static_cast<std::size_t>(say)];
}

constexpr std::size_t max_line = 510;

}  // namespace

Reply reply_of(Say say) {
    const Row& row = row_of(say);
    return {.code = row.code,
            .enhanced = std::string(row.enhanced),
            .text = std::string(row.text),
            .close_after = row.after == close};
}

bool is_protocol_error(Say say) noexcept {
    return row_of(say).after == count;
}

void append_ref(Reply& reply, std::string_view ref) {
    std::string mark = " [";
    mark += ref;
    mark += ']';
    for (std::size_t at = reply.text.find(mark); at != std::string::npos;
         at = reply.text.find(mark)) {
        reply.text.erase(at, mark.size());
    }
    const std::size_t last = reply.text.rfind('\n') + 1;  // 0 where there is but one line
    const std::size_t taken = 4 + reply.enhanced.size() + 1 + mark.size();
    const std::string line =
        clean_text(std::string_view(reply.text).substr(last), max_line - std::min(max_line, taken));
    reply.text.resize(last);
    reply.text += line;
    reply.text += mark;
}

void complete_enhanced(Reply& reply) {
    const char wanted = static_cast<char>('0' + reply.code / 100);
    const auto is_ok = [](char c) { return (c >= '0' && c <= '9') || c == '.'; };
    if (reply.enhanced.size() >= 5 && reply.enhanced.front() == wanted &&
        reply.enhanced.size() <= 9 && std::ranges::all_of(reply.enhanced, is_ok)) {
        return;
    }
    reply.enhanced = {wanted, '.', '0', '.', '0'};
}

}  // namespace postern::proto
