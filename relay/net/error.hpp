#pragma once

#include <boost/system/error_category.hpp>
#include <boost/system/error_code.hpp>

namespace postern::relay::net {

/// What can go wrong on a connection beside the system's own errors. Reading and writing also yield
/// asio::error::timed_out (the deadline passed) and asio::error::operation_aborted
/// (`Stream::interrupt`).
enum class Error {
    truncated = 1,    ///< TLS: the transport ended without close_notify.
    early_plaintext,  ///< Octets were pipelined behind STARTTLS (RFC 3207 6): drop the connection.
    broken,       ///< An earlier failure (write, handshake, TLS protocol) ended this connection.
    would_block,  ///< `try_read`: nothing there now.
    proxy_malformed,   ///< The PROXY header is missing or wrong.
    name_not_found,    ///< DNS: no such name.
    no_address,        ///< DNS: the name exists, but has no address.
    dns_failed,        ///< DNS: no usable answer (servers refused, failed or did not answer).
    name_invalid,      ///< Not a host name.
    too_many_lookups,  ///< The bound on lookups under way is reached.
    no_record,         ///< DNS: no record of the kind that was asked for.
    takes_no_mail,     ///< DNS: the domain says so (null MX, RFC 7505; SRV of ".").
    no_usable_target,  ///< DNS: the records name no host that could be asked for.
};

[[nodiscard]] const boost::system::error_category& error_category() noexcept;
[[nodiscard]] boost::system::error_code make_error_code(Error e) noexcept;

/// OpenSSL's error queue codes ("unsupported protocol", "tlsv1 alert unknown ca").
[[nodiscard]] const boost::system::error_category& tls_category() noexcept;
/// X509_V_ERR codes ("certificate has expired", "hostname mismatch").
[[nodiscard]] const boost::system::error_category& verify_category() noexcept;
/// The certificate is good, and names somebody else.
[[nodiscard]] bool names_another(const boost::system::error_code& error) noexcept;

}  // namespace postern::relay::net

template <>
struct boost::system::is_error_code_enum<postern::relay::net::Error> : std::true_type {};
