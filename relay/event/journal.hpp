#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/system/result.hpp>

namespace postern::relay::event {

/// One file of the journal: DATE.N.jsonl, DATE in UTC.
struct JournalFile {
    std::string date;          ///< "2026-03-02"
    std::uint64_t number = 0;  ///< From 1.
    std::string path;
};
/// The files of a folder in order, the oldest first; what is named otherwise is passed over.
[[nodiscard]] std::vector<JournalFile> journal_files(const std::string& folder);

/// The journal on disk: STATE/events/DATE.N.jsonl, 0600, appended in batches and never synced: it
/// explains, and what was promised to anybody stands in the spool. One writer. Not thread-safe:
/// owned by the recorder.
class Journal {
  public:
    struct Settings {
        std::string folder;
        std::chrono::seconds retention = std::chrono::days(90);  ///< log.event_retention
        std::uint64_t keep_free = 0;          ///< With less free space nothing is written.
        std::uint64_t max_file = 64U << 20U;  ///< A file that is longer is followed by the next N.
        /// All files together; a fifth of the volume where that is less.
        std::uint64_t max_total = 4ULL << 30U;
    };
    /// Makes the folder (0700) if it is missing, finds where the last run ended, mends a torn last
    /// line.
    [[nodiscard]] static boost::system::result<Journal> open(
        Settings settings, std::chrono::system_clock::time_point now);
    Journal(Journal&& other) noexcept;
    Journal& operator=(Journal&& other) noexcept;
    Journal(const Journal&) = delete;
    Journal& operator=(const Journal&) = delete;
    ~Journal();

    /// Above every `seq` that an earlier run used, also those that it had no time to write.
    [[nodiscard]] std::uint64_t next_seq() const noexcept { return next_seq_; }
    /// `lines`: whole lines. `now` chooses the file. After an error nothing of them counts as
    /// written.
    [[nodiscard]] boost::system::result<void> append(std::string_view lines,
                                                     std::chrono::system_clock::time_point now);
    /// Deletes files that are past retention, and the oldest ones of too many octets; how many.
    std::size_t expire(std::chrono::system_clock::time_point now);
    void set_keep_free(std::uint64_t octets) noexcept { settings_.keep_free = octets; }
    void set_retention(std::chrono::seconds retention) noexcept { settings_.retention = retention; }

  private:
    explicit Journal(Settings settings) : settings_(std::move(settings)) {}
    [[nodiscard]] bool has_space(std::size_t more);
    [[nodiscard]] boost::system::result<void> start_file(const std::string& date,
                                                         std::uint64_t number);

    Settings settings_;
    int fd_ = -1;
    std::string date_;
    std::uint64_t number_ = 0;
    std::uint64_t size_ = 0;
    std::uint64_t unlooked_ = 1U << 30U;  // octets since the free space was looked at
    bool space_ = true;
    std::uint64_t next_seq_ = 1;
    bool torn_ = false;  // the file does not end in a line break
};

}  // namespace postern::relay::event
