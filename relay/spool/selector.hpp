#pragma once

#include <functional>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "relay/spool/details.hpp"
#include "relay/spool/ledger.hpp"
#include "relay/spool/spool.hpp"

namespace postern::relay::spool {

/// An EntrySelector made ready: first by what the ledger knows, then by what only the disk does.
class Selector {
  public:
    /// Under the ledger's lock.
    Selector(const EntrySelector& which, const Ledger& ledger);

    /// Under the ledger's lock.
    [[nodiscard]] bool may_match(const Ledger& ledger, const IndexEntry& e) const;
    /// Whether the rest, too, matches: sender, open recipients and source.
    [[nodiscard]] bool matches(const EntryInfo& info) const;
    [[nodiscard]] bool needs_details() const noexcept {
        return !mail_from_.any.empty() || !rcpts_.any.empty() || !sources_.empty();
    }

  private:
    struct Addresses {
        std::vector<std::string> any;  ///< Normalised addresses, and @domains.
        [[nodiscard]] bool match(const std::string& address) const;
    };
    using Numbers = std::optional<std::unordered_set<std::uint32_t>>;  ///< Unset: any.
    static Numbers numbers(const std::vector<std::string>& names, const Names& known);
    static Addresses addresses(const std::vector<std::string>& given);

    std::optional<std::unordered_set<std::string>> ids_;
    Numbers accounts_;
    Numbers customers_;
    Numbers upstreams_;
    std::vector<EntryState> states_;
    std::vector<proto::Network> sources_;
    std::optional<std::int64_t> since_;
    std::optional<std::int64_t> until_;
    Addresses mail_from_;
    Addresses rcpts_;
};

/// What a walk over all matching entries does with one.
enum class Walk : std::uint8_t { on, stop };

/// An entry as a walk meets it.
struct Met {
    EntryInfo info;
    Located located;
    bool readable = true;  ///< Else `info` has only what the ledger knows.
};
/// As it is now; unset: it is gone.
[[nodiscard]] std::optional<Met> meet(Shared& shared, const std::string& id);

/// Calls `visit` with every entry that matches, in order of id, behind `after_id`. Takes the lock
/// in short turns; the files are read without it.
void walk(Shared& shared, const EntrySelector& which, const std::string& after_id,
          const std::function<Walk(Met)>& visit);

}  // namespace postern::relay::spool
