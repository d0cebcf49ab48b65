#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <openssl/x509.h>
#include <boost/system/result.hpp>

#include "auth/certificate.hpp"

namespace postern::auth {

/// Where in a certificate the login name stands.
enum class NameFrom : std::uint8_t {
    email,        ///< The one rfc822Name of its subjectAltName.
    common_name,  ///< The one CN of its subject.
};

/// Authorities whose certificates log in under the name that stands in them, and what they have
/// revoked. Immutable; may be used by many threads at a time. Files are read by others.
class CertificateAuthority {
  public:
    /// What cannot be used, and why: for the operator.
    struct Fault {
        enum class In : std::uint8_t { ca, crl };
        In in = In::ca;
        std::string text;  ///< "holds no certificate in PEM"
    };
    /// `ca`: PEM, one authority or more; intermediate ones are trusted as roots are. `crl`: PEM, a
    /// list of each authority; unset: nothing is revoked. Lists that are overdue are no fault here:
    /// while they are, nobody gets in.
    [[nodiscard]] static boost::system::result<std::shared_ptr<const CertificateAuthority>, Fault>
    make(std::string_view ca, std::optional<std::string_view> crl, NameFrom from);

    ~CertificateAuthority();
    CertificateAuthority(const CertificateAuthority&) = delete;
    CertificateAuthority& operator=(const CertificateAuthority&) = delete;

    /// Verifies the chain (purpose: TLS client; time; revocation where there is a CRL, of each
    /// authority in the chain; keys and signatures of 112 bits at least), then reads the name.
    /// Costs some signature checks. `others`: what the client sent beside it; may be null.
    [[nodiscard]] ClientCertificate judge(X509* certificate, STACK_OF(X509) * others,
                                          Time now) const;

    /// When the first of the authorities ends, and when the first of the lists is overdue.
    [[nodiscard]] std::optional<Time> ca_ends() const noexcept;
    [[nodiscard]] std::optional<Time> crl_ends() const noexcept;
    /// Authorities of `ca` that have no list in `crl`: nobody under them gets in.
    [[nodiscard]] std::size_t unlisted() const noexcept;

  private:
    struct State;
    explicit CertificateAuthority(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

/// Lets boost::system::result<T, Fault>::value() throw; nothing in postern calls it unchecked.
[[noreturn]] void throw_exception_from_error(const CertificateAuthority::Fault& fault,
                                             const boost::source_location& where);

}  // namespace postern::auth
