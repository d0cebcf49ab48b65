#include "relay/net/task_group.hpp"

#include <list>
#include <utility>

namespace postern::relay::net {

struct TaskGroup::State {
    asio::any_io_executor executor;
    Failed failed;
    std::size_t count = 0;
    std::uint64_t failures = 0;
    std::list<asio::steady_timer*> joiners;

    State(asio::any_io_executor ex, Failed f) : executor(std::move(ex)), failed(std::move(f)) {}

    void ended(const std::exception_ptr& error) {
        if (error) {
            ++failures;
            try {
                std::rethrow_exception(error);
            } catch (const std::exception& e) {
                if (failed) failed(e.what());
            } catch (...) {
                if (failed) failed("unknown exception");
            }
        }
        if (--count > 0) return;
        for (asio::steady_timer* joiner : joiners) joiner->cancel();
    }
};

TaskGroup::TaskGroup(asio::any_io_executor executor, Failed failed)
    : state_(std::make_shared<State>(std::move(executor), std::move(failed))) {}

TaskGroup::~TaskGroup() = default;

void TaskGroup::spawn(awaitable<void> task) {
    ++state_->count;
    asio::co_spawn(state_->executor, std::move(task),
                   [state = state_](const std::exception_ptr& error) { state->ended(error); });
}

std::size_t TaskGroup::count() const noexcept {
    return state_->count;
}
std::uint64_t TaskGroup::failures() const noexcept {
    return state_->failures;
}

awaitable<void> TaskGroup::join() {
    const auto state = state_;
    while (state->count > 0) {
        asio::steady_timer ended(state->executor, asio::steady_timer::time_point::max());
        const auto where = state->joiners.insert(state->joiners.end(), &ended);
        struct Out {
            std::list<asio::steady_timer*>& list;
            std::list<asio::steady_timer*>::iterator where;
            ~Out() { list.erase(where); }
        } out{state->joiners, where};
        co_await ended.async_wait(as_value);
    }
}

}  // namespace postern::relay::net
