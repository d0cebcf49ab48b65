#include "auth/jwt.hpp"

#include <chrono>
#include <string>
#include <vector>

#include "auth/base64url.hpp"
#include "auth/strict_json.hpp"
#include "scratch.hpp"
#include "token_maker.hpp"

namespace postern::auth {
namespace {

using namespace std::literals;
using test::base64url;
using test::ec_issuer;
using test::Issuer;
using test::rsa_issuer;

const TokenRules rules{"https://issuer.example/", "smtp", "email"};

std::string seconds(Time t) {
    return std::to_string(
        std::chrono::duration_cast<std::chrono::seconds>(t.time_since_epoch()).count());
}

/// Right at test::noon; `more` stands behind, each member with a comma in front.
std::string claims(std::string_view more = {}) {
    return R"({"iss":"https://issuer.example/","aud":"smtp","email":"ann@example.net","exp":)" +
           seconds(test::noon + 1h) + std::string(more) + "}";
}

KeySetPtr keys_of(const std::string& text) {
    auto keys = KeySet::parse(text);
    if (!keys) FAIL(keys.error());
    return *keys;
}

KeySetPtr both() {
    return keys_of(R"({"keys":[)" + rsa_issuer().jwk() + "," + ec_issuer().jwk() + "]}");
}

std::string outcome(std::string_view token, const KeySet& keys, Time now = test::noon) {
    const auto judged = judge_token(token, keys, rules, now);
    return judged ? "right " + judged->account : std::string(name(judged.error()));
}

constexpr std::string_view rfc_payload =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cn"
    "VlfQ";

TEST_CASE("the signatures of RFC 7515 A.2 and A.3 are right, and with an octet changed are not") {
    struct Row {
        std::string key;
        std::string token;
    };
    const Row rows[] = {
        {R"({"keys":[{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k)"
         "0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32"
         "690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2Cap"
         "Hg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2et"
         R"(hFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}]})",
         "eyJhbGciOiJSUzI1NiJ9." + std::string(rfc_payload) +
             ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5"
             "YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6x"
             "BArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6B"
             "fI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_Ioy"
             "pGlUPQGe77Rw"},
        {R"({"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
         R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]})",
         "eyJhbGciOiJFUzI1NiJ9." + std::string(rfc_payload) +
             ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg"
             "6NU1Q"},
    };
    for (const Row& row : rows) {
        const KeySetPtr keys = keys_of(row.key);
        auto token = read_token(row.token);
        REQUIRE(token.has_value());
        const TokenKey* const key = keys->find(token->algorithm, token->key_id);
        REQUIRE(key != nullptr);
        CHECK(key->signed_this(token->signed_text, token->signature));
        CHECK(token->payload.starts_with(R"({"iss":"joe",)"));
        for (const std::size_t at : {std::size_t{0}, token->signature.size() - 1}) {
            std::string other = token->signature;
            other[at] = static_cast<char>(other[at] ^ 1);
            CHECK_FALSE(key->signed_this(token->signed_text, other));
        }
        CHECK_FALSE(key->signed_this(std::string(token->signed_text) + "x", token->signature));
        CHECK_FALSE(key->signed_this(token->signed_text, ""));
        CHECK_FALSE(key->signed_this(token->signed_text, token->signature + "x"));
    }
}

TEST_CASE("a token that is right in every way is right by either algorithm") {
    const KeySetPtr keys = both();
    CHECK(outcome(rsa_issuer().token(claims()), *keys) == "right ann@example.net");
    CHECK(outcome(ec_issuer().token(claims()), *keys) == "right ann@example.net");
}

TEST_CASE("headers that are to be refused") {
    const KeySetPtr keys = both();
    const std::string right = claims();
    const auto with = [&](std::string_view header) {
        return outcome(rsa_issuer().token(header, right), *keys);
    };
    CHECK(with(R"({"alg":"RS256","kid":"rsa-1"})") == "right ann@example.net");
    CHECK(with(R"({"alg":"RS256"})") == "right ann@example.net");  // One key alone fits.
    CHECK(with(R"({"alg":"RS256","typ":"at+jwt"})") == "right ann@example.net");
    CHECK(with(R"({"alg":"RS256","typ":"JWT","x5t":"abc"})") == "right ann@example.net");
    CHECK(with(R"({"alg":"none"})") == "algorithm");
    CHECK(with(R"({"alg":"None"})") == "algorithm");
    CHECK(with(R"({"alg":"HS256"})") == "algorithm");
    CHECK(with(R"({"alg":"RS384"})") == "algorithm");
    CHECK(with(R"({"alg":"PS256"})") == "algorithm");
    CHECK(with(R"({"alg":"rs256"})") == "algorithm");
    CHECK(with(R"({"alg":"EdDSA"})") == "algorithm");
    CHECK(with(R"({"alg":1})") == "malformed");
    CHECK(with(R"({"kid":"rsa-1"})") == "malformed");
    CHECK(with(R"({"alg":"RS256","kid":1})") == "malformed");
    CHECK(with(R"({"alg":"RS256","kid":"rsa-2"})") == "no key");
    CHECK(with(R"({"alg":"RS256","kid":""})") == "no key");
    CHECK(with(R"({"alg":"RS256","kid":"ec-1"})") == "no key");  // Of the other algorithm.
    CHECK(with(R"({"alg":"ES256","kid":"ec-1"})") == "signature");
    CHECK(with(R"({"alg":"RS256","crit":["exp"],"exp":1})") == "critical");
    CHECK(with(R"({"alg":"RS256","crit":[]})") == "critical");
    CHECK(with(R"({"alg":"RS256","typ":"logout+jwt"})") == "critical");
    CHECK(with(R"({"alg":"RS256","typ":3})") == "critical");
    CHECK(with(R"({"alg":"RS256","alg":"none"})") == "malformed");
    CHECK(with(R"({"alg":"none","alg":"RS256"})") == "malformed");
    CHECK(with(R"(["RS256"])") == "malformed");
    CHECK(with(R"({"alg":"RS256"} )") == "right ann@example.net");
    CHECK(with(R"({"alg":"RS256"}{})") == "malformed");
    CHECK(with("{\"alg\":\"RS256\",\"x\":\"\xff\"}") == "malformed");
    CHECK(with("") == "malformed");
}

TEST_CASE("the public key is no secret of HS256, and no signature is none") {
    const KeySetPtr keys = both();
    const std::string text =
        base64url(R"({"alg":"HS256","kid":"rsa-1"})") + "." + base64url(claims());
    for (const std::string& secret : {rsa_issuer().public_der(), rsa_issuer().key_set()}) {
        const Digest mac = hmac_sha256(secret, text);
        CHECK(outcome(text + "." + base64url(view(mac)), *keys) == "algorithm");
    }
    const std::string unsigned_text =
        base64url(R"({"alg":"none"})") + "." + base64url(claims()) + ".";
    CHECK(outcome(unsigned_text, *keys) == "algorithm");
    const std::string emptied = base64url(rsa_issuer().header()) + "." + base64url(claims()) + ".";
    CHECK(outcome(emptied, *keys) == "malformed");
}

TEST_CASE("claims that are to be refused, and the leeway of a minute") {
    struct Row {
        std::string payload;
        std::string_view expected;
    };
    const std::string start =
        R"({"iss":"https://issuer.example/","aud":"smtp","email":"ann@example.net")";
    const auto at = [](std::string_view name, std::chrono::seconds from_noon) {
        return ",\"" + std::string(name) + "\":" + seconds(test::noon + from_noon);
    };
    const std::string hour = at("exp", 1h);
    const Row rows[] = {
        {start + at("exp", -59s) + "}", "right ann@example.net"},
        {start + at("exp", -60s) + "}", "expired"},
        {start + at("exp", -1h) + "}", "expired"},
        {start + "}", "expired"},
        {start + R"(,"exp":"4102444800"})", "expired"},
        {start + R"(,"exp":null})", "expired"},
        {start + R"(,"exp":-1})", "expired"},
        {start + R"(,"exp":1e300})", "expired"},
        {start + R"(,"exp":1e999})", "malformed"},
        {start + R"(,"exp":4102444800.5})", "right ann@example.net"},
        {start + hour + at("nbf", 60s) + "}", "right ann@example.net"},
        {start + hour + at("nbf", 61s) + "}", "not yet valid"},
        {start + hour + at("iat", 60s) + "}", "right ann@example.net"},
        {start + hour + at("iat", 61s) + "}", "not yet valid"},
        {start + hour + R"(,"nbf":"now"})", "not yet valid"},
        {start + hour + R"(,"email_verified":true})", "right ann@example.net"},
        {start + hour + R"(,"email_verified":"true"})", "right ann@example.net"},
        {start + hour + R"(,"email_verified":false})", "no account"},
        {start + hour + R"(,"email_verified":"false"})", "no account"},
        {start + hour + R"(,"email_verified":1})", "no account"},
        {start + hour + R"(,"email_verified":null})", "no account"},
        {start + hour + R"(,"email":"bob@example.net"})", "malformed"},
        {start + hour + R"(,"x":{"y":1,"y":2}})", "malformed"},
        {start + hour + R"(,"x":[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]})", "right ann@example.net"},
        {start + hour + R"(,"x":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]})", "malformed"},
        {start + hour, "malformed"},
        {"[]", "malformed"},
        {"\"x\"", "malformed"},
        {R"({"iss":"https://issuer.example","aud":"smtp","email":"ann@example.net")" + hour + "}",
         "issuer"},
        {R"({"iss":["https://issuer.example/"],"aud":"smtp","email":"a@example.net")" + hour + "}",
         "issuer"},
        {R"({"aud":"smtp","email":"ann@example.net")" + hour + "}", "issuer"},
        {R"({"iss":"https://issuer.example/","email":"ann@example.net")" + hour + "}", "audience"},
        {R"({"iss":"https://issuer.example/","aud":"SMTP","email":"a@example.net")" + hour + "}",
         "audience"},
        {R"({"iss":"https://issuer.example/","aud":[],"email":"a@example.net")" + hour + "}",
         "audience"},
        {R"({"iss":"https://issuer.example/","aud":["imap","smtp"],"email":"a@b.net")" + hour + "}",
         "right a@b.net"},
        {R"({"iss":"https://issuer.example/","aud":["smtp",1],"email":"a@b.net")" + hour + "}",
         "audience"},
        {R"({"iss":"https://issuer.example/","aud":{"smtp":1},"email":"a@b.net")" + hour + "}",
         "audience"},
        {R"({"iss":"https://issuer.example/","aud":"smtp")" + hour + "}", "no account"},
        {R"({"iss":"https://issuer.example/","aud":"smtp","email":["a@b.net"])" + hour + "}",
         "no account"},
        {R"({"iss":"https://issuer.example/","aud":"smtp","email":"")" + hour + "}", "no account"},
    };
    const KeySetPtr keys = both();
    for (const Row& row : rows) {
        INFO(row.payload);
        CHECK(outcome(ec_issuer().token(row.payload), *keys) == row.expected);
    }
}

TEST_CASE("another claim may name the account, and email_verified is then nobody's business") {
    TokenRules other = rules;
    other.claim = "preferred_username";
    const auto judged = judge_token(
        ec_issuer().token(claims(R"(,"preferred_username":"bob@b.net","email_verified":false)")),
        *both(), other, test::noon);
    REQUIRE(judged.has_value());
    CHECK(judged->account == "bob@b.net");
    CHECK(judged->expires == test::noon + 1h);
}

TEST_CASE("a token that is cut, doubled, padded or too long is malformed, wherever it is cut") {
    const KeySetPtr keys = both();
    const std::string token = ec_issuer().token(claims());
    for (std::size_t size = 0; size < token.size(); ++size) {
        const std::string said = outcome(token.substr(0, size), *keys);
        CHECK((said == "malformed" || said == "signature"));
    }
    const std::size_t last = token.rfind('.');
    const std::string wrong[] = {
        token + "=",
        token + ".",
        token + "." + token,
        "." + token,
        token + " ",
        " " + token,
        token + "\n",
        std::string("\0", 1) + token,
        token + "A==",
        token.substr(0, last) + ".." + token.substr(last + 1),
        std::string(1 << 20, 'A'),
        token + std::string(1 << 20, 'A'),
        std::string(1 << 20, '.'),
        "..",
        "...",
        "a.b.c",
    };
    for (const std::string& one : wrong) CHECK(outcome(one, *keys) == "malformed");
}

TEST_CASE("the account that a token claims can be read before it is believed") {
    CHECK(account_claimed(ec_issuer().token(claims()), "email") == "ann@example.net");
    CHECK(account_claimed(ec_issuer().token(claims()), "sub").empty());
    CHECK(account_claimed(ec_issuer().token(claims()), "exp").empty());
    CHECK(account_claimed("", "email").empty());
    CHECK(account_claimed("a.b.c", "email").empty());
    CHECK(account_claimed(std::string(1 << 20, 'A'), "email").empty());
}

TEST_CASE("base64url is strict") {
    CHECK(base64url_decode("") == "");
    CHECK(base64url_decode("-_8") == "\xfb\xff");
    CHECK(base64url_decode("TWFu") == "Man");
    CHECK(base64url_decode("TQ") == "M");
    for (const char* const wrong : {"T", "TR", "TWF", "TQ==", "TQ=", "+/8", "TW Fu", "TWFu\n"}) {
        INFO(wrong);
        CHECK_FALSE(base64url_decode(wrong).has_value());
    }
}

TEST_CASE("JSON is bounded in depth and number") {
    CHECK(parse_strict("{}").has_value());
    CHECK_FALSE(parse_strict("").has_value());
    CHECK_FALSE(parse_strict("{\"a\":").has_value());
    std::string many = "{\"a\":[0";
    for (std::size_t i = 0; i < max_json_values; ++i) many += ",0";
    CHECK_FALSE(parse_strict(many + "]}").has_value());
    std::string deep;
    for (int i = 0; i < 100'000; ++i) deep += "{\"a\":";
    CHECK_FALSE(parse_strict(deep).has_value());
}

}  // namespace
}  // namespace postern::auth
