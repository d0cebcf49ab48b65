#include "auth/token_message.hpp"

#include <string>

#include "tests/catch.hpp"

namespace postern::auth {
namespace {

/// "user|token", with `|p` behind it where the client wants to bind; ^ stands for %x01.
std::string outcome(std::string message, bool bearer) {
    for (char& c : message) c = c == '^' ? '\x01' : c;
    const auto parsed = bearer ? parse_oauthbearer(message) : parse_xoauth2(message);
    if (!parsed) return "malformed";
    return parsed->user + "|" + std::string(parsed->token) + (parsed->binds ? "|p" : "");
}

struct Row {
    std::string message;
    std::string_view expected;
};

TEST_CASE("OAUTHBEARER's message, as RFC 7628 has it and no other") {
    const Row rows[] = {
        // RFC 7628 4.1
        {"n,a=user@example.com,^host=server.example.com^port=143^auth=Bearer "
         "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==^^",
         "user@example.com|vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="},
        {"n,,^auth=Bearer x^^", "|x"},
        {"y,a=a=2Cb=3D@c,^auth=Bearer x^^", "a,b=@c|x"},
        {"n,,^auth=bearer  x^^", "|x"},
        {"n,,^auth=Bearer x^host=h^^", "|x"},
        {"n,,^auth=^^", "|"},  // 4.3: what do you want?
        {"p=tls-exporter,,^auth=Bearer x^^", "|x|p"},
        {"", "malformed"},
        {"^", "malformed"},
        {"n,,", "malformed"},
        {"n,,^", "malformed"},
        {"n,,^^", "malformed"},
        {"n,,^auth=Bearer x^", "malformed"},
        {"n,,^auth=Bearer x", "malformed"},
        {"n,,^auth=Bearer x^^^", "malformed"},
        {"n,,^auth=Bearer x^^host=h^", "malformed"},
        {"n,,^auth=Bearer x^auth=Bearer x^^", "malformed"},
        {"n,,^auth=Bearer x^auth=^^", "malformed"},
        {"n,,^auth=Bearer ^^", "malformed"},
        {"n,,^auth=Bearer a b^^", "malformed"},
        {"n,,^auth=Basic x^^", "malformed"},
        {"n,,^auth^^", "malformed"},
        {"n,,^=Bearer x^^", "malformed"},
        {"n,,^ho st=h^auth=Bearer x^^", "malformed"},
        {std::string("n,,^host=h\0^auth=Bearer x^^", 27), "malformed"},
        {"n,,^auth=Bearer x\xc3\xbc^^", "malformed"},
        {"n,user@example.com,^auth=Bearer x^^", "malformed"},
        {"n,a=,^auth=Bearer x^^", "malformed"},
        {"n,a=x=zz,^auth=Bearer x^^", "malformed"},
        {"n,a=\xff,^auth=Bearer x^^", "malformed"},
        {"n,,x^auth=Bearer x^^", "malformed"},
        {"x,,^auth=Bearer x^^", "malformed"},
        {"user=a@b^auth=Bearer x^^", "malformed"},
    };
    for (const Row& row : rows) {
        INFO(row.message);
        CHECK(outcome(row.message, true) == row.expected);
    }
}

TEST_CASE("XOAUTH2's message, as Google has it and no other") {
    const Row rows[] = {
        {"user=someuser@example.com^auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg^^",
         "someuser@example.com|ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"},
        {"user=a=b@c^auth=Bearer x^^", "a=b@c|x"},
        {"user=^auth=Bearer x^^", "malformed"},
        {"auth=Bearer x^^", "malformed"},
        {"User=a@b^auth=Bearer x^^", "malformed"},
        {"user=a@b^auth=Bearer x^", "malformed"},
        {"user=a@b^^", "malformed"},
        {"user=a@b", "malformed"},
        {"user=\xff^auth=Bearer x^^", "malformed"},
        {std::string("user=a\0b^auth=Bearer x^^", 24), "malformed"},
        {"user=" + std::string(1025, 'a') + "^auth=Bearer x^^", "malformed"},
        {"n,a=a@b,^auth=Bearer x^^", "malformed"},
    };
    for (const Row& row : rows) {
        INFO(row.message);
        CHECK(outcome(row.message, false) == row.expected);
    }
}

TEST_CASE("the refusal is JSON that names the scheme") {
    CHECK(token_refusal("invalid_token", "email") ==
          R"({"status":"invalid_token","schemes":"bearer","scope":"openid email"})");
    CHECK(token_refusal("401", "sub") == R"({"status":"401","schemes":"bearer","scope":"openid"})");
}

}  // namespace
}  // namespace postern::auth
