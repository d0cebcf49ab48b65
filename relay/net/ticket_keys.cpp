#include "relay/net/ticket_keys.hpp"

#include <algorithm>
#include <cstring>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

namespace postern::relay::net {

namespace {

int keys_index() {
    static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
}

void wipe(std::optional<TicketKeys::Key>& key) {
    if (key) OPENSSL_cleanse(&*key, sizeof *key);
    key.reset();
}

}  // namespace

std::shared_ptr<TicketKeys> make_ticket_keys() {
    return std::make_shared<TicketKeys>();
}

TicketKeys::~TicketKeys() {
    wipe(current_);
    wipe(previous_);
}

std::optional<TicketKeys::Key> TicketKeys::sealing(clock::time_point now) {
    const std::lock_guard lock(mutex_);
    if (!current_ || now - current_->made >= lifetime) {
        Key fresh{};
        fresh.made = now;
        if (RAND_bytes(fresh.name.data(), static_cast<int>(fresh.name.size())) != 1 ||
            RAND_priv_bytes(fresh.aes.data(), static_cast<int>(fresh.aes.size())) != 1 ||
            RAND_priv_bytes(fresh.hmac.data(), static_cast<int>(fresh.hmac.size())) != 1) {
            return std::nullopt;
        }
        wipe(previous_);
        previous_ = current_;
        current_ = fresh;
    }
    return current_;
}

std::optional<TicketKeys::Opening> TicketKeys::opening(const unsigned char* name,
                                                       clock::time_point now) {
    const std::lock_guard lock(mutex_);
    for (const auto* key : {&current_, &previous_}) {
        if (!*key || std::memcmp((*key)->name.data(), name, (*key)->name.size()) != 0) continue;
        if (now - (*key)->made >= 2 * lifetime) return std::nullopt;
        return Opening{**key, key == &current_ && now - (*key)->made < lifetime};
    }
    return std::nullopt;
}

int TicketKeys::callback(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                         EVP_MAC_CTX* mac, int sealing) {
    auto* self = static_cast<TicketKeys*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), keys_index()));
    if (self == nullptr) return 0;
    const auto now = clock::now();
    std::optional<Key> key;
    int answer = 1;
    if (sealing == 1) {
        // With a client's certificate nothing is resumed: an empty ticket (RFC 5077 3.3).
        if (SSL_get0_peer_certificate(ssl) != nullptr) return 0;
        key = self->sealing(now);
        if (!key) return -1;
        std::memcpy(name, key->name.data(), key->name.size());
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) return -1;
    } else {
        const auto found = self->opening(name, now);
        if (!found) return 0;  // a full handshake
        key = found->key;
        // 2: a new ticket goes out; a client of TLS 1.3 uses each of them once.
        answer = found->current && SSL_version(ssl) < TLS1_3_VERSION ? 1 : 2;
    }
    char digest[] = "SHA256";
    const std::array<OSSL_PARAM, 3> parameters{
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->hmac.data(), key->hmac.size()),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end()};
    const int ready =
        sealing == 1 ? EVP_EncryptInit_ex2(cipher, EVP_aes_256_cbc(), key->aes.data(), iv, nullptr)
                     : EVP_DecryptInit_ex2(cipher, EVP_aes_256_cbc(), key->aes.data(), iv, nullptr);
    const bool keyed = EVP_MAC_CTX_set_params(mac, parameters.data()) == 1;
    wipe(key);
    return ready == 1 && keyed ? answer : -1;
}

void TicketKeys::install(SSL_CTX* context) {
    SSL_CTX_set_ex_data(context, keys_index(), this);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, &TicketKeys::callback);
    SSL_CTX_set_timeout(context,
                        std::chrono::duration_cast<std::chrono::seconds>(lifetime).count());
}

}  // namespace postern::relay::net
