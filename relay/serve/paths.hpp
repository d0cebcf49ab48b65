#pragma once

#include <string>

#include <boost/system/result.hpp>

#include "relay/net/tls.hpp"
#include "relay/serve/snapshot.hpp"

namespace postern::relay {

/// Whom an upstream's TLS believes. Of tls = "none" there is none to make.
[[nodiscard]] net::TlsClientOptions tls_options(const config::Upstream& upstream);

/// The paths of a configuration and its routes. What did not change since `parts.before` is taken
/// over whole; what did keeps what is known of it by its name. Error: as make_snapshot().
[[nodiscard]] boost::system::result<PathSetPtr, std::string> make_paths(
    const config::Config& config, const SnapshotParts& parts);

/// Where the refresh token is kept that a token server gives in place of the configured one.
[[nodiscard]] std::string refresh_token_file(const config::Config& config,
                                             const config::Upstream& upstream);

}  // namespace postern::relay
