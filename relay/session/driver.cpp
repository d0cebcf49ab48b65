#include "relay/session/driver.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "policy/source.hpp"
#include "relay/net/proxy.hpp"
#include "relay/net/unmapped.hpp"
#include "relay/session/sameness.hpp"
#include "relay/session/transaction.hpp"

namespace postern::relay {

namespace {

using clock = std::chrono::steady_clock;
using proto::Session;
using std::chrono::seconds;

constexpr seconds handshake_patience{30};
constexpr seconds write_patience{120};
/// However it keeps itself busy, a connection that has not logged in by then is ended.
constexpr seconds stranger_patience{600};
/// A message that comes slower than this, on the whole once it had `rate_grace` or in any
/// `rate_window`, is a slow-loris.
constexpr double least_octets_a_second = 128;
constexpr seconds rate_grace{60};
constexpr seconds rate_window{180};
/// A message holds memory from MAIL on: so long, in all, may its commands let us wait.
constexpr seconds commands_patience{600};
/// Memory must not be had for a trickle without end: a message has an hour, and for the largest one
/// the time that it takes at so many octets a second.
constexpr seconds message_patience{3600};
constexpr std::uint64_t slow_line = 4096;
/// A block that has less room than this is left to its slices and a new one taken.
constexpr std::size_t least_room = 2048;
/// A network that may be one line's (IPv4 /24, IPv6 /48) has as many connections as so many
/// sources.
constexpr std::size_t network_share = 4;
/// Transactions given up by the client or refused, one after the other, and the session is ended.
constexpr int most_discarded = 100;
/// So many octets of one connection, and the others of its thread come in turn.
constexpr std::size_t fair_share = std::size_t{256} * 1024;
/// What a command that has to be judged counts as, in octets.
constexpr std::size_t judgement_share = std::size_t{4} * 1024;

std::string text_of(const asio::ip::address& address) {
    return net::unmapped(address).to_string();
}

bool among(const std::vector<config::Network>& networks, const std::string& address) {
    return std::ranges::any_of(networks,
                               [&](const config::Network& n) { return n.contains(address); });
}

}  // namespace

SessionDriver::SessionDriver(Services& services, Lane& lane, net::Accepted accepted)
    : services_(services),
      lane_(lane),
      stream_(std::move(accepted.socket)),
      snapshot_(services.current.get()),
      listener_(accepted.listener),
      token_(std::move(accepted.token)),
      id_(fmt::format("s{}", services.sessions_made.fetch_add(1) + 1)),
      client_ip_(text_of(accepted.peer.address())),
      pause_(lane.context) {
    lane_.sessions.push_back(this);
    services_.by_listener[listener_].fetch_add(1);
    started_ = clock::now();
}

SessionDriver::~SessionDriver() {
    if (counted_) services_.connections.fetch_sub(1);
    services_.by_listener[listener_].fetch_sub(1);
    std::erase(lane_.sessions, this);
}

awaitable<void> SessionDriver::run() {
    const config::Listen& listen = snapshot_->config->server.listen[listener_];
    if (listen.proxy && among(snapshot_->config->server.proxy_from, client_ip_)) {
        const auto proxied = co_await net::read_proxy_header(stream_);
        if (!proxied) {
            services_.events.emit(event::Connect{.session = id_,
                                                 .source = policy::canonical_source(client_ip_),
                                                 .listener = listen.name,
                                                 .result = "proxy"});
            co_return;
        }
        if (proxied->proxied) client_ip_ = text_of(proxied->source.address());
    }
    source_ = policy::canonical_source(client_ip_);
    machine_.emplace(snapshot_->settings_of(listen), services_.make_ref);
    const bool admitted = co_await admit();
    if (admitted || !aborted_) co_await converse();
    drain_notes();
    if (transaction_) transaction_.reset();
    services_.events.emit(
        event::Disconnect{.session = id_, .reason = end_reason_.empty() ? "closed" : end_reason_});
}

/// The connect stage. False: refused (the machine says so) or gone.
awaitable<bool> SessionDriver::admit() {
    const config::Listen& listen = snapshot_->config->server.listen[listener_];
    const std::size_t open = services_.connections.fetch_add(1) + 1;
    counted_ = true;
    const config::Resources& resources = snapshot_->config->resources;
    const std::size_t most = resources.max_connections_per_source;
    auto guard = services_.guard.on_connect(source_, clock::now());
    if (guard.known) stream_.prefer();
    by_source_ = services_.sources.take(source_, most);
    // Its neighbours must not keep out somebody who is known.
    if (by_source_ && !guard.known) {
        by_network_ = services_.sources.take(policy::wide_source(source_), most * network_share);
        if (!by_network_) by_source_.release();
    }
    penalty_place_ = std::move(guard.place);  // Held until the refusal is out.
    policy::Facts known;
    known.source = source_;
    known.connections = open;
    known.connections_of_source = by_source_ ? 1 : most + 1;
    policy::Answers answers;
    answers.guard_refuses = guard.would_refuse;
    const policy::Verdict verdict =
        policy::decide(policy::Stage::connect, known, answers, snapshot_->policy);
    for (const policy::RuleSeen& seen : verdict.rules) {
        services_.events.emit(
            event::Verdict{.rule = seen.rule, .mode = seen.mode, .verdict = seen.verdict});
    }
    std::string result = "accepted";
    if (!verdict.accepted()) result = verdict.rule == "login_guard" ? "penalty" : "full";
    services_.events.emit(event::Connect{
        .session = id_, .source = source_, .listener = listen.name, .result = result});
    if (verdict.accepted()) co_return true;
    end_reason_ = result;
    if (result == "penalty" && guard.delay.count() > 0 && !co_await pause(guard.delay))
        co_return false;
    // Before TLS there are no words: a handshake only to refuse is not worth what it costs in a
    // crowd.
    if (listen.tls == config::ListenTls::implicit && stream_.handshakes_crowd()) {
        aborted_ = true;
        co_return false;
    }
    machine_->refuse_connection(verdict.reply);
    co_return false;
}

awaitable<void> SessionDriver::converse() {
    const bool implicit =
        snapshot_->config->server.listen[listener_].tls == config::ListenTls::implicit;
    bool greeted = implicit;  // A client that speaks TLS first does as it should.
    for (;;) {
        if (aborted_) co_return;
        Session::Action action = machine_->next();
        if (const auto* what = std::get_if<Session::Read>(&action)) {
            co_await read(*what);
        } else if (std::holds_alternative<Session::Send>(action)) {
            if (!std::exchange(greeted, true) && end_reason_.empty()) {
                // Whoever speaks before the greeting is no mail program.
                block_ = lane_.buffers.small();
                if (const auto early = stream_.try_read(block_->span()); early && *early > 0) {
                    machine_->feed({block_->data(), *early});
                    continue;
                }
                block_.reset();
            }
            co_await write();
        } else if (std::holds_alternative<Session::StartTls>(action)) {
            co_await start_tls(implicit ? net::TlsStart::implicit : net::TlsStart::upgrade);
        } else if (auto* auth = std::get_if<Session::Auth>(&action)) {
            unbroken_ += judgement_share;
            co_await authenticate(std::move(*auth));
        } else if (std::holds_alternative<Session::AuthAborted>(action)) {
            exchange_.reset();
            farewell_.reset();
            attempt_ = {};
            guarded_ = false;
        } else if (const auto* ask = std::get_if<Session::Ask>(&action)) {
            unbroken_ += judgement_share;
            co_await judge(ask->stage);
        } else if (const auto* chunk = std::get_if<Session::BodyChunk>(&action)) {
            take_chunk(*chunk);
        } else if (std::holds_alternative<Session::Commit>(action)) {
            co_await commit();
        } else if (std::holds_alternative<Session::Discard>(action)) {
            drain_notes();
            const bool in_vain = transaction_ && transaction_->has_recipients;
            transaction_.reset();
            // Given up or refused, a transaction costs no tokens: it must not be had without end.
            if (in_vain && ++discarded_ == most_discarded)
                end({421, "4.7.0", "too many messages given up or refused", true});
        } else {
            drain_notes();
            if (std::get<Session::Finish>(action).clean) end_reason_ = "quit";
            co_await stream_.shutdown();
            co_return;
        }
    }
}

awaitable<void> SessionDriver::read(Session::Read what) {
    drain_notes();
    if (ending_) {
        proto::Reply reply = std::move(*std::exchange(ending_, nullptr));
        // An account that may send no more does not finish what it is sending.
        if (revoked_) {
            machine_->cut_off(std::move(reply));
        } else {
            machine_->shut_down(std::move(reply));
        }
        co_return;
    }
    if (!machine_->in_transaction()) offer();
    const auto now = clock::now();
    if (!std::exchange(command_open_, true)) command_deadline_ = now + what.deadline;
    SteadyTime deadline = what.in_data ? now + what.deadline : command_deadline_;
    if (account_name_.empty()) deadline = std::min(deadline, started_ + stranger_patience);
    if (what.in_data && too_slow()) deadline = now;
    if (transaction_) {
        const seconds body(transaction_->snapshot->config->message.max_size / slow_line);
        deadline = std::min(deadline, transaction_->began + message_patience + body);
        if (!what.in_data)
            deadline = std::min(deadline, now + commands_patience - transaction_->waited);
        // What is refused at its end is read on, and kept no longer.
        if (what.in_data && machine_->body_refused()) transaction_->forget_body();
    }
    // The block is kept only while a body is read into it: an idle connection holds none.
    const bool room = block_ && what.in_data && block_->size() - block_used_ >= least_room;
    if (!room) {
        block_.reset();
        block_used_ = 0;
    }
    stream_.set_deadline(deadline);
    error_code error;
    if (deadline <= now) error = asio::error::timed_out;
    result<std::size_t> got = 0;
    while (!error) {
        if (!stream_.has_buffered()) error = co_await stream_.wait_readable();
        if (error) break;
        if (!block_) {
            // Octets that are swallowed belong to no transaction.
            const std::uint64_t so_far = transaction_ ? transaction_->octets : 0;
            const bool large = what.in_data && (so_far >= net::BufferPool::small_size ||
                                                what.want > net::BufferPool::small_size);
            block_ = large ? lane_.buffers.large() : lane_.buffers.small();
            block_used_ = 0;
        }
        got = stream_.try_read(block_->span().subspan(block_used_));
        if (got || got.error() != net::Error::would_block) break;
    }
    if (transaction_ && !what.in_data) transaction_->waited += clock::now() - now;
    if (error && error == asio::error::operation_aborted && (ending_ || aborted_)) co_return;
    if (error == asio::error::timed_out) {
        end_reason_ = "timeout";
        stream_.clear_deadline();
        machine_->timed_out();
        co_return;
    }
    if (error || !got || *got == 0) {
        end_reason_ = "client left";
        machine_->eof();
        co_return;
    }
    const std::string_view fresh(block_->data() + block_used_, *got);
    block_used_ += *got;
    // Those that are swallowed, too: a body that is refused at its end comes as fast as any other.
    if (transaction_ && what.in_data) transaction_->arrived += *got;
    // Until a login is over, what was read may hold a secret: the machine wipes its own copies,
    // this one is ours.
    if (account_name_.empty()) block_->holds_secret(block_used_);
    unbroken_ += *got;
    if (unbroken_ >= fair_share) {
        unbroken_ = 0;
        co_await asio::post(lane_.context, asio::use_awaitable);
    }
    if (account_name_.empty()) offer_mechanisms();
    machine_->feed(fresh);
}

/// A body that trickles in keeps a connection and memory for hours.
bool SessionDriver::too_slow() {
    if (!transaction_) return false;
    Transaction& t = *transaction_;
    const SteadyTime now = clock::now();
    if (t.data_began == SteadyTime{}) t.data_began = t.rate_since = now;
    const auto slow = [](std::uint64_t octets, std::chrono::duration<double> time) {
        return static_cast<double>(octets) < time.count() * least_octets_a_second;
    };
    if (now - t.data_began > rate_grace && slow(t.arrived, now - t.data_began)) return true;
    if (now - t.rate_since <= rate_window) return false;
    // Window by window: what came fast at first must not pay for the hours after.
    const std::uint64_t fresh = t.arrived - std::exchange(t.rate_octets, t.arrived);
    return slow(fresh, now - std::exchange(t.rate_since, now));
}

awaitable<void> SessionDriver::write() {
    drain_notes();
    command_open_ = false;
    stream_.set_deadline(write_patience);
    const error_code error = co_await stream_.write(machine_->output());
    penalty_place_ = {};
    if (error) {
        end_reason_ = error == asio::error::timed_out ? "timeout" : "client left";
        machine_->eof();
        co_return;
    }
    machine_->sent();
}

awaitable<void> SessionDriver::start_tls(net::TlsStart start) {
    stream_.set_deadline(handshake_patience);
    const auto& configured =
        snapshot_->config->mechanisms_of(snapshot_->config->server.listen[listener_]);
    const bool external = std::ranges::find(configured, "EXTERNAL") != configured.end();
    const error_code error = co_await stream_.start_tls_server(
        snapshot_->tls, start,
        external ? net::ClientCertificates::asked_for : net::ClientCertificates::left_out);
    if (error) {
        services_.events.emit(event::TlsHandshake{.version = "", .result = "failed"});
        end_reason_ = "TLS: " + error.message();
        machine_->eof();
        co_return;
    }
    const net::TlsInfo info = stream_.tls_info();
    tls_version_ = info.version;
    services_.events.emit(
        event::TlsHandshake{.version = info.version, .result = info.resumed ? "resumed" : "ok"});
    // Every TLS connection has the hash of our certificate to bind to, so -PLUS can always be
    // served; EXTERNAL only to those who have shown what could prove something.
    if (external) {
        if (auto shown = stream_.client_certificate())
            certificate_ = std::make_unique<auth::ClientCertificate>(std::move(*shown));
        using Validity = auth::ClientCertificate::Validity;
        if (certificate_ && certificate_->validity != Validity::good) {
            services_.events.log(
                event::Level::debug, "tls",
                fmt::format("{}: the client's certificate {}", id_,
                            certificate_->validity == Validity::expired ? "has expired"
                                                                        : "is not valid yet"));
            certificate_.reset();
        }
    }
    std::vector<std::string> own = own_mechanisms();
    scram_withheld_ = withholds_scram(snapshot_->config->auth, services_.accounts, own);
    machine_->tls_started(scram_withheld_ ? without_scram(own) : std::move(own));
}

/// Of this connection, once it has TLS; EHLO may name fewer.
std::vector<std::string> SessionDriver::own_mechanisms() const {
    std::vector<std::string> out =
        snapshot_->config->mechanisms_of(snapshot_->config->server.listen[listener_]);
    if (!certificate_) std::erase(out, "EXTERNAL");
    return out;
}

/// False: the session is to end.
awaitable<bool> SessionDriver::pause(std::chrono::milliseconds time) {
    pause_.expires_after(time);
    (void)co_await pause_.async_wait(as_value);
    co_return !aborted_ && !ending_;
}

void SessionDriver::offer() {
    const SnapshotPtr now = services_.current.get();
    const std::uint64_t ours = now->config->message.max_size;
    const std::uint64_t theirs = now->paths->largest_size();
    machine_->offer({.max_size = theirs == 0 ? ours : std::min(ours, theirs),
                     .eight_bit_mime = now->paths->any_offers(
                         {.size = 0, .eight_bit_mime = true, .smtputf8 = false}),
                     .smtputf8 = now->paths->any_offers(
                         {.size = 0, .eight_bit_mime = false, .smtputf8 = true})});
}

/// Accounts come and change while a connection lasts.
void SessionDriver::offer_mechanisms() {
    if (!tls_version_) return;
    std::vector<std::string> own = own_mechanisms();
    const bool withheld = withholds_scram(snapshot_->config->auth, services_.accounts, own);
    if (withheld == std::exchange(scram_withheld_, withheld)) return;
    machine_->change_mechanisms(withheld ? without_scram(own) : std::move(own));
}

void SessionDriver::drain_notes() {
    for (Session::Note& note : machine_->take_notes()) {
        services_.events.emit(event::Reply{.command = note.command, .code = note.code});
        // Refusals at the end of data are told with the message itself, but for those that the
        // machine made before anybody was asked.
        const bool judged =
            note.command == "end-of-data" && (!transaction_ || transaction_->judged);
        if (note.ref.empty() || note.code < 400 || judged) continue;
        const proto::Envelope& envelope = machine_->envelope();
        event::Attempt told{.session = id_,
                            .ref = note.ref,
                            .account = account_name_,
                            .customer = account_ ? account_->customer : "",
                            .source = source_,
                            .mail_from = refusal_ ? refusal_->mail_from : envelope.sender_text(),
                            .rcpt = refusal_ ? refusal_->rcpt : "",
                            .command = std::string(note.command),
                            .rule = "syntax",
                            .text = std::move(note.text),
                            .enhanced = std::move(note.enhanced),
                            .code = note.code};
        if (refusal_) {
            told.rule = std::string(refusal_->verdict.rule);
            told.rules = std::move(refusal_->verdict.rules);
            refusal_.reset();
        }
        services_.events.emit(std::move(told));
    }
}

void SessionDriver::revoke(proto::Reply reply) {
    revoked_ = true;
    ending_.reset();
    end(std::move(reply));
}

void SessionDriver::recheck(proto::Reply reply) {
    // Whoever changes an account puts it into the cache before anybody hears of it. Where it has
    // been pushed out since, the client logs in again.
    if (!still_stands(services_.accounts.find_cached(account_name_).get()))
        revoke(std::move(reply));
}

void SessionDriver::end(proto::Reply reply) {
    if (ending_) return;
    end_reason_ = reply.text;
    ending_ = std::make_unique<proto::Reply>(std::move(reply));
    pause_.cancel();
    stream_.interrupt();
}

void SessionDriver::abort() {
    aborted_ = true;
    pause_.cancel();
    stream_.close();
}

}  // namespace postern::relay
