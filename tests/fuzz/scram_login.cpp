// A server of SCRAM that says anything at all: it is never taken for one that knows the password,
// asks for no more rounds than may be, and gets no proof after a fault. And what is said by token
// reads back.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "auth/scram_login.hpp"
#include "auth/token_message.hpp"

namespace {

using namespace postern::auth;

void require(bool what) {
    if (!what) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 1) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    const std::size_t cut = std::min<std::size_t>(data[0], text.size());
    const std::string nonce = "rOprNGfwEbeRWgbNEkqO";
    auto login = ScramLogin::begin("user", nonce);
    require(login.has_value());
    // Most inputs would not guess the nonce.
    const std::string first = (data[0] & 1U) != 0 ? "r=" + nonce + std::string(text.substr(0, cut))
                                                  : std::string(text.substr(0, cut));
    const auto asked = login->take_first(first);
    if (asked) {
        require(asked->iterations >= min_asked_iterations &&
                asked->iterations <= max_asked_iterations);
        require(!asked->salt.empty() && asked->salt.size() <= max_asked_salt);
        ScramKeys keys;  // Without the rounds.
        keys.server_key.fill(7);
        const std::string answer = login->final(keys);
        require(answer.starts_with("c=biws,r=" + nonce));
        require(answer.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
    } else {
        require(login->final({}).empty());
    }
    require(login->take_final(text.substr(cut)).has_value());
    require(!login->proven());

    if (const auto message = parse_xoauth2(text); message && !message->token.empty()) {
        const auto made = make_xoauth2(message->user, message->token);
        const auto again = parse_xoauth2(made.reveal());
        require(again && again->user == message->user && again->token == message->token);
    }
    return 0;
}
