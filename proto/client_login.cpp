#include <algorithm>
#include <charconv>
#include <utility>

#include "proto/base64.hpp"
#include "proto/client_impl.hpp"
#include "proto/utf8.hpp"
#include "proto/wipe.hpp"

namespace postern::proto {
namespace {

/// A command line with its CRLF (RFC 5321 4.5.3.1.4); a longer initial response is sent after a 334
/// (RFC 4954 4).
constexpr std::size_t command_line_limit = 512;

/// Takes the next word off the front; words are parted by spaces.
std::string_view take_capability(std::string_view& text) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(word.size());
    return word;
}

void take_mechanisms(std::string_view text, std::vector<std::string>& out) {
    constexpr std::size_t most = 64;
    while (out.size() < most) {
        const std::string_view word = take_capability(text);
        if (word.empty()) return;
        std::string mechanism = to_upper(word);
        if (std::ranges::find(out, mechanism) == out.end()) out.push_back(std::move(mechanism));
    }
}

}  // namespace

UpstreamOffer parse_ehlo(const std::vector<std::string>& lines) {
    UpstreamOffer offer;
    offer.esmtp = true;
    for (std::size_t i = 1; i < lines.size(); ++i) {
        std::string_view rest = lines[i];
        const std::string keyword = to_upper(take_capability(rest));
        if (keyword == "PIPELINING") {
            offer.pipelining = true;
        } else if (keyword == "8BITMIME") {
            offer.eight_bit_mime = true;
        } else if (keyword == "SMTPUTF8") {
            offer.smtputf8 = true;
        } else if (keyword == "DSN") {
            offer.dsn = true;
        } else if (keyword == "STARTTLS") {
            offer.starttls = true;
        } else if (keyword == "SIZE") {
            offer.size = true;
            const std::string_view number = take_capability(rest);
            std::uint64_t value = 0;
            const auto [end, error] =
                std::from_chars(number.data(), number.data() + number.size(), value);
            if (error == std::errc{} && end == number.data() + number.size()) {
                offer.max_size = value;
            }
        } else if (keyword == "AUTH") {
            take_mechanisms(rest, offer.auth);
        } else if (keyword.starts_with("AUTH=")) {  // As servers wrote it before RFC 2554.
            take_mechanisms(std::string_view(keyword).substr(5), offer.auth);
            take_mechanisms(rest, offer.auth);
        }
    }
    return offer;
}

void ClientSession::Impl::handle_greeting(const Reply& reply) {
    if (reply.code / 100 == 3) return fail(Failed::Kind::protocol, UpstreamStage::greeting, reply);
    if (!reply.positive()) return fail(Failed::Kind::refused, UpstreamStage::greeting, reply);
    phase_ = Phase::ehlo;
}

void ClientSession::Impl::handle_ehlo(const Reply& reply) {
    if (reply.code / 100 == 3) return fail(Failed::Kind::protocol, UpstreamStage::ehlo, reply);
    if (reply.positive()) {
        // Whatever was said before TLS is forgotten (RFC 3207 4.2).
        offer_ = phase_ == Phase::ehlo ? parse_ehlo(reader_.lines()) : UpstreamOffer{};
        return after_ehlo();
    }
    // Only "unknown command" speaks of a server without ESMTP (RFC 5321 3.2).
    if (phase_ == Phase::ehlo && (reply.code == 500 || reply.code == 502)) {
        phase_ = Phase::helo;
        return;
    }
    fail(Failed::Kind::refused, UpstreamStage::ehlo, reply);
}

void ClientSession::Impl::after_ehlo() {
    if (settings_.want_starttls && !secure_) {
        if (offer_.starttls) {
            phase_ = Phase::starttls;
            return;
        }
        if (!settings_.starttls_if_offered)
            return fail(Failed::Kind::no_tls, UpstreamStage::starttls);
        if (!settings_.username.empty()) {
            Reply why;
            why.text = "STARTTLS is not offered, and the login is not sent in clear text";
            return fail(Failed::Kind::no_tls, UpstreamStage::starttls, std::move(why));
        }
    }
    phase_ = settings_.username.empty() ? Phase::ready : Phase::auth;
}

void ClientSession::Impl::handle_starttls(const Reply& reply) {
    if (reply.code / 100 == 3) return fail(Failed::Kind::protocol, UpstreamStage::starttls, reply);
    if (!reply.positive()) return fail(Failed::Kind::refused, UpstreamStage::starttls, reply);
    // Octets behind the 220 would be taken as said inside TLS: the loop calls unasked() on them.
    offer_ = {};
    phase_ = Phase::tls;
}

void ClientSession::Impl::begin_auth() {
    const auto offered = [this](std::string_view mechanism) {
        return std::ranges::find(offer_.auth, mechanism) != offer_.auth.end();
    };
    if (offered("PLAIN")) {
        login_ = false;
        constexpr std::string_view prefix = "AUTH PLAIN";
        const std::size_t octets =
            2 + settings_.username.size() + settings_.password.reveal().size();
        const bool fits = prefix.size() + 1 + (octets + 2) / 3 * 4 + 2 <= command_line_limit;
        if (!fits) return command(prefix, UpstreamStage::auth);
        return send_plain("AUTH PLAIN ");
    }
    if (!offered("LOGIN")) return fail(Failed::Kind::no_auth, UpstreamStage::auth);
    login_ = true;
    command("AUTH LOGIN", UpstreamStage::auth);
}

void ClientSession::Impl::handle_auth(const Reply& reply) {
    if (reply.code == 235) {
        phase_ = Phase::ready;
        return;
    }
    if (reply.code / 100 == 4 || reply.code / 100 == 5) {
        return fail(Failed::Kind::refused, UpstreamStage::auth, reply);
    }
    // LOGIN asks twice; PLAIN once, where the initial response did not fit or was not heeded.
    const int most = login_ ? 2 : 1;
    if (reply.code != 334 || auth_answers_ >= most || !unread().empty()) {
        return fail(Failed::Kind::protocol, UpstreamStage::auth, reply);
    }
    ++auth_answers_;
    if (!login_) return send_plain("");
    if (auth_answers_ == 1) return send_secret("", settings_.username);
    send_secret("", settings_.password.reveal());
}

void ClientSession::Impl::send_plain(std::string_view prefix) {
    std::string octets;
    octets.reserve(2 + settings_.username.size() + settings_.password.reveal().size());
    octets += '\0';
    octets += settings_.username;
    octets += '\0';
    octets += settings_.password.reveal();
    send_secret(prefix, octets);
    wipe(octets);
}

void ClientSession::Impl::send_secret(std::string_view prefix, std::string_view octets) {
    std::string coded = base64_encode(octets);
    // Reserved whole, or the old storage of a growing string would keep a part of it.
    output_.reserve(output_.size() + prefix.size() + coded.size() + 2);
    output_.append(prefix).append(coded).append("\r\n");
    output_secret_ = true;
    wipe(coded);
    awaited_.push_back({.stage = UpstreamStage::auth});
}

}  // namespace postern::proto
