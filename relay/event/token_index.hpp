#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "relay/event/journal.hpp"

namespace postern::relay::event {

/// What the token map says of one message, and of whom it was told later.
struct MappedMessage {
    std::string token, ref, account, customer, mail_from, message_id;
    std::string sent;  ///< RFC 3339
    std::vector<std::string> rcpts;
    struct Told {
        std::string event;  ///< bounce complaint
        std::string rcpt;
    };
    std::vector<Told> told;
};

/// Finds lines of the token map without reading it: where each token and Message-ID stands is in
/// memory, eight octets each. Strangers ask for what does not exist as often as they like, and that
/// costs no file. Files that do not fit any more, the oldest, are read through at most once in
/// `blind_every`. Not thread-safe; blocks: it reads files. Never throws on what they hold.
class TokenIndex {
  public:
    struct Settings {
        std::string folder;                    ///< STATE/trace
        std::size_t max_keys = 8'000'000;      ///< 64 MiB; two a message.
        std::chrono::seconds blind_every{15};  ///< Of searches in what is not in memory.
        std::string salt;                      ///< Random: nobody outside makes keys alike.
    };
    using Time = std::chrono::steady_clock::time_point;

    explicit TokenIndex(Settings settings) : settings_(std::move(settings)) {}

    /// Unset: unknown, or no token.
    [[nodiscard]] std::optional<MappedMessage> by_token(std::string_view token, Time now);
    /// The messages that bear it, with its angle brackets, the latest first; at most eight.
    [[nodiscard]] std::vector<MappedMessage> by_message_id(std::string_view id, Time now);

    /// Reads one file that was not read yet, the newest first. False: there is none left.
    bool read_more();
    [[nodiscard]] std::size_t keys() const noexcept { return keys_; }

  private:
    struct Key {
        std::uint32_t print = 0;
        std::uint32_t offset = 0;
    };
    struct File {
        JournalFile at;
        std::uint64_t read_to = 0;
        bool began = false;
        bool whole = false;  ///< Another one follows it: nothing is appended any more.
        bool blind = false;
        std::vector<Key> keys;   ///< By print.
        std::vector<Key> fresh;  ///< In the order of the file; few.
    };

    [[nodiscard]] std::uint32_t print_of(std::string_view text) const;
    void list();
    void read_all();
    void read(File& file);
    void make_room();
    void note(File& file, std::string_view line, std::uint64_t offset);
    /// Calls `see` with each line of that print, the newest file's first, until it says false.
    void lines_of(std::uint32_t print, const std::function<bool(std::string_view)>& see) const;
    void blind_lines(std::string_view needle, Time now,
                     const std::function<bool(std::string_view)>& see);

    Settings settings_;
    std::vector<File> files_;  ///< The oldest first.
    std::size_t keys_ = 0;
    std::optional<Time> searched_blind_;
};

}  // namespace postern::relay::event
