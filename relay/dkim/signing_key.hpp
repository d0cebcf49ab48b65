#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "auth/digest.hpp"
#include "auth/openssl_kept.hpp"
#include "proto/dkim.hpp"
#include "proto/dkim_text.hpp"
#include "proto/secret.hpp"
#include "relay/dkim/error.hpp"

namespace postern::relay::dkim {

/// A private key that signs. Shared by all threads, read-only.
class SigningKey {
  public:
    /// RSA has 2048 bits. Takes up to a second.
    [[nodiscard]] static result<SigningKey> make(proto::DkimAlgorithm algorithm);
    /// From PKCS#8 (PEM). `damaged` where it is none, or one of another kind.
    [[nodiscard]] static result<SigningKey> read(std::string_view pem,
                                                 proto::DkimAlgorithm algorithm);

    [[nodiscard]] proto::DkimAlgorithm algorithm() const noexcept { return algorithm_; }
    [[nodiscard]] result<proto::Secret> pem() const;
    /// The value of its TXT record.
    [[nodiscard]] result<std::string> record() const;
    /// The signature of what has that hash. About a millisecond by RSA: never on a network thread.
    [[nodiscard]] result<std::string> sign(const auth::Digest& digest) const;

  private:
    SigningKey(auth::Kept<EVP_PKEY> key, proto::DkimAlgorithm algorithm)
        : key_(std::move(key)), algorithm_(algorithm) {}

    auth::Kept<EVP_PKEY> key_;
    proto::DkimAlgorithm algorithm_;
};

/// SHA-256 of what it is handed.
class Sha256 final : public proto::OctetSink {
  public:
    Sha256();
    void take(std::string_view octets) override;
    /// Once, at the end.
    [[nodiscard]] result<auth::Digest> digest();

  private:
    auth::Kept<EVP_MD_CTX> context_;
    bool well_ = true;
};

}  // namespace postern::relay::dkim
