#include "relay/net/connect.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <list>
#include <utility>

#include <boost/asio/error.hpp>

namespace postern::relay::net {

namespace {

using asio::ip::tcp;

/// Several attempts at a time, of which the first that connects wins.
class Race : public std::enable_shared_from_this<Race> {
  public:
    Race(asio::io_context& context, std::vector<tcp::endpoint> targets, ConnectOptions options)
        : context_(context),
          targets_(std::move(targets)),
          options_(std::move(options)),
          head_start_(context),
          over_(context) {}

    awaitable<result<Stream>> run() {
        struct Out {
            Race& race;
            ~Out() { race.abandon(); }
        } out{*this};
        if (options_.stop != nullptr) options_.stop->now = [this] { stop(); };
        over_.expires_at(options_.deadline);
        start_next();
        if (!finished_) co_await over_.async_wait(as_value);
        if (winner_) {
            error_code ignored;
            winner_->set_option(tcp::no_delay(true), ignored);
            co_return Stream(std::move(*winner_));
        }
        tell_failed();
        co_return finished_ ? last_error_ : error_code(asio::error::timed_out);
    }

  private:
    void start_next() {
        while (next_ < targets_.size()) {
            const tcp::endpoint& target = targets_[next_++];
            const auto socket = sockets_.emplace(sockets_.end(), context_);
            error_code ec;
            socket->open(target.protocol(), ec);
            if (!ec && options_.source_address) {
                // The port is chosen on connecting, so that one port serves several destinations.
                const int yes = 1;
                ::setsockopt(socket->native_handle(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes,
                             sizeof yes);
                socket->bind(tcp::endpoint(*options_.source_address, 0), ec);
            }
            if (ec) {
                last_error_ = ec;
                failed_.push_back(target.address());
                sockets_.erase(socket);
                continue;
            }
            ++pending_;
            socket->async_connect(
                target, [self = shared_from_this(), socket, address = target.address()](
                            error_code result) { self->connected(socket, address, result); });
            if (next_ < targets_.size()) wait_head_start();
            return;
        }
        if (pending_ == 0) finish();
    }

    void wait_head_start() {
        head_start_.expires_after(options_.stagger);
        head_start_.async_wait([self = shared_from_this()](error_code ec) {
            if (!ec && !self->finished_) self->start_next();
        });
    }

    void connected(std::list<tcp::socket>::iterator socket, const asio::ip::address& address,
                   error_code ec) {
        if (finished_) return;
        --pending_;
        if (!ec) {
            winner_.emplace(std::move(*socket));
            finish();
            return;
        }
        last_error_ = ec;
        failed_.push_back(address);
        error_code ignored;
        socket->close(ignored);
        start_next();
    }

    /// Of a time-out: the first that has not answered.
    void tell_failed() const {
        if (options_.failed == nullptr || stopped_) return;
        if (finished_) {
            if (!failed_.empty()) *options_.failed = failed_.back();
            return;
        }
        const auto silent = std::ranges::find_if(targets_, [&](const tcp::endpoint& one) {
            return std::ranges::find(failed_, one.address()) == failed_.end();
        });
        if (silent != targets_.end()) *options_.failed = silent->address();
    }

    void finish() {
        finished_ = true;
        over_.cancel();
    }

    void stop() {
        if (finished_) return;
        stopped_ = true;
        last_error_ = asio::error::operation_aborted;
        finish();
    }

    void abandon() {
        if (options_.stop != nullptr) options_.stop->now = nullptr;
        finished_ = true;
        head_start_.cancel();
        sockets_.clear();
    }

    asio::io_context& context_;
    std::vector<tcp::endpoint> targets_;
    ConnectOptions options_;
    asio::steady_timer head_start_;
    asio::steady_timer over_;
    std::list<tcp::socket> sockets_;
    std::optional<tcp::socket> winner_;
    std::size_t next_ = 0;
    std::size_t pending_ = 0;
    error_code last_error_ = asio::error::address_family_not_supported;
    Addresses failed_;
    bool finished_ = false;
    bool stopped_ = false;
};

}  // namespace

awaitable<result<Stream>> connect(asio::io_context& context, Addresses addresses,
                                  std::uint16_t port, ConnectOptions options) {
    std::vector<tcp::endpoint> targets;
    for (const auto& address : addresses) {
        if (options.source_address && options.source_address->is_v6() != address.is_v6()) continue;
        targets.emplace_back(address, port);
    }
    const auto race = std::make_shared<Race>(context, std::move(targets), std::move(options));
    co_return co_await race->run();
}

}  // namespace postern::relay::net
