#include "auth/jwks.hpp"

#include <algorithm>
#include <utility>

#include <openssl/core_names.h>
#include <openssl/err.h>

#include "auth/base64url.hpp"
#include "auth/digest.hpp"
#include "auth/openssl_kept.hpp"
#include "auth/strict_json.hpp"

namespace postern::auth {
namespace {

constexpr std::size_t p256_octets = 32;
constexpr std::size_t max_id_octets = 256;
constexpr std::size_t max_exponent_octets = 8;
constexpr std::size_t max_faults = 8;

Kept<BIGNUM> number_of(std::string_view big_endian) {
    return Kept<BIGNUM>(
        BN_bin2bn(octets(big_endian), static_cast<int>(big_endian.size()), nullptr));
}

Kept<EVP_PKEY> make_key(const char* kind, OSSL_PARAM_BLD* builder) {
    const Kept<OSSL_PARAM> parameters(OSSL_PARAM_BLD_to_param(builder));
    const Kept<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_from_name(nullptr, kind, nullptr));
    EVP_PKEY* key = nullptr;
    if (!parameters || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
        EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1)
        key = nullptr;
    return Kept<EVP_PKEY>(key);
}

Kept<EVP_PKEY> rsa_key(std::string_view n, std::string_view e) {
    const Kept<BIGNUM> modulus = number_of(n);
    const Kept<BIGNUM> exponent = number_of(e);
    const Kept<OSSL_PARAM_BLD> builder(OSSL_PARAM_BLD_new());
    if (!modulus || !exponent || !builder ||
        OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get()) != 1 ||
        OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get()) != 1)
        return nullptr;
    return make_key("RSA", builder.get());
}

/// Refuses a point that is not on the curve: OpenSSL looks when it takes it.
Kept<EVP_PKEY> p256_key(std::string_view x, std::string_view y) {
    std::string point(1, '\x04');
    point.append(x).append(y);
    const Kept<OSSL_PARAM_BLD> builder(OSSL_PARAM_BLD_new());
    if (!builder ||
        OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1",
                                        0) != 1 ||
        OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                         point.size()) != 1)
        return nullptr;
    return make_key("EC", builder.get());
}

/// A JWS has r and s side by side, OpenSSL wants them as DER. Empty: they are none.
std::string der_of(std::string_view signature) {
    if (signature.size() != 2 * p256_octets) return {};
    const Kept<ECDSA_SIG> pair(ECDSA_SIG_new());
    Kept<BIGNUM> r = number_of(signature.substr(0, p256_octets));
    Kept<BIGNUM> s = number_of(signature.substr(p256_octets));
    if (!pair || !r || !s || ECDSA_SIG_set0(pair.get(), r.get(), s.get()) != 1) return {};
    (void)r.release();
    (void)s.release();
    unsigned char* der = nullptr;
    const int size = i2d_ECDSA_SIG(pair.get(), &der);
    if (size <= 0) return {};
    std::string out(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
    OPENSSL_free(der);
    return out;
}

/// Of a member that holds base64url; empty where it does not.
std::string decoded(const Json& key, const char* name) {
    const std::string* const text = string_member(key, name);
    return text != nullptr ? base64url_decode(*text).value_or(std::string()) : std::string();
}

bool names(const Json& key, const char* member, std::string_view word) {
    const std::string* const text = string_member(key, member);
    return text != nullptr && *text == word;
}

/// Whether it is there to check signatures of that algorithm, or says nothing of it.
bool is_for_algorithm(const Json& key, std::string_view algorithm) {
    if (key.contains("use") && !names(key, "use", "sig")) return false;
    if (key.contains("alg") && !names(key, "alg", algorithm)) return false;
    const auto operations = key.find("key_ops");
    if (operations == key.end()) return true;
    return operations->is_array() && std::ranges::any_of(*operations, [](const Json& one) {
               const auto* const word = one.get_ptr<const std::string*>();
               return word != nullptr && *word == "verify";
           });
}

std::string shown(const std::optional<std::string>& id) {
    if (!id) return "a key without kid";
    std::string out = "key ";
    for (const char c : id->substr(0, 64)) out.push_back(c >= ' ' && c <= '~' ? c : '?');
    return out;
}

}  // namespace

struct TokenKey::Held {
    Kept<EVP_PKEY> key;
};

TokenKey::TokenKey(TokenAlgorithm algorithm, std::optional<std::string> id,
                   std::unique_ptr<Held> held)
    : algorithm_(algorithm), id_(std::move(id)), held_(std::move(held)) {}
TokenKey::~TokenKey() = default;
TokenKey::TokenKey(TokenKey&&) noexcept = default;

bool TokenKey::signed_this(std::string_view text, std::string_view signature) const {
    std::string der;
    if (algorithm_ == TokenAlgorithm::es256) {
        der = der_of(signature);
        if (der.empty()) return false;
        signature = der;
    }
    const Kept<EVP_MD_CTX> context(EVP_MD_CTX_new());
    const bool right = context &&
                       EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr,
                                            held_->key.get()) == 1 &&
                       EVP_DigestVerify(context.get(), octets(signature), signature.size(),
                                        octets(text), text.size()) == 1;
    ERR_clear_error();
    return right;
}

boost::system::result<KeySetPtr, std::string> KeySet::parse(std::string_view text) {
    if (text.size() > max_key_set_octets) return std::string("larger than 1 MiB");
    const std::optional<Json> whole = parse_strict(text);
    if (!whole) return std::string("no JSON object that can be trusted to mean one thing");
    const auto list = whole->find("keys");
    if (list == whole->end() || !list->is_array())
        return std::string("no key set: it has no list \"keys\"");
    if (list->size() > max_keys) return std::string("more than 100 keys");

    auto set = std::shared_ptr<KeySet>(new KeySet());
    set->print_ = std::string(view(sha256(text)));
    for (const Json& key : *list) {
        if (!key.is_object()) return std::string("no key set: a key is no object");
        std::optional<std::string> id;
        if (const std::string* const named = string_member(key, "kid")) id = *named;
        const auto fault = [&](std::string_view what) {
            ERR_clear_error();
            if (set->faults_.size() < max_faults)
                set->faults_.push_back(shown(id) + " is passed over: " + std::string(what));
        };
        const bool rsa = names(key, "kty", "RSA") && is_for_algorithm(key, "RS256");
        const bool ec =
            names(key, "kty", "EC") && names(key, "crv", "P-256") && is_for_algorithm(key, "ES256");
        if (!rsa && !ec) continue;
        if ((key.contains("kid") && !id) || (id && id->size() > max_id_octets)) {
            fault("its kid is no string of at most 256 octets");
            continue;
        }
        Kept<EVP_PKEY> made;
        if (rsa) {
            const std::string n = decoded(key, "n");
            const std::string e = decoded(key, "e");
            const bool sized = !e.empty() && e.size() <= max_exponent_octets && !n.empty() &&
                               n.size() <= std::size_t{max_rsa_bits} / 8 + 1;
            if (sized) made = rsa_key(n, e);
            const bool odd = sized && (static_cast<unsigned char>(e.back()) & 1U) != 0 && e != "\1";
            if (!made || !odd || EVP_PKEY_get_bits(made.get()) > max_rsa_bits) {
                fault("n and e are no RSA key");
                continue;
            }
            if (EVP_PKEY_get_bits(made.get()) < min_rsa_bits) {
                fault("an RSA key needs 2048 bits at least");
                continue;
            }
        } else {
            const std::string x = decoded(key, "x");
            const std::string y = decoded(key, "y");
            if (x.size() == p256_octets && y.size() == p256_octets) made = p256_key(x, y);
            if (!made) {
                fault("x and y are no point of P-256");
                continue;
            }
        }
        set->keys_.push_back(
            TokenKey(rsa ? TokenAlgorithm::rs256 : TokenAlgorithm::es256, std::move(id),
                     std::make_unique<TokenKey::Held>(TokenKey::Held{std::move(made)})));
    }
    if (set->keys_.empty()) {
        return "no key that RS256 or ES256 can be checked with" +
               (set->faults_.empty() ? std::string() : " (" + set->faults_.front() + ")");
    }
    return KeySetPtr(std::move(set));
}

const TokenKey* KeySet::find(TokenAlgorithm algorithm,
                             const std::optional<std::string>& id) const noexcept {
    const TokenKey* found = nullptr;
    for (const TokenKey& key : keys_) {
        if (key.algorithm() != algorithm || (id && key.id() != id)) continue;
        if (found != nullptr) return nullptr;
        found = &key;
    }
    return found;
}

}  // namespace postern::auth
