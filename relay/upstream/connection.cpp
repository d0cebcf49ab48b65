#include "relay/upstream/connection.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "proto/stuffing.hpp"
#include "relay/config/config.hpp"
#include "relay/net/connect.hpp"

namespace postern::relay {

namespace {

using proto::ClientSession;
using proto::UpstreamStage;
using std::chrono::seconds;
using clock = std::chrono::steady_clock;

constexpr seconds connect_patience{3};  // TCP and TLS together, while a client waits
constexpr seconds hello_patience{5};    // each of greeting, EHLO, AUTH, while a client waits
constexpr seconds spooled_connect{30};  // TCP of a spooled message
constexpr seconds write_patience{180};  // a block of data, RFC 5321 4.5.3.2.5
/// Bodies up to this leave in one write with the final dot; larger ones go first, so that the
/// instant of the dot is known.
constexpr std::uint64_t together = 64U * 1024U;
/// So much of a larger body is stuffed and written at a time.
constexpr std::size_t window = std::size_t{64} * 1024;

ClientSession::Settings machine_settings(const PathSettings& path) {
    ClientSession::Settings out;
    out.hostname = path.hostname;
    out.implicit_tls = path.upstream.implicit_tls;
    out.want_starttls = path.tls != nullptr && !path.upstream.implicit_tls;
    out.username = path.upstream.username;
    out.password = path.upstream.password;
    out.mechanisms = path.login->mechanisms();
    return out;
}

bool early(UpstreamStage stage) {
    return stage == UpstreamStage::greeting || stage == UpstreamStage::ehlo ||
           stage == UpstreamStage::starttls || stage == UpstreamStage::auth ||
           stage == UpstreamStage::noop;
}

ClientSession::Failed transport_failure(UpstreamStage stage, const error_code& error) {
    ClientSession::Failed out;
    out.stage = stage;
    out.kind = error == asio::error::timed_out ? ClientSession::Failed::Kind::timeout
                                               : ClientSession::Failed::Kind::eof;
    out.reply.text = error.message();
    return out;
}

}  // namespace

Connection::Connection(PathPtr path, Path::Slot slot, event::Stream& events)
    : path_(std::move(path)),
      slot_(std::move(slot)),
      events_(events),
      machine_(machine_settings(path_->settings())),
      login_(path_->settings().login) {}

awaitable<error_code> Connection::open_stream(asio::io_context& context, net::Resolver& resolver,
                                              SteadyTime deadline) {
    const config::Upstream& upstream = path_->settings().upstream;
    const auto started = clock::now();
    auto addresses = co_await resolver.resolve(upstream.address.host);
    events_.emit(
        event::Lookup{.kind = "address",
                      .name = upstream.address.host,
                      .result = addresses ? "ok" : addresses.error().message(),
                      .seconds = std::chrono::duration<double>(clock::now() - started).count()});
    if (!addresses) co_return addresses.error();
    if (path_->settings().tls == nullptr) {
        // A name may resolve to an address that is not ours to speak to in the clear.
        std::erase_if(*addresses, [&](const asio::ip::address& address) {
            return !config::may_go_plain(upstream, address.to_string());
        });
        if (addresses->empty()) co_return error_code(asio::error::access_denied);
    }
    if (closed_) co_return error_code(asio::error::operation_aborted);
    net::ConnectOptions options;
    options.deadline = deadline;
    if (!upstream.source_address.empty())
        options.source_address = asio::ip::make_address(upstream.source_address);
    options.stop = &connecting_;
    auto stream =
        co_await net::connect(context, std::move(*addresses), upstream.address.port, options);
    if (!stream) co_return stream.error();
    stream_.emplace(std::move(*stream));
    co_return error_code{};
}

awaitable<std::optional<Connection::Failed>> Connection::establish(asio::io_context& context,
                                                                   net::Resolver& resolver,
                                                                   Patience patience) {
    const config::Upstream& upstream = path_->settings().upstream;
    const auto started = clock::now();
    const auto deadline =
        started + (patience == Patience::client_waits ? connect_patience : spooled_connect);
    if (const error_code error = co_await open_stream(context, resolver, deadline); error) {
        co_return transport_failure(UpstreamStage::connect, error);
    }
    if (upstream.implicit_tls && path_->settings().tls != nullptr) {
        stream_->set_deadline(deadline);
        const error_code error = co_await stream_->start_tls_client(
            path_->settings().tls, upstream.address.host, net::TlsStart::implicit,
            fmt::format("{}:{}", upstream.address.host, upstream.address.port));
        if (error) co_return transport_failure(UpstreamStage::tls, error);
        machine_.tls_started();
    }
    events_.emit(event::UpstreamTime{
        .upstream = path_->name(),
        .stage = "connect",
        .seconds = std::chrono::duration<double>(clock::now() - started).count()});
    Action action = co_await drive(patience, nullptr);
    auto* failed = std::get_if<Failed>(&action);
    login_.ended(failed);
    if (failed != nullptr) co_return std::move(*failed);
    path_->met(machine_.offer());
    ready_ = true;
    co_return std::nullopt;
}

awaitable<AttemptResult> Connection::send(AttemptPtr attempt) {
    const Outgoing& outgoing = attempt->outgoing();
    AttemptResult result;
    ready_ = false;
    heard_ = false;
    result.dsn_offered = machine_.offer().dsn;
    ClientSession::Message message;
    message.envelope = outgoing.envelope;
    message.recipients = outgoing.recipients;
    message.size = outgoing.size;
    message.eight_bit_data = outgoing.envelope->body == proto::Body::eight_bit_mime;
    machine_.send_message(std::move(message));
    const Attempt::OnAbandon closing(*attempt, [this] { close(); });
    Action action = co_await drive(
        attempt->client_waits() ? Patience::client_waits : Patience::spooled, attempt);
    pending_.clear();
    ++messages;
    if (auto* done = std::get_if<ClientSession::MessageDone>(&action)) {
        result.how = AttemptResult::How::answered;
        result.results = std::move(done->results);
        ready_ = std::holds_alternative<ClientSession::Ready>(machine_.next());
        co_return result;
    }
    auto& failed = std::get<Failed>(action);
    result.how = failed.dot_sent ? AttemptResult::How::in_doubt : AttemptResult::How::broken;
    if (attempt->abandoned()) result.how = AttemptResult::How::abandoned;
    result.results = std::move(failed.results);
    result.failure = std::move(failed);
    co_return result;
}

awaitable<std::optional<Connection::Failed>> Connection::noop() {
    machine_.noop();
    Action action = co_await drive(Patience::client_waits, nullptr);
    if (auto* failed = std::get_if<Failed>(&action)) co_return std::move(*failed);
    co_return std::nullopt;
}

awaitable<void> Connection::quit() {
    ready_ = false;
    if (!stream_ || !stream_->is_open()) co_return;
    machine_.quit();
    if (std::holds_alternative<ClientSession::Send>(machine_.next())) {
        stream_->set_deadline(seconds(1));
        (void)co_await stream_->write(machine_.output());  // Nobody waits for the 221.
    }
    co_await stream_->shutdown();
}

void Connection::close() noexcept {
    closed_ = true;
    connecting_.stop();
    login_.stop();
    if (stream_) stream_->close();
}

bool Connection::still_good() {
    if (!ready_ || !stream_ || !stream_->is_open()) return false;
    take_in();
    ready_ = std::holds_alternative<ClientSession::Ready>(machine_.next());
    return ready_;
}

awaitable<Connection::Action> Connection::drive(Patience patience, AttemptPtr attempt) {
    for (;;) {
        Action action = machine_.next();
        if (const auto* what = std::get_if<ClientSession::Read>(&action)) {
            const auto started = clock::now();
            co_await read(*what, patience);
            if (what->stage != UpstreamStage::noop && what->stage != UpstreamStage::quit)
                events_.emit(event::UpstreamTime{
                    .upstream = path_->name(),
                    .stage = std::string(name(what->stage)),
                    .seconds = std::chrono::duration<double>(clock::now() - started).count()});
        } else if (std::holds_alternative<ClientSession::Send>(action)) {
            co_await flush(clock::now() + write_patience);
        } else if (std::holds_alternative<ClientSession::StartTls>(action)) {
            const config::Upstream& upstream = path_->settings().upstream;
            stream_->set_deadline(patience == Patience::client_waits ? connect_patience
                                                                     : spooled_connect);
            const error_code error = co_await stream_->start_tls_client(
                path_->settings().tls, upstream.address.host, net::TlsStart::upgrade,
                fmt::format("{}:{}", upstream.address.host, upstream.address.port));
            if (error) co_return transport_failure(UpstreamStage::tls, error);
            machine_.tls_started();
        } else if (auto* turn = std::get_if<ClientSession::Sasl>(&action)) {
            co_await login_.take_turn(
                machine_, std::move(*turn),
                clock::now() +
                    (patience == Patience::client_waits ? hello_patience : spooled_connect));
        } else if (std::holds_alternative<ClientSession::SendBody>(action)) {
            co_await body(attempt);
        } else if (std::holds_alternative<ClientSession::FinalDot>(action)) {
            take_in();  // An answer that came before the dot is no answer.
            if (attempt->may_send_dot()) {
                machine_.final_dot_allowed();
            } else {
                machine_.eof();
            }
        } else {
            co_return action;
        }
    }
}

awaitable<void> Connection::read(ClientSession::Read what, Patience patience) {
    if (!read_deadline_) {
        seconds limit = what.deadline;
        if (patience == Patience::client_waits && early(what.stage))
            limit = std::min(limit, hello_patience);
        read_deadline_ = clock::now() + limit;
    }
    // Octets that trickle in do not move it: a reply is whole by then.
    stream_->set_deadline(*read_deadline_);
    if (!stream_->has_buffered()) {
        if (const error_code error = co_await stream_->wait_readable(); error) {
            if (error == asio::error::timed_out) {
                machine_.timed_out();
            } else {
                machine_.eof();
            }
            co_return;
        }
    }
    take_in();
}

/// Feeds the machine whatever is there, without waiting.
void Connection::take_in() {
    std::array<char, 4096> buffer;
    const auto got = stream_->try_read(buffer);
    if (!got) {
        if (got.error() != net::Error::would_block) machine_.eof();
        return;
    }
    if (*got == 0) {
        machine_.eof();
        return;
    }
    heard_ = true;
    machine_.feed({buffer.data(), *got});
}

/// Stuffs and writes window by window: a body of short lines makes many views, and a fast peer must
/// not keep the thread for itself.
awaitable<void> Connection::body(const AttemptPtr& attempt) {
    const bool large = attempt->outgoing().size > together;
    proto::DotStuffer stuffer;
    std::size_t gathered = 0;
    for (std::string_view piece : attempt->outgoing().pieces) {
        while (!piece.empty()) {
            const std::string_view part = piece.substr(0, window);
            piece.remove_prefix(part.size());
            stuffer.add(part, pending_);
            gathered += part.size();
            if (!large || gathered < window) continue;
            gathered = 0;
            if (!co_await write_body()) co_return;
            co_await asio::post(stream_->executor(), asio::use_awaitable);
        }
    }
    stuffer.end_text(pending_);
    if (large && !co_await write_body()) co_return;
    machine_.body_sent();
}

awaitable<bool> Connection::write_body() {
    stream_->set_deadline(write_patience);
    const error_code error = co_await stream_->write(pending_);
    pending_.clear();
    if (!error) co_return true;
    if (error == asio::error::timed_out) {
        machine_.timed_out();
    } else {
        machine_.eof();
    }
    co_return false;
}

awaitable<void> Connection::flush(SteadyTime deadline) {
    read_deadline_.reset();
    pending_.push_back(machine_.output());
    stream_->set_deadline(deadline);
    const error_code error = co_await stream_->write(pending_);
    pending_.clear();
    if (error) {
        if (error == asio::error::timed_out) {
            machine_.timed_out();
        } else {
            machine_.eof();
        }
        co_return;
    }
    machine_.sent();
}

}  // namespace postern::relay
