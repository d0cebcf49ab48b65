#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace postern::relay::sink {

/// Where a session can be made to misbehave. `body`: once the mail's first octets have come.
enum class Stage : std::uint8_t { connect, ehlo, starttls, auth, mail, rcpt, data, body, dot };

enum class Action : std::uint8_t {
    reply,  ///< A code, with a text or without; 421 closes.
    hang,   ///< Says nothing more, and waits until the peer leaves.
    drop,   ///< Closes without a word.
    lose,   ///< At `dot`: keeps the mail, then closes without a word.
    slow,   ///< Waits before it answers.
    drip,   ///< Sends its answer octet by octet.
};

struct Fault {
    Stage stage = Stage::connect;
    Action action = Action::drop;
    int code = 0;
    std::string reply;                      ///< The whole line, without its end.
    std::chrono::milliseconds pause{1000};  ///< Of `slow` once, of `drip` for each octet.
    std::string subject;                    ///< An address, "@domain", or empty: every one.

    [[nodiscard]] bool concerns(std::string_view address) const;
};

/// Reads "STAGE:ACTION[:RCPT]"; ACTION is a code with an optional text ("451", "550 5.1.1 no such
/// user"), "hang", "drop", "lose", "slow[=SECONDS]" or "drip[=SECONDS]"; RCPT an address or
/// "@domain". On failure `problem` says what would be right.
[[nodiscard]] std::optional<Fault> parse_fault(std::string_view text, std::string& problem);

/// The faults in force: those given at the start, and those of a file that is read again whenever
/// it changed.
class FaultTable {
  public:
    /// `file`: empty for none. `given` holds valid texts.
    FaultTable(std::span<const std::string> given, std::string file);

    /// The first fault of `stage` that concerns one of `addresses` (or, with none, that concerns
    /// every one).
    [[nodiscard]] std::optional<Fault> find(Stage stage, std::span<const std::string> addresses);

  private:
    void reload();

    std::vector<Fault> given_;
    std::vector<Fault> from_file_;
    std::string file_;
    struct Print {
        std::uint64_t inode = 0;
        std::int64_t size = -1;
        std::int64_t seconds = 0;
        std::int64_t nanoseconds = 0;
        bool operator==(const Print&) const = default;
    } print_;
};

}  // namespace postern::relay::sink
