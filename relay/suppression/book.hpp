#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace postern::relay::suppression {

using WallTime = std::chrono::system_clock::time_point;

/// Whose list: a customer's, or an account's own where it has no customer.
struct Owner {
    std::string customer;  ///< Empty: `account`.
    std::string account;
};

struct Suppressed {
    WallTime since;
    std::optional<WallTime> until;  ///< Unset: until it is removed by hand.
    std::string enhanced;           ///< "5.1.1"; empty: by hand.
    std::string ref;                ///< Of the mail that bounced; find() leaves it empty.
};

/// The lists of recipients that bounced for good. Thread-safe; never blocks: it is memory, and
/// what changes is written behind.
class Book {
  public:
    virtual ~Book() = default;
    /// Called at RCPT, on a network thread. `rcpt` as the client wrote it; compared with its domain
    /// as A-labels in lower case and its local part case-folded. Expired ones are not there.
    [[nodiscard]] virtual std::optional<Suppressed> find(const Owner& owner, std::string_view rcpt,
                                                         WallTime now) const = 0;
    /// A receiver said that this recipient does not exist. Decides itself whether `enhanced` is a
    /// hard bounce (5.1.1, 5.1.2, 5.1.3, 5.1.6, 5.1.10, 5.2.1), whether `suppress_for` is on, and
    /// queues the writing; bounded.
    virtual void bounced(const Owner& owner, std::string_view rcpt, std::string_view enhanced,
                         std::string_view ref, WallTime now) = 0;
};

}  // namespace postern::relay::suppression
