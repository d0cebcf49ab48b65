#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "auth/digest.hpp"
#include "tests/catch.hpp"

namespace postern::auth::test {

[[nodiscard]] inline std::string base64url(std::string_view octets) {
    std::string out = base64(octets);
    for (char& c : out) c = c == '+' ? '-' : c == '/' ? '_' : c;
    while (out.ends_with('=')) out.pop_back();
    return out;
}

/// Who signs tokens: a key of its own, in the forms that a key set and a token need.
class Issuer {
  public:
    enum class Kind : std::uint8_t { rsa, p256, p384 };
    explicit Issuer(Kind kind, std::string id = "k1", unsigned bits = 2048)
        : kind_(kind),
          id_(std::move(id)),
          key_(kind == Kind::rsa    ? EVP_RSA_gen(bits)
               : kind == Kind::p256 ? EVP_EC_gen("P-256")
                                    : EVP_EC_gen("P-384"),
               EVP_PKEY_free) {
        REQUIRE(key_ != nullptr);
    }

    [[nodiscard]] std::string algorithm() const { return kind_ == Kind::rsa ? "RS256" : "ES256"; }
    [[nodiscard]] std::string number(const char* name) const {
        BIGNUM* value = nullptr;
        REQUIRE(EVP_PKEY_get_bn_param(key_.get(), name, &value) == 1);
        const std::unique_ptr<BIGNUM, void (*)(BIGNUM*)> owner(value, BN_free);
        const int size =
            kind_ == Kind::rsa ? BN_num_bytes(value) : (EVP_PKEY_get_bits(key_.get()) + 7) / 8;
        std::string out(static_cast<std::size_t>(size), '\0');
        BN_bn2binpad(value, reinterpret_cast<unsigned char*>(out.data()), size);
        return base64url(out);
    }
    /// Of a key set; `more`: further members, each with a comma in front.
    [[nodiscard]] std::string jwk(std::string_view more = {}) const {
        std::string out = "{";
        if (!id_.empty()) out += R"("kid":")" + id_ + R"(",)";
        if (kind_ == Kind::rsa) {
            out += R"("kty":"RSA","n":")" + number(OSSL_PKEY_PARAM_RSA_N) + R"(","e":")" +
                   number(OSSL_PKEY_PARAM_RSA_E) + R"(")";
        } else {
            out += std::string(R"("kty":"EC","crv":")") +
                   (kind_ == Kind::p256 ? "P-256" : "P-384") + R"(","x":")" +
                   number(OSSL_PKEY_PARAM_EC_PUB_X) + R"(","y":")" +
                   number(OSSL_PKEY_PARAM_EC_PUB_Y) + R"(")";
        }
        return out.append(more) + "}";
    }
    [[nodiscard]] std::string key_set() const { return R"({"keys":[)" + jwk() + "]}"; }

    [[nodiscard]] std::string header() const {
        return R"({"alg":")" + algorithm() + R"(","kid":")" + id_ + R"("})";
    }
    [[nodiscard]] std::string signature(std::string_view text) const {
        const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(),
                                                                         EVP_MD_CTX_free);
        REQUIRE(EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) == 1);
        std::string out(1024, '\0');
        std::size_t size = out.size();
        REQUIRE(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size,
                               reinterpret_cast<const unsigned char*>(text.data()),
                               text.size()) == 1);
        out.resize(size);
        return kind_ == Kind::rsa ? out : side_by_side(out);
    }
    [[nodiscard]] std::string token(std::string_view header, std::string_view payload) const {
        const std::string text = base64url(header) + "." + base64url(payload);
        return text + "." + base64url(signature(text));
    }
    [[nodiscard]] std::string token(std::string_view payload) const {
        return token(header(), payload);
    }
    /// SubjectPublicKeyInfo, what a confused verifier takes for the secret of HS256.
    [[nodiscard]] std::string public_der() const {
        unsigned char* der = nullptr;
        const int size = i2d_PUBKEY(key_.get(), &der);
        std::string out(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
        OPENSSL_free(der);
        return out;
    }

  private:
    static std::string side_by_side(const std::string& der) {
        const auto* at = reinterpret_cast<const unsigned char*>(der.data());
        const std::unique_ptr<ECDSA_SIG, void (*)(ECDSA_SIG*)> pair(
            d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())), ECDSA_SIG_free);
        std::string out(64, '\0');
        auto* const to = reinterpret_cast<unsigned char*>(out.data());
        BN_bn2binpad(ECDSA_SIG_get0_r(pair.get()), to, 32);
        BN_bn2binpad(ECDSA_SIG_get0_s(pair.get()), to + 32, 32);
        return out;
    }

    Kind kind_;
    std::string id_;
    std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key_;
};

/// Making an RSA key takes a while: one for all tests.
[[nodiscard]] inline const Issuer& rsa_issuer() {
    static const Issuer made(Issuer::Kind::rsa, "rsa-1");
    return made;
}
[[nodiscard]] inline const Issuer& ec_issuer() {
    static const Issuer made(Issuer::Kind::p256, "ec-1");
    return made;
}

}  // namespace postern::auth::test
