#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/client_session.hpp"
#include "relay/asio.hpp"
#include "relay/net/connect.hpp"
#include "relay/net/resolver.hpp"
#include "relay/net/stream.hpp"
#include "relay/upstream/attempt.hpp"
#include "relay/upstream/login.hpp"
#include "relay/upstream/path.hpp"
#include "relay/upstream/targets.hpp"

namespace postern::relay {

/// How long a stage may take.
enum class Patience : std::uint8_t {
    client_waits,  ///< TCP and TLS 3 s together; greeting, EHLO, AUTH 5 s each; then as RFC 5321
                   ///< says.
    spooled,       ///< RFC 5321 4.5.3.2 throughout.
};

/// One connection to an upstream: the machine of proto/ and the stream that it speaks over. On one
/// thread. Tells no breaker anything: whoever uses it does.
class Connection {
  public:
    using Failed = proto::ClientSession::Failed;

    Connection(PathPtr path, Path::Slot slot, event::Stream& events);

    /// Finds where to, connects, greets, secures and logs in. Of several targets one that fails
    /// before its greeting, or refuses with it, is followed by the next. Unset: Ready.
    [[nodiscard]] awaitable<std::optional<Failed>> establish(asio::io_context& context,
                                                             net::Resolver& resolver,
                                                             Patience patience);
    /// Sends one message on a connection that is Ready.
    [[nodiscard]] awaitable<AttemptResult> send(AttemptPtr attempt);
    /// A synthetic sign of life for probes. Unset: alive.
    [[nodiscard]] awaitable<std::optional<Failed>> noop();
    /// Says QUIT and closes, within a second.
    [[nodiscard]] awaitable<void> quit();
    /// Ends it at once, connecting included.
    void close() noexcept;

    /// After an idle time: nothing unasked has come in and the peer is still there.
    [[nodiscard]] bool still_good();
    [[nodiscard]] const PathPtr& path() const noexcept { return path_; }
    /// The host and address in use, or that failed.
    [[nodiscard]] std::string place() const;
    [[nodiscard]] bool is_tls() const noexcept { return stream_ && stream_->is_tls(); }
    [[nodiscard]] const proto::UpstreamOffer& offer() const noexcept { return machine_.offer(); }
    [[nodiscard]] const std::string& mechanism() const noexcept { return machine_.mechanism(); }
    /// The last message ended so that another one may follow.
    [[nodiscard]] bool ready() const noexcept { return ready_; }
    /// Octets came in since the last message began: a connection that died without a word may just
    /// have been closed while idle.
    [[nodiscard]] bool heard() const noexcept { return heard_; }

    SteadyTime idle_since;
    std::uint32_t messages = 0;

  private:
    using Action = proto::ClientSession::Action;
    [[nodiscard]] awaitable<std::optional<Failed>> establish_at(asio::io_context& context,
                                                                net::Resolver& resolver,
                                                                Patience patience,
                                                                SteadyTime deadline);
    [[nodiscard]] awaitable<error_code> open_stream(asio::io_context& context,
                                                    net::Resolver& resolver, SteadyTime deadline);
    [[nodiscard]] awaitable<std::optional<Failed>> start_tls(net::TlsStart start);
    [[nodiscard]] Failed transport_failure(proto::UpstreamStage stage,
                                           const error_code& error) const;
    [[nodiscard]] Failed at_this_place(Failed failed) const;
    /// Carries actions out until Ready, MessageDone or Failed comes.
    [[nodiscard]] awaitable<Action> drive(Patience patience, AttemptPtr attempt);
    [[nodiscard]] awaitable<void> read(proto::ClientSession::Read what, Patience patience);
    [[nodiscard]] awaitable<void> flush(SteadyTime deadline);
    [[nodiscard]] awaitable<void> body(const AttemptPtr& attempt);
    [[nodiscard]] awaitable<bool> write_body();
    void take_in();

    PathPtr path_;
    Path::Slot slot_;
    event::Stream& events_;
    Target target_;
    std::string address_;  ///< Of the target, as far as it is known.
    proto::ClientSession machine_;
    LoginExchange login_;
    std::optional<net::Stream> stream_;
    net::ConnectStop connecting_;
    std::vector<std::string_view>
        pending_;  ///< Body pieces that wait to leave together with the dot.
    std::optional<SteadyTime> read_deadline_;  ///< Of the reply awaited now.
    bool closed_ = false;
    bool ready_ = false;
    bool heard_ = false;
};

}  // namespace postern::relay
