#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "auth/account_store.hpp"

namespace postern::relay::backup {

/// What a backup is made of.
struct Source {
    std::string state;               ///< STATE
    auth::AccountStore& accounts;    ///< Open on it.
    std::function<void()> flush;     ///< What has happened is in the journal then; may be empty.
    std::function<bool()> stopping;  ///< Asked between two pieces; may be empty.
    std::string version;
    std::string commit;
};

struct Outcome {
    bool ok = false;
    bool refused = false;  ///< Not ok by what was asked for; else by our own failure.
    std::string error;     ///< What is wrong, and what would be right.
    std::size_t files = 0;
    std::uint64_t bytes = 0;
};

/// Makes backups, one at a time; thread-safe. Blocks as long as copying takes: never on a network
/// thread.
class Maker {
  public:
    explicit Maker(Source source) : source_(std::move(source)) {}
    /// `to`: a whole path; the folder is made, or is there and empty.
    [[nodiscard]] Outcome make(const std::string& to);

  private:
    Source source_;
    std::atomic<bool> busy_{false};
};

}  // namespace postern::relay::backup
