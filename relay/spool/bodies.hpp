#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "relay/spool/operation.hpp"
#include "relay/spool/shared.hpp"

namespace postern::relay::spool {

/// A thread for what would hold up the writer: bodies that are files of their own, their removal,
/// allocation.
///
/// A body is written, synced, and its name synced before its operation goes on to the writer: a
/// record never speaks of a body that is not there.
class Bodies {
  public:
    /// `forward` takes an operation whose bodies are durable, or which has `failed`.
    Bodies(Shared& shared, std::function<void(Operation)> forward);
    Bodies(const Bodies&) = delete;
    Bodies& operator=(const Bodies&) = delete;
    ~Bodies() { stop(); }

    void write(Operation operation);
    void remove(std::vector<std::string> ids);
    /// Runs something else that takes long.
    void run(std::function<void()> work);
    /// Finishes what is queued and ends the thread.
    void stop();

  private:
    void loop();
    void write_all(std::vector<Operation> operations);
    [[nodiscard]] std::optional<Failure> write_bodies(Operation& operation);
    [[nodiscard]] std::optional<Failure> write_body(const NewEntry& entry, BodyPlace& place);
    void discard(const Operation& operation);

    Shared& shared_;
    std::function<void(Operation)> forward_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<Operation> operations_;
    std::vector<std::string> removals_;
    std::vector<std::function<void()>> work_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace postern::relay::spool
