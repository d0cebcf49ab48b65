#include "auth/scram_login.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "auth/sasl_message.hpp"
#include "auth/saslprep.hpp"
#include "proto/base64.hpp"

namespace postern::auth {
namespace {

/// gs2-header "n,,": no channel binding, nobody else's identity.
constexpr std::string_view coded_header = "biws";

/// RFC 5802 7: saslname.
std::string escaped_name(std::string_view name) {
    std::string out;
    out.reserve(name.size());
    for (const char c : name) {
        if (c == ',') {
            out += "=2C";
        } else if (c == '=') {
            out += "=3D";
        } else {
            out += c;
        }
    }
    return out;
}

/// Takes the value of `key` off the front, with the comma behind it. Unset: another field stands
/// there.
std::optional<std::string_view> take_value(std::string_view& rest, char key) noexcept {
    if (rest.size() < 2 || rest[0] != key || rest[1] != '=') return std::nullopt;
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view value = rest.substr(2, comma - 2);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    return value;
}

/// RFC 5802 7: posit-number. One that fits in nothing is as good as too many.
std::optional<unsigned> rounds_in(std::string_view text) noexcept {
    constexpr std::size_t most_digits = 9;
    const bool digits = std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
    if (text.empty() || !digits || text.front() == '0') return std::nullopt;
    if (text.size() > most_digits) return max_asked_iterations + 1;
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

bool printable_nonce(std::string_view text) noexcept {
    return std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~' && c != ','; });
}

}  // namespace

ScramKeys derive_scram_keys(std::string_view password, std::string_view salt,
                            unsigned iterations) noexcept {
    Digest salted = pbkdf2_sha256(password, salt, iterations);
    ScramKeys out;
    out.client_key = hmac_sha256(view(salted), "Client Key");
    out.server_key = hmac_sha256(view(salted), "Server Key");
    wipe(salted.data(), salted.size());
    return out;
}

std::optional<proto::Secret> prepared_password(std::string_view password) {
    auto prepared = saslprep(password, PrepUse::query);
    if (!prepared || prepared->empty()) return std::nullopt;
    proto::Secret out(*prepared);
    wipe(prepared->data(), prepared->size());
    return out;
}

std::string_view describe(ScramFault fault) noexcept {
    switch (fault) {
        case ScramFault::malformed:
            return "the server's answer is no SCRAM";
        case ScramFault::extension:
            return "the server demands an extension of SCRAM that is not known here";
        case ScramFault::nonce:
            return "the server's answer belongs to another SCRAM exchange";
        case ScramFault::iterations:
            return "the server asks for fewer than 4096 or more than 1000000 rounds of SCRAM";
        case ScramFault::refused:
            return "the server refuses the SCRAM exchange";
        case ScramFault::unproven:
            return "the server cannot prove that it knows the password";
        case ScramFault::order:
            return "the server ends the SCRAM exchange without proving that it knows the password";
    }
    return "?";
}

std::optional<ScramLogin> ScramLogin::begin(std::string_view name, std::string nonce) {
    const auto prepared = saslprep(name, PrepUse::query);
    if (!prepared || !well_formed(*prepared)) return std::nullopt;
    std::string bare = "n=" + escaped_name(*prepared) + ",r=" + nonce;
    return ScramLogin(std::move(bare), std::move(nonce));
}

boost::system::result<ScramLogin::Asked, ScramFault> ScramLogin::take_first(
    std::string_view message) {
    if (state_ != State::first) return ScramFault::order;
    auto asked = read_first(message);
    state_ = asked ? State::asked : State::failed;
    return asked;
}

/// RFC 5802 7: [reserved-mext ","] nonce "," salt "," iteration-count ["," extensions]
boost::system::result<ScramLogin::Asked, ScramFault> ScramLogin::read_first(
    std::string_view message) {
    if (message.size() > max_scram_message) return ScramFault::malformed;
    if (message.starts_with("m=")) return ScramFault::extension;
    if (message.starts_with("e=")) return ScramFault::refused;
    std::string_view rest = message;
    const auto nonce = take_value(rest, 'r');
    const auto salt = nonce ? take_value(rest, 's') : std::nullopt;
    const auto rounds = salt ? take_value(rest, 'i') : std::nullopt;
    if (!rounds) return ScramFault::malformed;
    if (!nonce->starts_with(nonce_) || nonce->size() == nonce_.size() || !printable_nonce(*nonce))
        return ScramFault::nonce;
    auto octets = proto::base64_decode(*salt);
    if (!octets || octets->empty() || octets->size() > max_asked_salt) return ScramFault::malformed;
    const auto iterations = rounds_in(*rounds);
    if (!iterations) return ScramFault::malformed;
    if (*iterations < min_asked_iterations || *iterations > max_asked_iterations)
        return ScramFault::iterations;
    nonce_ = *nonce;
    server_first_ = message;
    return Asked{std::move(*octets), *iterations};
}

std::string ScramLogin::final(const ScramKeys& keys) {
    if (state_ != State::asked) return {};
    state_ = State::answered;
    std::string without_proof;
    without_proof.append("c=").append(coded_header).append(",r=").append(nonce_);
    std::string signed_text;
    signed_text.append(first_bare_).append(",").append(server_first_).append(",");
    signed_text.append(without_proof);
    const Digest stored_key = sha256(view(keys.client_key));
    Digest proof = hmac_sha256(view(stored_key), signed_text);
    for (std::size_t i = 0; i < proof.size(); ++i) proof[i] ^= keys.client_key[i];
    expected_ = hmac_sha256(view(keys.server_key), signed_text);
    return without_proof + ",p=" + base64(view(proof));
}

std::optional<ScramFault> ScramLogin::take_final(std::string_view message) {
    const bool due = state_ == State::answered;
    state_ = State::failed;
    if (!due) return ScramFault::order;
    if (message.starts_with("e=")) return ScramFault::refused;
    std::string_view rest = message;
    const auto signature =
        message.size() > max_scram_message ? std::nullopt : take_value(rest, 'v');
    if (!signature) return ScramFault::malformed;
    const auto octets = proto::base64_decode(*signature);
    if (!octets) return ScramFault::malformed;
    if (!equal_in_constant_time(*octets, view(expected_))) return ScramFault::unproven;
    state_ = State::proven;
    return std::nullopt;
}

}  // namespace postern::auth
