#include "proto/command.hpp"

#include <algorithm>
#include <array>

#include "proto/utf8.hpp"

namespace postern::proto {

namespace {

using enum Verb;
using Tls = CommandRule::Tls;
using Login = CommandRule::Login;
using Transaction = CommandRule::Transaction;
using Arguments = CommandRule::Arguments;

constexpr CommandRule in_clear(Verb verb, std::string_view name, Arguments arguments) {
    return {verb, name, Tls::any, Login::any, Transaction::any, arguments};
}
constexpr CommandRule in_tls(Verb verb, std::string_view name, Arguments arguments) {
    return {verb, name, Tls::needed, Login::any, Transaction::any, arguments};
}
constexpr CommandRule logged_in(Verb verb, std::string_view name, Transaction transaction,
                                Arguments arguments) {
    return {verb, name, Tls::needed, Login::needed, transaction, arguments};
}

// Before TLS on a STARTTLS port all but the rows `in_clear` is 530 (RFC 3207 4). A transaction goes
// MAIL, RCPT..., DATA or BDAT... (RFC 5321 4.1.4, RFC 3030 2), and only for those who logged in
// (RFC 6409 4.3).
constexpr std::array rules{
    logged_in(mail, "MAIL", Transaction::none, Arguments::some),
    logged_in(rcpt, "RCPT", Transaction::open, Arguments::some),
    logged_in(data, "DATA", Transaction::open, Arguments::none),
    logged_in(bdat, "BDAT", Transaction::open, Arguments::some),
    in_clear(ehlo, "EHLO", Arguments::some),
    in_clear(helo, "HELO", Arguments::some),
    in_clear(starttls, "STARTTLS", Arguments::none),
    in_tls(auth, "AUTH", Arguments::some),
    in_clear(rset, "RSET", Arguments::none),
    in_clear(noop, "NOOP", Arguments::any),
    in_clear(help, "HELP", Arguments::any),
    in_clear(quit, "QUIT", Arguments::none),
    in_tls(vrfy, "VRFY", Arguments::some),
    in_tls(expn, "EXPN", Arguments::any),
};

constexpr CommandRule not_offered_rule = in_tls(not_offered, "?", Arguments::any);
constexpr CommandRule http_rule = in_clear(http, "?", Arguments::any);
constexpr CommandRule unknown_rule = in_tls(unknown, "?", Arguments::any);

constexpr std::array<std::string_view, 9> not_offered_verbs{
    "ETRN", "ATRN", "TURN", "SEND", "SOML", "SAML", "BURL", "XCLIENT", "XFORWARD"};
constexpr std::array<std::string_view, 10> http_verbs{
    "GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "TRACE", "PATCH", "PRI"};

const CommandRule& rule_of(std::string_view word) noexcept {
    const auto is_word = [&](std::string_view name) { return same_ignoring_case(name, word); };
    const auto* const found = std::ranges::find_if(rules, is_word, &CommandRule::name);
    if (found != rules.end()) return *found;
    if (std::ranges::any_of(http_verbs, is_word)) return http_rule;
    if (std::ranges::any_of(not_offered_verbs, is_word)) return not_offered_rule;
    return unknown_rule;
}

}  // namespace

Command parse_command(std::string_view line) noexcept {
    line = line.substr(0, line.find_last_not_of(' ') + 1);
    const std::string_view word = line.substr(0, line.find(' '));
    line.remove_prefix(word.size());
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    return {&rule_of(word), line};
}

}  // namespace postern::proto
