#include "relay/net/error.hpp"

#include <string>

#include <openssl/err.h>
#include <openssl/x509.h>

namespace postern::relay::net {

namespace {

class NetCategory final : public boost::system::error_category {
  public:
    [[nodiscard]] const char* name() const noexcept override { return "postern.net"; }
    [[nodiscard]] std::string message(int value) const override {
        switch (static_cast<Error>(value)) {
            case Error::truncated:
                return "connection ended without TLS close_notify";
            case Error::early_plaintext:
                return "octets were sent behind STARTTLS before the handshake";
            case Error::broken:
                return "connection is unusable after an earlier failure";
            case Error::would_block:
                return "nothing to read";
            case Error::proxy_malformed:
                return "missing or malformed PROXY header";
            case Error::name_not_found:
                return "name does not exist";
            case Error::no_address:
                return "name has no address";
            case Error::dns_failed:
                return "no usable answer from name servers";
            case Error::name_invalid:
                return "not a host name";
            case Error::too_many_lookups:
                return "too many name lookups under way";
            case Error::no_record:
                return "name has no such record";
            case Error::takes_no_mail:
                return "the domain says that it takes no mail there";
            case Error::no_usable_target:
                return "the domain's records name no host that can be asked for";
        }
        return "unknown error";
    }
};

class TlsCategory final : public boost::system::error_category {
  public:
    [[nodiscard]] const char* name() const noexcept override { return "postern.tls"; }
    [[nodiscard]] std::string message(int value) const override {
        const char* reason =
            ERR_reason_error_string(static_cast<unsigned long>(static_cast<unsigned>(value)));
        return reason != nullptr ? reason : "TLS failure";
    }
};

class VerifyCategory final : public boost::system::error_category {
  public:
    [[nodiscard]] const char* name() const noexcept override { return "postern.verify"; }
    [[nodiscard]] std::string message(int value) const override {
        // Only TlsClient's own check of pins says so.
        if (value == X509_V_ERR_APPLICATION_VERIFICATION)
            return "the server's key is none of those pinned";
        return X509_verify_cert_error_string(value);
    }
};

}  // namespace

const boost::system::error_category& error_category() noexcept {
    static const NetCategory category;
    return category;
}

const boost::system::error_category& tls_category() noexcept {
    static const TlsCategory category;
    return category;
}

const boost::system::error_category& verify_category() noexcept {
    static const VerifyCategory category;
    return category;
}

bool names_another(const boost::system::error_code& error) noexcept {
    return error.category() == verify_category() &&
           (error.value() == X509_V_ERR_HOSTNAME_MISMATCH ||
            error.value() == X509_V_ERR_IP_ADDRESS_MISMATCH);
}

boost::system::error_code make_error_code(Error e) noexcept {
    return {static_cast<int>(e), error_category()};
}

}  // namespace postern::relay::net
