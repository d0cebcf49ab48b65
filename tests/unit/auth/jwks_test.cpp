#include "auth/jwks.hpp"

#include <string>

#include "token_maker.hpp"

namespace postern::auth {
namespace {

using test::ec_issuer;
using test::Issuer;
using test::rsa_issuer;

std::string set_of(std::string_view keys) {
    return R"({"keys":[)" + std::string(keys) + "]}";
}

/// How many keys serve, and what is told of others; or what is wrong with the whole.
std::string outcome(std::string_view text) {
    const auto parsed = KeySet::parse(text);
    if (!parsed) return parsed.error();
    std::string out = std::to_string((*parsed)->size());
    for (const std::string& fault : (*parsed)->faults()) out += "; " + fault;
    return out;
}

// RFC 7517 A.1
constexpr std::string_view rfc_rsa =
    R"({"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFF)"
    "xuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65"
    "YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhA"
    R"(I4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB",)"
    R"("alg":"RS256","kid":"2011-04-29"})";
constexpr std::string_view rfc_ec =
    R"({"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",)"
    R"("y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc","kid":"1"})";

TEST_CASE("the key set of RFC 7517 A.1 has one key to check signatures with") {
    const std::string text = set_of(std::string(rfc_ec) + "," + std::string(rfc_rsa));
    const auto keys = KeySet::parse(text);
    REQUIRE(keys.has_value());
    CHECK((*keys)->size() == 1);
    CHECK((*keys)->find(TokenAlgorithm::rs256, "2011-04-29") != nullptr);
    CHECK((*keys)->find(TokenAlgorithm::rs256, std::nullopt) != nullptr);
    CHECK((*keys)->find(TokenAlgorithm::es256, "1") == nullptr);
    CHECK((*keys)->find(TokenAlgorithm::es256, std::nullopt) == nullptr);
}

TEST_CASE("keys for other purposes are passed over without a word") {
    const std::string rsa = rsa_issuer().jwk();
    const char* const others[] = {
        R"({"kty":"oct","k":"AAAA","kid":"secret"})",
        R"({"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})",
        R"({"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"})",
        R"({"kty":7})",
        R"({})",
    };
    for (const char* const other : others) {
        INFO(other);
        CHECK(outcome(set_of(rsa + "," + other)) == "1");
    }
    CHECK(outcome(set_of(rsa + "," + ec_issuer().jwk(R"(,"use":"enc")"))) == "1");
    CHECK(outcome(set_of(rsa + "," + ec_issuer().jwk(R"(,"alg":"ES384")"))) == "1");
    CHECK(outcome(set_of(rsa + "," + rsa_issuer().jwk(R"(,"alg":"PS256")"))) == "1");
    CHECK(outcome(set_of(rsa + "," + rsa_issuer().jwk(R"(,"alg":"RSA-OAEP")"))) == "1");
    CHECK(outcome(set_of(rsa + "," + rsa_issuer().jwk(R"(,"use":1)"))) == "1");
    CHECK(outcome(set_of(rsa + "," + ec_issuer().jwk(R"(,"key_ops":["sign"])"))) == "1");
    CHECK(outcome(set_of(rsa + "," + Issuer(Issuer::Kind::p384).jwk())) == "1");
    CHECK(outcome(set_of(rsa + "," +
                         ec_issuer().jwk(R"(,"use":"sig","alg":"ES256","key_ops":["verify"])"))) ==
          "2");
}

TEST_CASE("broken and weak keys are named and passed over") {
    const std::string rsa = rsa_issuer().jwk();
    const std::string n = rsa_issuer().number("n");
    const std::string x = ec_issuer().number("qx");
    const std::string y = ec_issuer().number("qy");
    const auto rsa_key = [](const std::string& modulus, const std::string& exponent) {
        return R"({"kid":"bad","kty":"RSA","n":")" + modulus + R"(","e":")" + exponent + R"("})";
    };
    const auto ec_key = [](const std::string& at, const std::string& above) {
        return R"({"kid":"bad","kty":"EC","crv":"P-256","x":")" + at + R"(","y":")" + above +
               R"("})";
    };
    const std::string no_rsa = "1; key bad is passed over: n and e are no RSA key";
    const std::string weak = "1; key bad is passed over: an RSA key needs 2048 bits at least";
    const std::string no_ec = "1; key bad is passed over: x and y are no point of P-256";
    CHECK(outcome(set_of(rsa + "," + Issuer(Issuer::Kind::rsa, "bad", 1024).jwk())) == weak);
    CHECK(outcome(set_of(rsa + "," + rsa_key(n, ""))) == no_rsa);
    CHECK(outcome(set_of(rsa + "," + rsa_key(n, "AQ"))) == no_rsa);  // 1
    CHECK(outcome(set_of(rsa + "," + rsa_key(n, "Ag"))) == no_rsa);  // 2
    CHECK(outcome(set_of(rsa + "," + rsa_key(n, n))) == no_rsa);
    CHECK(outcome(set_of(rsa + "," + rsa_key("", "AQAB"))) == no_rsa);
    CHECK(outcome(set_of(rsa + "," + rsa_key(n + "=", "AQAB"))) == no_rsa);
    CHECK(outcome(set_of(rsa + "," + rsa_key(n + n + n + n + n, "AQAB"))) == no_rsa);
    CHECK(outcome(set_of(rsa + "," + rsa_key("AQAB", "AQAB"))) == weak);
    CHECK(outcome(set_of(rsa + "," + ec_key(y, x))) == no_ec);
    CHECK(outcome(set_of(rsa + "," + ec_key(x, x))) == no_ec);
    CHECK(outcome(set_of(rsa + "," + ec_key(x, ""))) == no_ec);
    CHECK(outcome(set_of(rsa + "," + ec_key(x, y + "AA"))) == no_ec);
    CHECK(outcome(set_of(rsa + "," + ec_key(x.substr(0, 40), y))) == no_ec);
    CHECK(outcome(set_of(rsa + R"(,{"kid":7,"kty":"EC","crv":"P-256","x":")" + x + R"(","y":")" +
                         y + R"("})")) ==
          "1; a key without kid is passed over: its kid is no string of at most 256 octets");
}

TEST_CASE("what is no key set at all") {
    const std::string nothing = "no JSON object that can be trusted to mean one thing";
    CHECK(outcome("") == nothing);
    CHECK(outcome("<html>") == nothing);
    CHECK(outcome("[]") == nothing);
    CHECK(outcome(set_of(rsa_issuer().jwk()) + "x") == nothing);
    CHECK(outcome(R"({"keys":[],"keys":[]})") == nothing);
    CHECK(outcome(set_of(rsa_issuer().jwk(R"(,"kty":"EC")"))) == nothing);
    CHECK(outcome(std::string(max_key_set_octets + 1, ' ')) == "larger than 1 MiB");
    CHECK(outcome("{}") == R"(no key set: it has no list "keys")");
    CHECK(outcome(R"({"keys":{}})") == R"(no key set: it has no list "keys")");
    CHECK(outcome(R"({"keys":[1]})") == "no key set: a key is no object");
    CHECK(outcome(set_of("")) == "no key that RS256 or ES256 can be checked with");
    CHECK(outcome(set_of(Issuer(Issuer::Kind::rsa, "w", 1024).jwk())) ==
          "no key that RS256 or ES256 can be checked with (key w is passed over: an RSA key needs "
          "2048 bits at least)");
    std::string many = "{}";
    for (std::size_t i = 0; i < max_keys; ++i) many += ",{}";
    CHECK(outcome(set_of(many)) == "more than 100 keys");
}

TEST_CASE("a key is chosen by kid, and without one only where no other fits") {
    const Issuer first(Issuer::Kind::p256, "a");
    const Issuer second(Issuer::Kind::p256, "b");
    const Issuer nameless(Issuer::Kind::p256, "");
    const auto one = KeySet::parse(set_of(nameless.jwk() + "," + rsa_issuer().jwk()));
    CHECK((*one)->find(TokenAlgorithm::es256, std::nullopt) != nullptr);
    CHECK((*one)->find(TokenAlgorithm::es256, "") == nullptr);
    const auto two = KeySet::parse(set_of(first.jwk() + "," + second.jwk()));
    CHECK((*two)->find(TokenAlgorithm::es256, std::nullopt) == nullptr);
    CHECK((*two)->find(TokenAlgorithm::es256, "a") != nullptr);
    CHECK((*two)->find(TokenAlgorithm::es256, "a") != (*two)->find(TokenAlgorithm::es256, "b"));
    CHECK((*two)->find(TokenAlgorithm::rs256, "a") == nullptr);
    const auto twice = KeySet::parse(set_of(first.jwk() + "," + first.jwk()));
    CHECK((*twice)->find(TokenAlgorithm::es256, "a") == nullptr);
}

}  // namespace
}  // namespace postern::auth
