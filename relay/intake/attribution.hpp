#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "proto/report.hpp"
#include "relay/event/token_index.hpp"
#include "relay/intake/word.hpp"

namespace postern::relay::intake {

// What is said of a mail, and whether it counts. Pure.

/// One statement on one recipient, of whichever origin.
struct Saying {
    WordKind kind = WordKind::other;
    Via via = Via::dsn;
    std::vector<std::string> rcpts;  ///< Names of the one meant; empty: the mail's only one.
    bool among = false;  ///< `rcpts` are all to whom the mail went: one of them is meant, and it
                         ///< counts only where that can be only one of ours.
    std::string enhanced, text, detail;
};

/// What a report says, a statement a recipient. Empty: it is none.
[[nodiscard]] std::vector<Saying> sayings_of(const proto::Report& report);
[[nodiscard]] Saying saying_of(const Word& word);

struct Finding {
    Taken taken = Taken::unknown;  ///< counted (unless it was before), unknown, passed
    std::string rcpt;              ///< As it stands in the message; empty unless counted.
};
/// Which recipient of the message is meant. Addresses compare with their domains as A-labels and
/// their local parts case-folded.
[[nodiscard]] Finding attribute(const Saying& saying, const event::MappedMessage& message);
/// Whether the token map says that it was told already.
[[nodiscard]] bool was_told(const event::MappedMessage& message, WordKind kind,
                            std::string_view rcpt);

/// The worse of two, as `done` of the desk hears it: overloaded, unreadable, unknown, passed,
/// duplicate, counted.
[[nodiscard]] Taken worse(Taken a, Taken b) noexcept;

/// Whether a Message-ID is one that we make, for notifications of ours too.
[[nodiscard]] bool is_own_message_id(std::string_view id, std::string_view hostname);

/// Remembers what was counted since the start, the latest so many: what the token map does not
/// show yet, or never did.
class Once {
  public:
    explicit Once(std::size_t most = 65'536) : most_(most) {}
    /// False: it was there already.
    [[nodiscard]] bool add(std::string_view token, WordKind kind, std::string_view rcpt);

  private:
    std::size_t most_;
    std::unordered_set<std::string> known_;
    std::deque<std::string> order_;
};

/// How many mails each return path may send on to its sender: nobody turns one into a cannon.
class ForwardLimit {
  public:
    static constexpr std::size_t beyond_recipients = 100;
    explicit ForwardLimit(std::size_t most = 65'536) : most_(most) {}
    /// Counts it. False: the token had its share.
    [[nodiscard]] bool take(std::string_view token, std::size_t recipients);

  private:
    std::size_t most_;
    std::unordered_map<std::string, std::size_t> taken_;
    std::deque<std::string> order_;
};

}  // namespace postern::relay::intake
