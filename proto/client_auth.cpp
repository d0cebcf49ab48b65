// AUTH (RFC 4954): PLAIN and LOGIN by the machine itself, other exchanges by its caller.
#include <algorithm>
#include <utility>

#include "proto/base64.hpp"
#include "proto/client_impl.hpp"
#include "proto/wipe.hpp"

namespace postern::proto {
namespace {

/// A command line with its CRLF (RFC 5321 4.5.3.1.4); a longer initial response is sent after a 334
/// (RFC 4954 4).
constexpr std::size_t command_line_limit = 512;
/// A response with its CRLF (RFC 4954 4).
constexpr std::size_t response_line_limit = 12288;
/// Answers of one exchange: SCRAM needs three. Against a server that asks for ever.
constexpr int most_answers = 8;

constexpr std::size_t coded_size(std::size_t octets) noexcept {
    return (octets + 2) / 3 * 4;
}

std::string listed(const std::vector<std::string>& words) {
    std::string out;
    for (const std::string& word : words) out.append(out.empty() ? "" : " ").append(word);
    return out;
}

}  // namespace

void ClientSession::Impl::begin_auth() {
    const auto offered = [this](const std::string& mechanism) {
        return std::ranges::find(offer_.auth, mechanism) != offer_.auth.end();
    };
    const auto chosen = std::ranges::find_if(settings_.mechanisms, offered);
    if (chosen == settings_.mechanisms.end()) {
        Reply reply;
        constexpr std::size_t most = 200;
        reply.text = "the upstream offers " +
                     (offer_.auth.empty() ? std::string("no login")
                                          : "AUTH " + clean_text(listed(offer_.auth), most)) +
                     ", and we may use " + listed(settings_.mechanisms);
        return fail(Failed::Kind::no_auth, UpstreamStage::auth, std::move(reply));
    }
    mechanism_ = *chosen;
    if (mechanism_ == "PLAIN") return begin_plain();
    if (mechanism_ == "LOGIN") return command("AUTH LOGIN", UpstreamStage::auth);
    take_turn(Sasl::Turn::first, {});
}

void ClientSession::Impl::begin_plain() {
    constexpr std::string_view prefix = "AUTH PLAIN";
    const std::size_t octets = 2 + settings_.username.size() + settings_.password.reveal().size();
    const bool fits = prefix.size() + 1 + coded_size(octets) + 2 <= command_line_limit;
    if (!fits) return command(prefix, UpstreamStage::auth);
    send_plain("AUTH PLAIN ");
}

void ClientSession::Impl::handle_auth(const Reply& reply) {
    if (mechanism_ != "PLAIN" && mechanism_ != "LOGIN") return handle_sasl(reply);
    if (reply.code == 235) {
        phase_ = Phase::ready;
        return;
    }
    if (reply.code / 100 == 4 || reply.code / 100 == 5) {
        return fail(Failed::Kind::refused, UpstreamStage::auth, reply);
    }
    // LOGIN asks twice; PLAIN once, where the initial response did not fit or was not heeded.
    const bool login = mechanism_ == "LOGIN";
    const int most = login ? 2 : 1;
    if (reply.code != 334 || auth_answers_ >= most || !unread().empty()) {
        return fail(Failed::Kind::protocol, UpstreamStage::auth, reply);
    }
    ++auth_answers_;
    if (!login) return send_plain("");
    if (auth_answers_ == 1) return send_secret("", settings_.username);
    send_secret("", settings_.password.reveal());
}

void ClientSession::Impl::handle_sasl(const Reply& reply) {
    if (reply.code / 100 == 4 || reply.code / 100 == 5) {
        return fail(Failed::Kind::refused, UpstreamStage::auth, reply);
    }
    if (reply.code == 235) return take_turn(Sasl::Turn::end, {});
    const bool asks = reply.code == 334 && reader_.lines().size() == 1;
    if (!asks || auth_answers_ >= most_answers || !unread().empty()) {
        return fail(Failed::Kind::protocol, UpstreamStage::auth, reply);
    }
    ++auth_answers_;
    if (too_long_) {
        // The challenge before the initial response is empty.
        const Secret held = *std::exchange(too_long_, std::nullopt);
        return send_secret("", held.reveal());
    }
    auto challenge = base64_decode(reader_.lines().front());
    if (!challenge) return fail(Failed::Kind::protocol, UpstreamStage::auth, reply);
    take_turn(Sasl::Turn::challenge, std::move(*challenge));
}

void ClientSession::Impl::take_turn(Sasl::Turn turn, std::string challenge) {
    turn_ = {.mechanism = mechanism_, .turn = turn, .challenge = std::move(challenge)};
    phase_ = Phase::sasl;
}

void ClientSession::Impl::sasl_response(const Secret& octets) {
    if (phase_ != Phase::sasl || turn_.turn == Sasl::Turn::end) return;
    const std::size_t coded = coded_size(octets.reveal().size());
    if (coded + 2 > response_line_limit) return sasl_failed("the response is too long for a line");
    phase_ = Phase::auth;
    if (turn_.turn == Sasl::Turn::challenge) return send_secret("", octets.reveal());
    const std::string start = "AUTH " + mechanism_;
    const bool fits = start.size() + 1 + coded + 2 <= command_line_limit;
    if (fits && coded != 0) return send_secret(start + " ", octets.reveal());
    too_long_ = octets;
    command(start, UpstreamStage::auth);
}

void ClientSession::Impl::sasl_done() {
    if (phase_ == Phase::sasl && turn_.turn == Sasl::Turn::end) phase_ = Phase::ready;
}

void ClientSession::Impl::sasl_failed(std::string why) {
    if (phase_ != Phase::sasl) return;
    Reply reply;
    reply.text = std::move(why);
    fail(Failed::Kind::sasl, UpstreamStage::auth, std::move(reply));
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
