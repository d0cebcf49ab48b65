#pragma once

#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "relay/upstream/path_set.hpp"

namespace postern::relay {

/// What is asked of the paths for one attempt.
struct Wish {
    PathSet::Needs needs;
    /// Whose warm mail it may be: the customer, or the account of none. Empty: it warms no standby
    /// (a retry, a notification, a sender of bad standing).
    std::string_view warms_as;
    /// Where it was tried before: first in its role, for mail stays with its path.
    std::string_view before;
};

/// The ways of one attempt, best first.
struct Ways {
    std::vector<PathPtr> paths;
    /// The first one is a standby that gets the mail to be known: what it does not take goes on to
    /// the next.
    std::optional<Warming::Claim> warm;
    [[nodiscard]] bool warms(const PathPtr& path) const {
        return warm.has_value() && path == paths.front();
    }
};

struct Moment {
    SteadyTime steady;
    WallTime wall;
};

/// Primaries, then fallbacks, then standbys, of those that may take it now; within a role by chance
/// and weight, each of them once. A standby comes first where its schedule is behind and another
/// path would have taken the mail. `random` is uniform in [0, 1).
[[nodiscard]] Ways choose(const PathSet& routed, const Wish& wish, const Moment& now,
                          const std::function<double()>& random);

}  // namespace postern::relay
