#include "relay/serve/worker.hpp"

#include <pthread.h>

#include <utility>

#include <fmt/format.h>

namespace postern::relay {

namespace {

using clock = std::chrono::steady_clock;

net::ResolverOptions resolver_options(std::vector<std::string> servers) {
    net::ResolverOptions out;
    out.servers = std::move(servers);
    return out;
}

net::TaskGroup::Failed failed(event::Stream& events) {
    // An exception that reaches here is a bug of ours: it ends one connection, never the process.
    return [&events](std::string_view what) {
        events.log(event::Level::error, "internal",
                   fmt::format("a task ended with an exception: {}", what));
    };
}

}  // namespace

NetworkThread::NetworkThread(std::size_t index, std::size_t threads,
                             std::vector<std::string> resolvers, event::Stream& events)
    : index_(index),
      events_(events),
      context_(1),
      work_(asio::make_work_guard(context_)),
      tasks_(context_.get_executor(), failed(events)),
      chores_(context_.get_executor(), failed(events)),
      resolvers_([&] {
          std::vector<std::unique_ptr<net::Resolver>> out;
          out.push_back(
              std::make_unique<net::Resolver>(context_, resolver_options(std::move(resolvers))));
          return out;
      }()),
      pool_(context_, *resolvers_.back(), tasks_, events,
            UpstreamPool::Settings{.threads = threads}),
      lane_{.context = context_,
            .buffers = buffers_,
            .upstreams = pool_,
            .tasks = tasks_,
            .sessions = {}},
      worker_{.context = &context_,
              .sessions = std::make_shared<std::atomic<std::size_t>>(0),
              .serve = [this](net::Accepted accepted) { serve(std::move(accepted)); }},
      ticker_(context_) {}

NetworkThread::~NetworkThread() {
    join();
}

void NetworkThread::start(Services& services) {
    services_ = &services;
    thread_ = std::thread([this] {
        ::pthread_setname_np(::pthread_self(), fmt::format("net-{}", index_).c_str());
        chores_.spawn(tick());
        context_.run();
    });
}

void NetworkThread::serve(net::Accepted accepted) {
    tasks_.spawn(run_session(std::move(accepted)));
}

awaitable<void> NetworkThread::run_session(net::Accepted accepted) {
    SessionDriver session(*services_, lane_, std::move(accepted));
    // Its socket was on its way here when the others were told.
    if (goodbye_) session.end(*goodbye_);
    co_await session.run();
}

/// Once a second: how late the loop is, and what has been idle too long.
awaitable<void> NetworkThread::tick() {
    int seconds = 0;
    while (!finishing_) {
        const auto due = clock::now() + std::chrono::seconds(1);
        ticker_.expires_at(due);
        (void)co_await ticker_.async_wait(as_value);
        if (finishing_) break;
        const std::chrono::duration<double> late = clock::now() - due;
        events_.emit(event::LoopLag{.thread = index_, .seconds = late.count()});
        if (++seconds % 10 == 0) co_await pool_.sweep(clock::now());
    }
}

void NetworkThread::use_resolvers(std::vector<std::string> resolvers) {
    resolvers_.push_back(
        std::make_unique<net::Resolver>(context_, resolver_options(std::move(resolvers))));
    pool_.use(*resolvers_.back());
}

void NetworkThread::end_sessions(const std::string& account, const proto::Reply& reply) {
    for (SessionDriver* session : lane_.sessions) {
        if (account.empty()) {
            session->end(reply);
        } else if (session->account() == account) {
            session->revoke(reply);
        }
    }
}

void NetworkThread::drain(const proto::Reply& reply) {
    goodbye_ = reply;
    end_sessions("", reply);
}

void NetworkThread::recheck_sessions(const std::string& account, const proto::Reply& reply) {
    for (SessionDriver* session : lane_.sessions) {
        if (session->account() == account) session->recheck(reply);
    }
}

void NetworkThread::abort_sessions() {
    for (SessionDriver* session : lane_.sessions) session->abort();
}

void NetworkThread::finish() {
    finishing_ = true;
    ticker_.cancel();
    pool_.stop();
    work_.reset();
}

void NetworkThread::join() {
    if (thread_.joinable()) thread_.join();
}

}  // namespace postern::relay
