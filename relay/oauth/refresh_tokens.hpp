#pragma once

#include <optional>
#include <string>
#include <vector>

#include "proto/secret.hpp"

namespace postern::relay::oauth {

/// The refresh token of an upstream: the configured one, or that which a server gave in its place
/// and which is kept in a file of STATE. Members block on the file; one caller at a time.
class RefreshTokens {
  public:
    /// `file`: STATE/keys/oauth-NAME; empty: in memory alone.
    RefreshTokens(proto::Secret configured, std::string file);

    /// Those to try, in this order: the one given last, if it was given in place of the configured
    /// one, and the configured one. At least one.
    [[nodiscard]] std::vector<proto::Secret> candidates();
    /// The server gave this one. Unset: it is kept, and a crash does not lose it; else why only in
    /// memory.
    [[nodiscard]] std::optional<std::string> keep(const proto::Secret& given);

  private:
    [[nodiscard]] std::optional<proto::Secret> read() const;
    [[nodiscard]] std::optional<std::string> write(const std::string& text) const;

    proto::Secret configured_;
    std::string mark_;  ///< Tells the configured one from others, and shows nothing of it.
    std::string file_;
    std::optional<proto::Secret> given_;
};

}  // namespace postern::relay::oauth
