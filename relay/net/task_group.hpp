#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string_view>

#include "relay/asio.hpp"

namespace postern::relay::net {

/// Owns coroutines of one thread: counts them, hears their exceptions, waits for their end. Every
/// member is called on that thread. Join it before what `failed` and the tasks refer to goes.
class TaskGroup {
  public:
    /// `failed` hears what an escaped exception said.
    using Failed = std::function<void(std::string_view what)>;

    TaskGroup(asio::any_io_executor executor, Failed failed);
    TaskGroup(const TaskGroup&) = delete;
    TaskGroup& operator=(const TaskGroup&) = delete;
    ~TaskGroup();

    void spawn(awaitable<void> task);
    [[nodiscard]] std::size_t count() const noexcept;
    [[nodiscard]] std::uint64_t failures() const noexcept;
    /// Ends when no task is left.
    [[nodiscard]] awaitable<void> join();

  private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace postern::relay::net
