#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proto/envelope.hpp"
#include "relay/upstream/path.hpp"

namespace postern::relay {

/// By what a message is routed, the same at its first attempt and at its last.
struct Sender {
    std::string domain;    ///< Of the envelope's sender, normalised; of <>: of the account.
    std::string account;   ///< As in the spool.
    std::string customer;  ///< Empty: none.
    std::string plan;
    bool good_standing = true;  ///< Its mail may warm a standby.
};

/// One `[[route]]`.
struct PathRoute {
    config::Route rule;
    std::vector<PathPtr> paths;  ///< In the set's order.
    [[nodiscard]] bool fits(const Sender& sender) const;
};

/// The paths of one configuration by role, each role in the order of the file. Immutable.
struct PathSet {
    std::vector<PathPtr> paths;
    std::vector<PathRoute> routes;

    struct Needs {
        std::uint64_t size = 0;
        bool eight_bit_mime = false;
        bool smtputf8 = false;
    };
    /// The paths of such mail: of the first route that fits, else those that are for all; and no
    /// routes any more.
    [[nodiscard]] PathSet routed(const Sender& sender) const;
    /// Paths that may take such a message now, in the set's order.
    [[nodiscard]] std::vector<PathPtr> candidates(const Needs& needs, SteadyTime now) const;
    /// Some path (whatever its breaker says) offers what the message needs.
    [[nodiscard]] bool any_offers(const Needs& needs) const;
    /// The largest SIZE among the paths; 0: no path limits it.
    [[nodiscard]] std::uint64_t largest_size() const;
    /// None takes mail now.
    [[nodiscard]] bool all_open(SteadyTime now) const;
    [[nodiscard]] PathPtr find(std::string_view name) const;
};

using PathSetPtr = std::shared_ptr<const PathSet>;

/// What a message of `size` octets in such an envelope needs.
[[nodiscard]] PathSet::Needs needs_of(const proto::Envelope& envelope, std::uint64_t size);

/// Whether what an EHLO offered is enough for a message.
[[nodiscard]] bool offers(const proto::UpstreamOffer& offer, const PathSet::Needs& needs);

}  // namespace postern::relay
