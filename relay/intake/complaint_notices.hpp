#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "relay/config/config.hpp"
#include "relay/spool/spool.hpp"

namespace postern::relay::intake {

/// A complaint as the customer hears of it. Nothing of what the complaint itself says but its kind:
/// it may name people.
struct ToldComplaint {
    std::string ref, account, customer, rcpt, message_id;
    std::string sent;  ///< When the mail was sent, RFC 3339.
    std::string kind;  ///< abuse fraud ...
};

/// Which complaints are told when: the first of a customer (of an account without one) at once,
/// those of the hour after it together at its end. Pure: the time comes in.
class ComplaintNotices {
  public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::hours pause{1};
    static constexpr std::size_t most_listed = 20;      ///< Of a mail; others are counted.
    static constexpr std::size_t most_owners = 10'000;  ///< Those of others are told one by one.

    struct Batch {
        std::string owner;
        std::string customer;  ///< Empty: an account without one.
        std::vector<ToldComplaint> complaints;
        std::uint64_t more = 0;  ///< Beyond those.
    };
    /// Set: to be told now.
    [[nodiscard]] std::optional<Batch> add(ToldComplaint complaint, Time now);
    /// What has become due.
    [[nodiscard]] std::vector<Batch> due(Time now);
    [[nodiscard]] std::optional<Time> next() const;
    /// All that waits, due or not.
    [[nodiscard]] std::vector<Batch> rest();

  private:
    struct Waiting {
        Time until;
        Batch batch;
    };
    std::map<std::string, Waiting> owners_;
    std::deque<std::pair<Time, std::string>> order_;  ///< By `until`.
};

/// The mail to whoever answers for a customer's mail, as a queue entry due now: from postmaster,
/// with the null reverse-path. `to` parsed as a mailbox.
[[nodiscard]] NewEntry make_complaint_mail(const config::Config& config, const proto::Address& to,
                                           const ComplaintNotices::Batch& batch,
                                           const std::string& id, WallTime now);

}  // namespace postern::relay::intake
