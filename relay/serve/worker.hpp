#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "relay/asio.hpp"
#include "relay/net/buffer_pool.hpp"
#include "relay/net/listener.hpp"
#include "relay/net/resolver.hpp"
#include "relay/net/task_group.hpp"
#include "relay/session/driver.hpp"
#include "relay/session/services.hpp"
#include "relay/upstream/pool.hpp"

namespace postern::relay {

/// One network thread: its io_context, its sessions, its upstream connections. Members are called
/// on its thread unless they say otherwise.
class NetworkThread {
  public:
    NetworkThread(std::size_t index, std::size_t threads, std::vector<std::string> resolvers,
                  event::Stream& events);
    NetworkThread(const NetworkThread&) = delete;
    NetworkThread& operator=(const NetworkThread&) = delete;
    ~NetworkThread();

    /// Starts the thread. `services` lives until join(). Any thread.
    void start(Services& services);
    /// Runs `f` on this thread. Any thread.
    void post(std::function<void()> f) { asio::post(context_, std::move(f)); }
    [[nodiscard]] asio::io_context& context() noexcept { return context_; }
    [[nodiscard]] UpstreamPool& upstreams() noexcept { return pool_; }
    [[nodiscard]] net::TaskGroup& tasks() noexcept { return tasks_; }
    /// For the listeners.
    [[nodiscard]] net::Worker& dealt() noexcept { return worker_; }

    void use_resolvers(std::vector<std::string> resolvers);
    /// Ends the sessions of an account (empty: all).
    void end_sessions(const std::string& account, const proto::Reply& reply);
    /// Ends those sessions of an account whose login does not stand any more.
    void recheck_sessions(const std::string& account, const proto::Reply& reply);
    /// Ends all of them, and those whose sockets are still on their way here.
    void drain(const proto::Reply& reply);
    void abort_sessions();
    /// Asks the thread whether it still has sessions or tasks; quiet() says so once it has
    /// answered. Any thread.
    void ask_quiet() {
        quiet_.store(false);
        post([this] { quiet_.store(lane_.sessions.empty() && tasks_.count() == 0); });
    }
    [[nodiscard]] bool quiet() const noexcept { return quiet_.load(); }
    /// Stops the periodic work and the upstream connections.
    void finish();
    /// Any thread: waits for the thread's end.
    void join();

  private:
    void serve(net::Accepted accepted);
    [[nodiscard]] awaitable<void> run_session(net::Accepted accepted);
    [[nodiscard]] awaitable<void> tick();

    std::size_t index_;
    event::Stream& events_;
    asio::io_context context_;
    std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work_;
    net::BufferPool buffers_;
    net::TaskGroup tasks_;
    net::TaskGroup chores_;
    std::vector<std::unique_ptr<net::Resolver>> resolvers_;  ///< The last one is in use.
    UpstreamPool pool_;
    Lane lane_;
    net::Worker worker_;
    Services* services_ = nullptr;
    asio::steady_timer ticker_;
    bool finishing_ = false;
    std::optional<proto::Reply> goodbye_;  ///< Set: we are shutting down.
    std::atomic<bool> quiet_{false};
    std::thread thread_;
};

}  // namespace postern::relay
