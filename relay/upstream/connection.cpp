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

ClientSession::Settings machine_settings(const PathSettings& path, const Target& target) {
    ClientSession::Settings out;
    out.hostname = path.hostname;
    out.implicit_tls = target.implicit_tls;
    out.want_starttls = path.tls != nullptr && !target.implicit_tls;
    out.starttls_if_offered = path.upstream.tls == config::UpstreamTls::opportunistic;
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

/// Whether the next of several targets may do better: this one was not reached, is not the one
/// meant, or sends us away before anything was said.
bool worth_another(const ClientSession::Failed& failed) {
    using Kind = ClientSession::Failed::Kind;
    return failed.stage == UpstreamStage::connect || failed.stage == UpstreamStage::tls ||
           (failed.stage == UpstreamStage::greeting && failed.kind != Kind::timeout);
}

}  // namespace

Connection::Connection(PathPtr path, Path::Slot slot, event::Stream& events)
    : path_(std::move(path)),
      slot_(std::move(slot)),
      events_(events),
      machine_(machine_settings(path_->settings(), target_)),
      login_(path_->settings().login) {}

std::string Connection::place() const {
    return place_of(target_, address_);
}

Connection::Failed Connection::at_this_place(Failed failed) const {
    failed.place = place();
    return failed;
}

Connection::Failed Connection::transport_failure(UpstreamStage stage,
                                                 const error_code& error) const {
    const config::Upstream& upstream = path_->settings().upstream;
    Failed out;
    out.stage = stage;
    out.kind = error == asio::error::timed_out ? Failed::Kind::timeout : Failed::Kind::eof;
    out.reply.text = error.message();
    out.place = place();
    if (error == asio::error::access_denied && stage == UpstreamStage::connect)
        out.reply.text = "tls = \"none\" goes to loopback and private networks only";
    if (error == asio::error::address_family_not_supported && !upstream.source_address.empty())
        out.reply.text =
            "has no address of the family of source_address " + upstream.source_address;
    if (stage != UpstreamStage::tls) return out;
    const auto names = accepted_names(upstream.address, target_);
    if (net::names_another(error) && std::ranges::find(names, target_.host) == names.end()) {
        out.reply.text += fmt::format(
            "; found by DNS, it must name {}: to trust {} itself, write address = \"{}:{}\", or "
            "pin its key",
            names.front(), target_.host, target_.host, target_.port);
    }
    if (const std::string key = stream_ ? stream_->refused_key() : ""; !key.empty())
        out.reply.text += "; it is " + key;
    return out;
}

awaitable<error_code> Connection::open_stream(asio::io_context& context, net::Resolver& resolver,
                                              SteadyTime deadline) {
    const config::Upstream& upstream = path_->settings().upstream;
    auto records =
        co_await look_up(resolver, net::Question::address, target_.host, events_, deadline);
    if (!records) co_return records.error();
    net::Addresses addresses = std::move(records->addresses);
    if (path_->settings().tls == nullptr) {
        // A name may resolve to an address that is not ours to speak to in the clear.
        std::erase_if(addresses, [&](const asio::ip::address& address) {
            return !config::may_go_plain(upstream, address.to_string());
        });
        if (addresses.empty()) co_return error_code(asio::error::access_denied);
    }
    if (closed_) co_return error_code(asio::error::operation_aborted);
    net::ConnectOptions options;
    options.deadline = deadline;
    if (!upstream.source_address.empty())
        options.source_address = asio::ip::make_address(upstream.source_address);
    options.stop = &connecting_;
    std::optional<asio::ip::address> failed;
    options.failed = &failed;
    auto stream = co_await net::connect(context, std::move(addresses), target_.port, options);
    if (!stream) {
        if (failed) address_ = failed->to_string();
        co_return stream.error();
    }
    address_ = stream->peer().address().to_string();
    stream_.emplace(std::move(*stream));
    co_return error_code{};
}

awaitable<std::optional<Connection::Failed>> Connection::start_tls(net::TlsStart start) {
    std::vector<std::string> names = accepted_names(path_->settings().upstream.address, target_);
    std::string host = std::move(names.front());
    names.erase(names.begin());
    const error_code error = co_await stream_->start_tls_client(
        path_->settings().tls, std::move(host), start,
        fmt::format("{}:{}", target_.host, target_.port), std::move(names));
    if (error) co_return transport_failure(UpstreamStage::tls, error);
    machine_.tls_started();
    co_return std::nullopt;
}

awaitable<std::optional<Connection::Failed>> Connection::establish(asio::io_context& context,
                                                                   net::Resolver& resolver,
                                                                   Patience patience) {
    const config::Upstream& upstream = path_->settings().upstream;
    const auto deadline =
        clock::now() + (patience == Patience::client_waits ? connect_patience : spooled_connect);
    auto targets = co_await find_targets(resolver, upstream, events_, deadline);
    if (!targets) {
        Failed failed = transport_failure(UpstreamStage::connect, targets.error());
        failed.place = upstream.address.place();
        co_return failed;
    }
    std::optional<Failed> failed;
    for (std::size_t i = 0; i < targets->size(); ++i) {
        target_ = (*targets)[i];
        // Each gets half of what is left, the last one all of it.
        const auto now = clock::now();
        const bool last = i + 1 == targets->size();
        failed = co_await establish_at(context, resolver, patience,
                                       last ? deadline : now + (deadline - now) / 2);
        if (!failed || closed_ || !worth_another(*failed) || clock::now() >= deadline) break;
        if (last) break;
        events_.log(
            event::Level::info, "upstream",
            fmt::format("{}: {}; the next host is tried", path_->name(), describe(*failed)));
    }
    co_return failed;
}

awaitable<std::optional<Connection::Failed>> Connection::establish_at(asio::io_context& context,
                                                                      net::Resolver& resolver,
                                                                      Patience patience,
                                                                      SteadyTime deadline) {
    machine_ = ClientSession(machine_settings(path_->settings(), target_));
    stream_.reset();
    pending_.clear();
    read_deadline_.reset();
    address_.clear();
    const auto started = clock::now();
    if (const error_code error = co_await open_stream(context, resolver, deadline); error)
        co_return transport_failure(UpstreamStage::connect, error);
    if (target_.implicit_tls && path_->settings().tls != nullptr) {
        stream_->set_deadline(deadline);
        if (auto failed = co_await start_tls(net::TlsStart::implicit)) co_return failed;
    }
    events_.emit(event::UpstreamTime{
        .upstream = path_->name(),
        .stage = "connect",
        .seconds = std::chrono::duration<double>(clock::now() - started).count()});
    Action action = co_await drive(patience, nullptr);
    auto* failed = std::get_if<Failed>(&action);
    login_.ended(failed);
    if (failed != nullptr) co_return at_this_place(std::move(*failed));
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
    message.return_path = outgoing.return_path ? &*outgoing.return_path : nullptr;
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
    Failed failed = at_this_place(std::move(std::get<Failed>(action)));
    result.how = failed.dot_sent ? AttemptResult::How::in_doubt : AttemptResult::How::broken;
    if (attempt->abandoned()) result.how = AttemptResult::How::abandoned;
    result.results = std::move(failed.results);
    result.failure = std::move(failed);
    co_return result;
}

awaitable<std::optional<Connection::Failed>> Connection::noop() {
    machine_.noop();
    Action action = co_await drive(Patience::client_waits, nullptr);
    if (auto* failed = std::get_if<Failed>(&action)) co_return at_this_place(std::move(*failed));
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
            stream_->set_deadline(patience == Patience::client_waits ? connect_patience
                                                                     : spooled_connect);
            if (auto failed = co_await start_tls(net::TlsStart::upgrade))
                co_return std::move(*failed);
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
