#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/error.hpp"
#include "auth/verifier.hpp"

namespace postern::auth {

using Time = std::chrono::system_clock::time_point;

inline constexpr std::string_view default_plan = "transactional";
/// What a device has that no plan was given: a table of [limits] that is built in.
inline constexpr std::string_view device_plan = "device";
inline constexpr std::string_view device_kind = "device";

/// What an account may be known by: a named password, certificate or bound source. The first
/// password of an account has the empty name. All that have a verifier share one salt and one round
/// count, so that one derivation tries them all.
struct Credential {
    std::int64_t id = 0;
    std::string name;
    std::string kind = "password";  ///< password certificate device
    std::string plan;               ///< Limits of its own, beside the account's; empty: none.
    std::optional<Verifier> verifier;
    std::string crypt;       ///< password: an imported hash ("$6$..."), until the first right login
                             ///< makes a verifier of it.
    std::string scram_sha1;  ///< password: RFC 5803 text for SCRAM-SHA-1; empty: it has none.
    std::string certificate;  ///< certificate: SHA-256 of its DER, 64 lower-case hex digits.
    std::string source;       ///< device: the network it is bound to, "192.0.2.8/32".
    std::string listener;     ///< device: the listener it is bound to.
    std::vector<std::string>
        rcpts;  ///< device: addresses and `@DOMAIN` it may write to; empty: all.
    Time created;

    /// The same proof: a login that rested on this one rests on the other, later one. A hash that
    /// has become a verifier is the same password still.
    [[nodiscard]] bool same_proof(const Credential& other) const noexcept;
};

/// Why and by whom an account was stopped.
struct Suspension {
    Time t;
    std::string rule;  ///< The rule that did it; `operator` where a person did.
    std::vector<std::string> reasons;
    std::string text;  ///< What the owner is told with the 525; may be empty.
    std::string by;
    bool operator==(const Suspension&) const = default;
};

/// What an account may put into MAIL FROM and From; everything normalised, sorted.
struct Owned {
    bool everything = false;  ///< `*`: a relayed MTA
    std::vector<std::string> addresses;
    std::vector<std::string> domains;

    /// As the interface shows them: `*`, addresses, domains.
    [[nodiscard]] std::vector<std::string> texts() const;
    bool operator==(const Owned&) const = default;
};

/// From `ADDR`, `DOMAIN`, `@DOMAIN` and `*`; invalid_owned for anything else.
[[nodiscard]] result<Owned> parse_owned(const std::vector<std::string>& texts);

/// An account's name (an address) as it is stored; invalid_name where it is none.
[[nodiscard]] result<std::string> account_name(std::string_view text);

/// One account as it stood at one moment. Immutable once shared; never holds a cleartext.
struct AccountRecord {
    std::int64_t id = 0;
    std::uint64_t version =
        0;             ///< The store's change number: never the same for two states of any account.
    std::string name;  ///< Normalised.
    std::string customer;  ///< May be empty.
    std::string plan;      ///< Its own, else its customer's, else default_plan.
    Owned owned;
    std::vector<std::string> authzids;  ///< Normalised names it may act as, beside its own.
    std::map<std::string, std::string>
        rules;  ///< rule -> enforce observe off, where it differs from the customer's.
    std::map<std::string, std::string>
        customer_rules;  ///< Its customer's, where they differ from the configuration.
    std::optional<Suspension> suspended;
    std::vector<Credential> credentials;
    Time created;

    [[nodiscard]] std::string_view state() const noexcept {
        return suspended ? "suspended" : "active";
    }
};
using AccountPtr = std::shared_ptr<const AccountRecord>;

/// The mode that account or customer set for a rule; null: the configuration's holds.
[[nodiscard]] const std::string* mode_of(const AccountRecord& account, const std::string& rule);
/// Null: it has none of that name.
[[nodiscard]] const Credential* find_credential(const AccountRecord& account,
                                                std::string_view name) noexcept;
/// One of its verifiers, for the salt and round count that all of them share; null: it has none.
[[nodiscard]] const Verifier* shared_verifier(const AccountRecord& account) noexcept;

/// Has it a password that is nothing but an imported hash? Such a one cannot serve SCRAM.
[[nodiscard]] bool has_bare_crypt(const AccountRecord& account) noexcept;

/// May the account act as that login name (normalised)?
[[nodiscard]] bool may_act_as(const AccountRecord& account, std::string_view name) noexcept;

/// The account beside what changes with each login and so is not part of the record.
struct AccountView {
    AccountPtr account;
    std::optional<Time> last_login;
    std::string last_source;
    struct Used {
        Time t;
        std::string source;
    };
    std::map<std::string, Used, std::less<>> used;  ///< By credential.
};

}  // namespace postern::auth
