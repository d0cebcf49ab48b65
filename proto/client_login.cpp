#include <algorithm>
#include <charconv>
#include <utility>

#include "proto/client_impl.hpp"
#include "proto/utf8.hpp"

namespace postern::proto {
namespace {

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

}  // namespace postern::proto
