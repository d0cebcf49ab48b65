#include "relay/intake/signature.hpp"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <vector>

#include "proto/base64.hpp"
#include "tests/catch.hpp"

using namespace postern;
using namespace postern::relay::intake;
using namespace std::chrono_literals;

namespace {

struct KeyFree {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Key = std::unique_ptr<EVP_PKEY, KeyFree>;

std::string public_part(EVP_PKEY* key) {
    unsigned char* der = nullptr;
    const int size = i2d_PUBKEY(key, &der);
    REQUIRE(size > 0);
    const std::string out(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
    OPENSSL_free(der);
    return proto::base64_encode(out);
}

std::string signed_by(EVP_PKEY* key, const std::string& text) {
    const std::unique_ptr<EVP_MD_CTX, KeyFree> context(EVP_MD_CTX_new());
    REQUIRE(EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key) == 1);
    std::size_t size = 0;
    const auto* octets = reinterpret_cast<const unsigned char*>(text.data());
    REQUIRE(EVP_DigestSign(context.get(), nullptr, &size, octets, text.size()) == 1);
    std::vector<unsigned char> signature(size);
    REQUIRE(EVP_DigestSign(context.get(), signature.data(), &size, octets, text.size()) == 1);
    return proto::base64_encode({reinterpret_cast<const char*>(signature.data()), size});
}

std::chrono::system_clock::time_point at(std::int64_t seconds) {
    return std::chrono::system_clock::time_point(std::chrono::seconds(seconds));
}

}  // namespace

TEST_CASE("a secret comes as Bearer or as the password of Basic") {
    struct Field {
        const char* text;
        const char* secret;  ///< Null: none.
    };
    const Field table[] = {
        {"Bearer abc", "abc"},
        {"bearer   abc ", "abc"},
        {"Basic dXNlcjpwYTpzcw==", "pa:ss"},  // user:pa:ss
        {"BASIC OnBhc3M=", "pass"},           // :pass
        {"Basic dXNlcg==", nullptr},          // no colon
        {"Basic dXNlcjp4", "x"},
        {"Basic %%%", nullptr},
        {"Bearer", nullptr},
        {"Bearer ", nullptr},
        {"Bearerabc", nullptr},
        {"Digest abc", nullptr},
        {"abc", nullptr},
        {"", nullptr},
    };
    for (const Field& field : table) {
        CAPTURE(field.text);
        const auto secret = secret_in(field.text);
        REQUIRE(secret.has_value() == (field.secret != nullptr));
        if (secret) CHECK(secret->reveal() == field.secret);
    }
}

TEST_CASE("secrets are the same octet by octet") {
    CHECK(same_secret("abc", "abc"));
    CHECK_FALSE(same_secret("abc", "abd"));
    CHECK_FALSE(same_secret("abc", "ab"));
    CHECK_FALSE(same_secret("abc", ""));
}

TEST_CASE("Mailgun signs time and token by its key") {
    const std::string token = "toktoktoktoktoktoktoktoktoktok";
    const MailgunStamp good{"1700000000", token,
                            "80ec90bb5454b48dfc656963da0565cb5cba67f37db185191ca1b3b772100ce6"};
    CHECK(mailgun_signed("key-0123", good, at(1'700'000'000)));
    CHECK(mailgun_signed("key-0123", good, at(1'700'000'300)));
    CHECK(mailgun_signed("key-0123", good, at(1'699'999'700)));
    MailgunStamp upper = good;
    for (char& c : upper.signature)
        if (c >= 'a') c = static_cast<char>(c - 'a' + 'A');
    CHECK(mailgun_signed("key-0123", upper, at(1'700'000'000)));

    CHECK_FALSE(mailgun_signed("key-0123", good, at(1'700'000'301)));
    CHECK_FALSE(mailgun_signed("key-0123", good, at(1'699'999'699)));
    CHECK_FALSE(mailgun_signed("key-0124", good, at(1'700'000'000)));
    CHECK_FALSE(mailgun_signed("", good, at(1'700'000'000)));
    for (auto part : {&MailgunStamp::timestamp, &MailgunStamp::token, &MailgunStamp::signature}) {
        MailgunStamp bad = good;
        (bad.*part).back() = '7';
        CHECK_FALSE(mailgun_signed("key-0123", bad, at(1'700'000'000)));
        (bad.*part).clear();
        CHECK_FALSE(mailgun_signed("key-0123", bad, at(1'700'000'000)));
    }
    MailgunStamp odd = good;
    odd.timestamp = "1700000000x";
    CHECK_FALSE(mailgun_signed("key-0123", odd, at(1'700'000'000)));
}

TEST_CASE("SendGrid signs time and body by an elliptic curve") {
    const Key key(EVP_EC_gen("P-256"));
    const Key other(EVP_EC_gen("P-256"));
    const std::string shown = public_part(key.get());
    const std::string body = R"([{"event":"bounce"}])"
                             "\r\n";
    const std::string signature = signed_by(key.get(), "1700000000" + body);
    CHECK(is_public_key(shown));
    CHECK(sendgrid_signed(shown, signature, "1700000000", body));

    CHECK_FALSE(sendgrid_signed(shown, signature, "1700000001", body));
    CHECK_FALSE(sendgrid_signed(shown, signature, "1700000000", body + " "));
    CHECK_FALSE(sendgrid_signed(shown, signature, "", "1700000000" + body));
    CHECK_FALSE(sendgrid_signed(public_part(other.get()), signature, "1700000000", body));
    CHECK_FALSE(sendgrid_signed(shown, "", "1700000000", body));
    CHECK_FALSE(sendgrid_signed(shown, "!", "1700000000", body));
    CHECK_FALSE(sendgrid_signed(shown, "AAAA", "1700000000", body));
    CHECK_FALSE(sendgrid_signed("", signature, "1700000000", body));
    CHECK_FALSE(sendgrid_signed("AAAA", signature, "1700000000", body));
}

TEST_CASE("no public key but of an elliptic curve is one") {
    CHECK_FALSE(is_public_key(""));
    CHECK_FALSE(is_public_key("a secret of one's own"));
    CHECK_FALSE(is_public_key("AAAA"));
    const Key rsa(EVP_RSA_gen(2048));
    CHECK_FALSE(is_public_key(public_part(rsa.get())));
}

TEST_CASE("a token is good once in its time, and again if it was not taken") {
    using Claim = TokensSeen::Claim;
    const auto start = TokensSeen::clock::time_point() + 1h;
    TokensSeen tokens(2);
    CHECK(tokens.claim("a", start) == Claim::fresh);
    CHECK(tokens.claim("a", start + 9min) == Claim::seen);
    CHECK(tokens.claim("b", start + 9min) == Claim::fresh);
    CHECK(tokens.claim("c", start + 9min) == Claim::full);
    CHECK(tokens.claim("b", start + 9min) == Claim::seen);
    tokens.release("b");
    CHECK(tokens.claim("c", start + 9min) == Claim::fresh);
    // By then its signature is too old.
    CHECK(tokens.claim("d", start + 11min) == Claim::fresh);
}
