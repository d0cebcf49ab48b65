#include "proto/replies.hpp"

#include <algorithm>
#include <array>

namespace postern::proto {

namespace {

enum class After : std::uint8_t { go_on, count, close };

struct ReplyRow {
    Say say;
    int code;
    std::string_view enhanced;
    std::string_view text;
    After after = After::go_on;
};

using enum Say;
using enum After;

constexpr std::array table{
    ReplyRow{tls_ready, 220, "2.0.0", "ready to start TLS"},
    ReplyRow{auth_done, 235, "2.7.0", "logged in"},
    ReplyRow{bye, 221, "2.0.0", "bye", close},
    ReplyRow{ok, 250, "2.0.0", "ok"},
    ReplyRow{reset_done, 250, "2.0.0", "reset"},
    ReplyRow{cannot_verify, 252, "2.5.0", "cannot verify, but will try to deliver"},
    ReplyRow{sender_ok, 250, "2.1.0", "sender ok"},
    ReplyRow{recipient_ok, 250, "2.1.5", "recipient ok"},
    ReplyRow{data_go, 354, "", "end data with <CRLF>.<CRLF>"},

    ReplyRow{unknown_command, 500, "5.5.2", "unknown command", count},
    ReplyRow{line_too_long, 500, "5.5.2", "line too long", count},
    ReplyRow{auth_line_too_long, 500, "5.5.6", "authentication line too long",
             count},  // RFC 4954 4
    ReplyRow{bad_octets, 500, "5.5.2", "control octet in a command, or a line not ended by CRLF",
             count},
    ReplyRow{bad_arguments, 501, "5.5.4", "syntax error in the arguments", count},
    ReplyRow{argument_missing, 501, "5.5.4", "an argument is missing", count},
    ReplyRow{no_arguments, 501, "5.5.4", "no argument is allowed", count},
    ReplyRow{unknown_parameter, 555, "5.5.4", "parameter not known", count},
    ReplyRow{bad_parameter, 501, "5.5.4", "parameter with a bad value, or given twice", count},
    ReplyRow{out_of_order, 503, "5.5.1", "command out of order", count},
    ReplyRow{mail_first, 503, "5.5.1", "MAIL comes first", count},
    ReplyRow{mail_twice, 503, "5.5.1", "MAIL was given already", count},
    ReplyRow{no_recipients, 503, "5.5.1", "no valid recipients", count},
    ReplyRow{in_bdat, 503, "5.5.1", "BDAT has begun", count},
    ReplyRow{tls_already, 503, "5.5.1", "TLS is on already", count},
    ReplyRow{login_already, 503, "5.5.1", "logged in already", count},
    ReplyRow{ehlo_first, 503, "5.5.1", "EHLO comes first", count},
    ReplyRow{no_expn, 502, "5.5.1", "EXPN is not offered", count},
    ReplyRow{not_offered, 502, "5.5.1", "command not offered", count},
    ReplyRow{tls_first, 530, "5.7.0", "STARTTLS comes first", count},
    ReplyRow{login_first, 530, "5.7.0", "authentication required", count},

    ReplyRow{auth_mechanism, 504, "5.5.4", "mechanism not offered", count},
    ReplyRow{auth_base64, 501, "5.5.2", "not base64", count},
    ReplyRow{auth_cancelled, 501, "5.7.0", "authentication cancelled", count},

    ReplyRow{bad_address, 501, "5.5.4", "not an address"},
    ReplyRow{address_too_long, 501, "5.5.4", "address too long"},
    ReplyRow{no_domain, 554, "5.1.2", "recipient address without a domain"},  // RFC 6409 4.2
    ReplyRow{needs_smtputf8, 553, "5.6.7", "non-ASCII address without SMTPUTF8"},
    ReplyRow{bad_utf8, 501, "5.5.4", "address is not UTF-8"},
    ReplyRow{too_many_recipients, 452, "4.5.3", "too many recipients"},
    ReplyRow{too_large, 552, "5.3.4", "message too large"},
    ReplyRow{no_8bit, 554, "5.6.3", "8BITMIME cannot be passed on"},
    ReplyRow{no_smtputf8, 550, "5.6.9", "SMTPUTF8 cannot be passed on"},

    ReplyRow{bad_newlines, 554, "5.6.0", "lone CR, lone LF or NUL in the message"},
    ReplyRow{long_line, 554, "5.6.0", "line too long in the message"},

    ReplyRow{spoke_first, 554, "5.5.1", "wait for the greeting", close},
    ReplyRow{not_smtp, 421, "4.7.0", "this is a mail submission service", close},
    ReplyRow{garbage, 554, "5.5.1", "this is not SMTP", close},
    ReplyRow{endless_line, 500, "5.5.2", "line without end", close},
    ReplyRow{bad_bdat, 501, "5.5.4", "BDAT without a usable size", close},
    ReplyRow{idle, 421, "4.4.2", "too slow", close},
    ReplyRow{too_many_errors, 421, "4.7.0", "too many errors", close},
};

static_assert(std::ranges::all_of(table,
                                  [](const ReplyRow& row) {
                                      return table.at(static_cast<std::size_t>(row.say)).say ==
                                             row.say;
                                  }),
              "the rows stand in the order of Say");

constexpr const ReplyRow& row_of(Say say) noexcept {
    return table[static_cast<std::size_t>(say)];
}

constexpr std::size_t most_octets = 510;

}  // namespace

Reply reply_of(Say say) {
    const ReplyRow& row = row_of(say);
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
    const std::string line = clean_text(std::string_view(reply.text).substr(last),
                                        most_octets - std::min(most_octets, taken));
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
