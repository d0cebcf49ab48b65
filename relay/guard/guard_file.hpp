#pragma once

#include <chrono>
#include <mutex>
#include <optional>
#include <string>

#include "policy/login_guard.hpp"
#include "relay/spool/file.hpp"

namespace postern::relay {

/// STATE/guard.snap: what the login guard keeps over a restart. Blocks; thread-safe.
class GuardFile {
  public:
    struct Now {
        std::chrono::system_clock::time_point wall = std::chrono::system_clock::now();
        std::chrono::steady_clock::time_point steady = std::chrono::steady_clock::now();
    };

    /// `files` outlives this.
    GuardFile(FileSystem& files, std::string folder);

    /// Takes up what the file holds. A sentence for the log where it is there and cannot be taken;
    /// the guard is then as it was.
    [[nodiscard]] std::optional<std::string> load(policy::LoginGuard& guard, Now now) const;
    /// Writes it anew where anything changed. An error leaves the old file.
    [[nodiscard]] boost::system::error_code save(const policy::LoginGuard& guard, Now now);

  private:
    [[nodiscard]] boost::system::error_code write(const std::string& header,
                                                  const std::string& body);

    FileSystem& files_;
    std::string folder_;
    std::string path_;
    std::mutex mutex_;
    std::optional<std::string> written_;  ///< The body that the file has.
};

}  // namespace postern::relay
