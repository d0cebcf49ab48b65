#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <boost/system/result.hpp>

#include "relay/descriptor.hpp"

namespace postern::relay::process {

/// What STATE/lock says of its holder.
struct Holder {
    std::int64_t pid = 0;
    std::string admin;  ///< Path of the admin socket.
    std::string version;
    std::string started;  ///< RFC 3339 UTC
};

/// The flock on STATE/lock: one process works on a state. Held until destruction; the kernel lets
/// go when a process dies however it dies. The file stays, its JSON is worth nothing once nobody
/// holds the lock.
class StateLock {
  public:
    /// Makes the folder (0700) where it is missing. Error: errc::resource_unavailable_try_again
    /// when somebody holds it, errc::too_many_links when the file is no plain one of one name.
    [[nodiscard]] static boost::system::result<StateLock> take(const std::string& state,
                                                               const Holder& holder);
    /// Who holds it now; empty where nobody does (or STATE is not there). Takes the lock for no
    /// longer than the look.
    [[nodiscard]] static std::optional<Holder> holder(const std::string& state);

    /// Whether holder() can say: false where the lock is there and this process may not read it.
    [[nodiscard]] static bool readable(const std::string& state);

    /// Writes what the file says anew: a process that forked or became another user.
    [[nodiscard]] boost::system::result<void> describe(const Holder& holder);

  private:
    explicit StateLock(Descriptor file) : file_(std::move(file)) {}
    Descriptor file_;
};

}  // namespace postern::relay::process
