#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace postern::relay {

/// How much of the day's mail a standby gets so that receivers know it. Shares are 0 to 1.
struct WarmShare {
    double share = 0.01;
    std::uint32_t per_day = 200;
    double cap = 0.10;
    [[nodiscard]] bool off() const noexcept { return (share <= 0 && per_day == 0) || cap <= 0; }
};

/// Which mails of a day go to one standby: the larger of `share` and `per_day`, never above `cap`,
/// spread over the day and over customers. Pure: time and counts come in, a decision goes out. Not
/// thread-safe (Warming locks it).
///
/// The schedule rises with the day, or with the mail of the day before where that came earlier:
/// what an office sends between eight and six is reached by six. A mail goes to the standby only
/// while the standby is behind. A customer with more than its part of today's warm mail is passed
/// over while the standby is not far behind, which it may be the less the later it is.
class WarmSchedule {
  public:
    struct Day {
        double elapsed = 0;            ///< Share of the day that is over.
        double usual = 0;              ///< Share of yesterday's mail that had come by this time.
        double began = 0;              ///< Share of it that was over when counting began.
        std::uint64_t mail = 0;        ///< All mails of today so far.
        std::uint64_t yesterday = 0;   ///< All of yesterday's; 0: not known.
        std::uint64_t by_standby = 0;  ///< Of today's, those that the standby took.
    };
    /// Whether the next mail of the day, one of `customer`, is for the standby.
    [[nodiscard]] bool due(const WarmShare& share, const Day& day, std::string_view customer);
    /// It is on its way there, and then: it has come there, or not.
    void sending(std::string_view customer);
    void sent(std::string_view customer, bool delivered);
    void new_day();

    /// What a whole day owes a standby, once it is over.
    [[nodiscard]] static double owed(const WarmShare& share, std::uint64_t mail, double began);
    /// Whether it got that. A tenth may be missing: mail does not come as it was expected.
    [[nodiscard]] static bool met(const WarmShare& share, std::uint64_t mail, double began,
                                  std::uint64_t by_standby);

  private:
    /// Beyond so many a customer is one of "the others": bounds memory.
    static constexpr std::size_t most_customers = 10'000;
    [[nodiscard]] std::uint64_t& of(std::string_view customer);

    std::map<std::string, std::uint64_t, std::less<>> customers_;  ///< Warm mails of today.
    std::uint64_t dealt_ = 0;                                      ///< Their sum.
    std::uint64_t under_way_ = 0;
};

}  // namespace postern::relay
