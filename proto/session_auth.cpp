#include <algorithm>
#include <utility>

#include "proto/base64.hpp"
#include "proto/session_impl.hpp"
#include "proto/utf8.hpp"
#include "proto/wipe.hpp"

namespace postern::proto {

namespace {

constexpr std::chrono::seconds exchange_deadline{300};

std::optional<Secret> decode(std::string_view text) {
    auto octets = base64_decode(text);
    if (!octets) return std::nullopt;
    Secret secret(*octets);
    wipe(*octets);
    return secret;
}

}  // namespace

/// `AUTH mechanism [initial-response]`, RFC 4954 4.
void Session::Impl::on_auth(std::string_view arguments) {
    if (settings_->devices) return say(Say::not_offered);
    if (authenticated) return say(Say::login_already);
    if (!esmtp) return say(Say::ehlo_first);
    std::string mechanism = to_upper(arguments.substr(0, arguments.find(' ')));
    arguments.remove_prefix(mechanism.size());
    arguments.remove_prefix(std::min(arguments.find_first_not_of(' '), arguments.size()));
    if (std::ranges::find(mechanisms, mechanism) == mechanisms.end())
        return say(Say::auth_mechanism);
    if (arguments.contains(' ')) return say(Say::bad_arguments);

    std::optional<Secret> response;
    if (arguments == "=") {
        response.emplace();
    } else if (!arguments.empty()) {
        response = decode(arguments);
        if (!response) return say(Say::auth_base64);
    }
    mechanism_ = std::move(mechanism);
    response_ = std::move(response);
    phase_ = Phase::verify;
}

Session::Impl::MaybeAction Session::Impl::next_exchange_line() {
    command_ = "AUTH";
    if (parting_ || gone_) {
        exchange_open_ = false;
        exchange_aborted_ = true;
        phase_ = Phase::command;
        return std::nullopt;
    }
    const LineReader::Result read = lines_.read(input_, LineReader::Mode::exchange);
    switch (read.kind) {
        case LineReader::Kind::more:
            return read_or_send(exchange_deadline, false);
        case LineReader::Kind::line:
            on_exchange_line(read.line);
            break;
        case LineReader::Kind::bad_octets:
            abort_exchange(Say::auth_base64);
            break;
        case LineReader::Kind::too_long:
        case LineReader::Kind::auth_too_long:
            abort_exchange(Say::auth_line_too_long);
            break;
        case LineReader::Kind::endless:
            abort_exchange(Say::endless_line);
            break;
    }
    lines_.wipe_line();
    return std::nullopt;
}

void Session::Impl::on_exchange_line(std::string_view line) {
    if (line == "*") return abort_exchange(Say::auth_cancelled);
    response_ = decode(line);
    if (!response_) return abort_exchange(Say::auth_base64);
    phase_ = Phase::verify;
}

void Session::Impl::abort_exchange(Say why) {
    exchange_open_ = false;
    exchange_aborted_ = true;
    phase_ = Phase::command;
    say(why);
}

void Session::Impl::auth_challenge(std::string_view octets) {
    if (phase_ != Phase::verify) return;
    // Not by render(): a challenge may be longer than other replies (RFC 4954 4).
    output += "334 ";
    output += base64_encode(octets);
    output += "\r\n";
    notes.push_back({.command = "AUTH", .code = 334, .enhanced = {}, .ref = {}, .text = {}});
    phase_ = Phase::exchange;
}

void Session::Impl::auth_succeeded() {
    if (phase_ != Phase::verify) return;
    exchange_open_ = false;
    authenticated = true;
    phase_ = Phase::command;
    say(Say::auth_done);
}

void Session::Impl::identified() {
    if (settings_->devices && phase_ == Phase::ask_mail) authenticated = true;
}

void Session::Impl::auth_failed(Reply reply) {
    if (phase_ != Phase::verify) return;
    exchange_open_ = false;
    phase_ = Phase::command;
    if (reply.positive()) reply = {.code = 454, .enhanced = "4.7.0", .text = "internal error"};
    complete_enhanced(reply);
    // A wrong password is the login guard's to count. What never came to be judged costs the
    // client nothing there, and must not be had without end.
    const bool judged = reply.code == 535 || reply.code == 525;
    if (!judged && ++errors_ >= settings_->max_errors) reply = reply_of(Say::too_many_errors);
    answer(std::move(reply));
}

}  // namespace postern::proto
