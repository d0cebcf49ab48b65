#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "relay/asio.hpp"

namespace postern::relay::net {

/// Looks at files now and then (modification time, size, inode, through symbolic links) and tells
/// once for each change that has settled for one interval, so that a certificate and its key are
/// not read half replaced; where the owner could not make use of it (false), it is told again each
/// minute. For the housekeeping thread: it calls stat(2).
class FileWatch {
  public:
    FileWatch(const asio::any_io_executor& executor, std::function<bool()> changed,
              std::chrono::milliseconds interval = std::chrono::seconds(10));
    FileWatch(const FileWatch&) = delete;
    FileWatch& operator=(const FileWatch&) = delete;
    ~FileWatch();

    /// Watches these from now on.
    void set(std::vector<std::string> paths);
    void stop() noexcept;

  private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace postern::relay::net
