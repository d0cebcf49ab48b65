#include "relay/admin/server.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <list>

#include "relay/admin/host_header.hpp"
#include "relay/admin/sockets.hpp"
#include "relay/net/task_group.hpp"

namespace postern::relay::admin {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using Local = asio::local::stream_protocol;
using HttpRequest = http::request<http::string_body>;
using HttpResponse = http::response<http::string_body>;

template <typename Protocol>
using StreamOf = beast::basic_stream<Protocol, asio::any_io_executor>;

/// Who speaks, as the connection tells.
struct Peer {
    Surface surface = Surface::socket;
    std::string who;
    std::string address;  ///< Of the port.
};

std::string header_of(const HttpRequest& from, std::string_view name) {
    const auto it = from.find(name);
    return it == from.end() ? std::string() : std::string(it->value());
}

HttpResponse to_http(Response answer, unsigned version, bool keep) {
    HttpResponse out(static_cast<http::status>(answer.status), version);
    out.set(http::field::content_type, answer.content_type);
    out.set(http::field::cache_control, "no-store");
    out.set("X-Content-Type-Options", "nosniff");
    out.keep_alive(keep);
    out.body() = std::move(answer.body);
    out.prepare_payload();
    return out;
}

/// What the peer is told of a request that could not be read; empty where nobody is there to be
/// told.
std::optional<Problem> unreadable(const error_code& error) {
    if (error == http::error::body_limit) return Problem(413, "invalid", "the body is too large");
    if (error == http::error::header_limit)
        return Problem(431, "invalid", "the header is too large");
    const bool of_http = error.category() == error_code(http::error::bad_method).category();
    if (!of_http || error == http::error::end_of_stream || error == http::error::partial_message)
        return std::nullopt;
    return Problem(400, "invalid", "no HTTP request");
}

Peer peer_of(const asio::basic_stream_socket<Local, asio::any_io_executor>& socket,
             int descriptor) {
    (void)socket;
    const auto uid = peer_uid(descriptor);
    return {Surface::socket, uid ? fmt::format("uid:{}", *uid) : "uid:unknown", ""};
}

Peer peer_of(const asio::basic_stream_socket<tcp, asio::any_io_executor>& socket, int) {
    error_code error;
    const auto endpoint = socket.remote_endpoint(error);
    const std::string address = error ? "" : endpoint.address().to_string();
    return {Surface::port, address, config::canonical_address(address).value_or("")};
}

}  // namespace

/// Whoever serves a connection keeps it: at the end of the process frames go in any order.
struct Server::State : std::enable_shared_from_this<Server::State> {
    struct Connection {
        Surface surface;
        std::string address;
        bool answering = false;
        std::function<void()> close;
    };

    State(asio::any_io_executor on, ServerSettings with, Offload run_off)
        : executor(on),
          settings(std::move(with)),
          offload(std::move(run_off)),
          tasks(on, [](std::string_view) {}) {}

    asio::any_io_executor executor;
    ServerSettings settings;
    const Api* api = nullptr;
    Offload offload;
    std::list<Local::acceptor> local;
    std::list<tcp::acceptor> port;
    std::vector<std::string> made;  ///< Socket files to take away at the end.
    std::list<Connection> connections;
    bool stopping = false;
    net::TaskGroup tasks;

    [[nodiscard]] bool trusts(const std::string& address) const {
        if (config::is_loopback(address)) return true;
        const auto networks =
            settings.metrics_from ? settings.metrics_from() : std::vector<config::Network>();
        return std::ranges::any_of(networks,
                                   [&](const config::Network& n) { return n.contains(address); });
    }

    [[nodiscard]] bool has_room(const Peer& peer) const {
        std::size_t of_surface = 0;
        std::size_t of_address = 0;
        for (const Connection& connection : connections) {
            if (connection.surface != peer.surface) continue;
            ++of_surface;
            if (connection.address == peer.address) ++of_address;
        }
        return of_surface < settings.max_connections &&
               (peer.surface == Surface::socket || of_address < settings.max_of_address);
    }
    [[nodiscard]] std::chrono::milliseconds patience(const Peer& peer) const {
        return peer.surface == Surface::port ? settings.port_deadline : settings.deadline;
    }

    /// Of one place; what systemd handed over goes before binding.
    error_code open(const config::AdminListen& place, SocketOwner owner);
    [[nodiscard]] Request to_request(const HttpRequest& from, const Peer& peer) const;
    [[nodiscard]] std::optional<Problem> refuse(const HttpRequest& from, const Peer& peer) const;

    template <typename Acceptor>
    awaitable<void> accept(Acceptor& acceptor);
    template <typename Protocol>
    awaitable<void> serve(StreamOf<Protocol> stream, Peer peer);
    template <typename Protocol>
    awaitable<bool> exchange(StreamOf<Protocol>& stream, beast::flat_buffer& buffer,
                             const Peer& peer, Connection& connection);
};

error_code Server::State::open(const config::AdminListen& place, SocketOwner owner) {
    Descriptor fd;
    const auto inherited = std::ranges::find(settings.inherited, place, &AdminSocket::place);
    if (inherited != settings.inherited.end()) {
        fd = Descriptor(inherited->descriptor);
        settings.inherited.erase(inherited);
    } else {
        auto bound = place.path.empty() ? listen_tcp(place.address, place.port)
                                        : listen_unix(place.path, owner);
        if (!bound) return bound.error();
        fd = std::move(*bound);
        if (!place.path.empty()) made.push_back(place.path);
    }
    error_code error;
    if (!place.path.empty()) {
        local.emplace_back(executor).assign(Local(), fd.get(), error);
    } else {
        const bool six = place.address.find(':') != std::string::npos;
        port.emplace_back(executor).assign(six ? tcp::v6() : tcp::v4(), fd.get(), error);
    }
    if (!error) (void)fd.release();
    return error;
}

Request Server::State::to_request(const HttpRequest& from, const Peer& peer) const {
    Request request;
    request.method = std::string(from.method_string());
    request.body = from.body();
    request.reason = header_of(from, "X-Reason");
    request.who = peer.who;
    request.surface = peer.surface;
    request.source_trusted = peer.surface == Surface::socket || trusts(peer.address);
    return request;
}

std::optional<Problem> Server::State::refuse(const HttpRequest& from, const Peer& peer) const {
    if (peer.surface == Surface::socket) return std::nullopt;
    // A page of another site that reaches us by a name of its own (DNS rebinding) has that name in
    // Host.
    if (is_our_host(header_of(from, "Host"), settings.hostname)) return std::nullopt;
    return Problem(403, "forbidden", "the Host header names another host");
}

/// One request and its answer; false: the connection ends.
template <typename Protocol>
awaitable<bool> Server::State::exchange(StreamOf<Protocol>& stream, beast::flat_buffer& buffer,
                                        const Peer& peer, Connection& connection) {
    http::request_parser<http::string_body> parser;
    parser.header_limit(settings.max_header);
    parser.body_limit(settings.max_body);
    stream.expires_after(patience(peer));
    const auto [read_error, read_size] =
        co_await http::async_read(stream, buffer, parser, as_value);
    std::optional<Problem> wrong;
    if (read_error) {
        wrong = unreadable(read_error);
        if (!wrong) co_return false;
    }
    connection.answering = true;
    stream.expires_never();
    Response answer;
    bool keep = !wrong && parser.get().keep_alive();
    if (!wrong) wrong = refuse(parser.get(), peer);
    if (!wrong) {
        const std::shared_ptr<Request> request =
            std::make_shared<Request>(to_request(parser.get(), peer));
        if (request->set_target(parser.get().target())) {
            std::function<Response()> work = [this, request] { return api->handle(*request); };
            answer = co_await offload(std::move(work));
        } else {
            wrong = Problem(400, "invalid", "the request's target is malformed");
        }
    }
    if (wrong) answer = problem(*wrong);
    keep = keep && !stopping;
    const unsigned version = read_error ? 11U : parser.get().version();
    HttpResponse response = to_http(std::move(answer), version, keep);
    stream.expires_after(patience(peer));
    const auto [write_error, write_size] = co_await http::async_write(stream, response, as_value);
    connection.answering = false;
    co_return keep && !write_error && !stopping;
}

template <typename Protocol>
awaitable<void> Server::State::serve(StreamOf<Protocol> stream, Peer peer) {
    const std::shared_ptr<State> alive = shared_from_this();
    const auto self = connections.insert(
        connections.end(), {peer.surface, peer.address, false, [&stream] { stream.close(); }});
    struct Out {
        std::list<Connection>& all;
        std::list<Connection>::iterator one;
        ~Out() { all.erase(one); }
    } const out{connections, self};
    beast::flat_buffer buffer;
    while (co_await exchange<Protocol>(stream, buffer, peer, *self)) {
    }
    error_code ignored;
    (void)stream.socket().shutdown(asio::socket_base::shutdown_send, ignored);
}

template <typename Acceptor>
awaitable<void> Server::State::accept(Acceptor& acceptor) {
    using Protocol = typename Acceptor::protocol_type;
    constexpr std::chrono::milliseconds pause{100};
    const std::shared_ptr<State> alive = shared_from_this();
    asio::steady_timer timer(executor);
    while (!stopping) {
        auto [error, socket] = co_await acceptor.async_accept(executor, as_value);
        if (stopping) break;
        if (error) {  // No descriptors: wait for some to come back.
            timer.expires_after(pause);
            co_await timer.async_wait(as_value);
            continue;
        }
        Peer peer = peer_of(socket, socket.native_handle());
        if (!has_room(peer)) continue;  // Closed as it goes out of scope.
        tasks.spawn(serve<Protocol>(StreamOf<Protocol>(std::move(socket)), std::move(peer)));
    }
}

Server::Server(asio::any_io_executor executor, ServerSettings settings, Offload offload)
    : state_(std::make_shared<State>(executor, std::move(settings), std::move(offload))) {}

Server::~Server() = default;

std::vector<Server::Failure> Server::open(std::uint32_t owner_uid, std::uint32_t owner_gid) {
    std::vector<Failure> failures;
    for (const config::AdminListen& place : state_->settings.listen) {
        if (const error_code error = state_->open(place, {owner_uid, owner_gid})) {
            const std::string name = place.path.empty()
                                         ? fmt::format("{} port {}", place.address, place.port)
                                         : place.path;
            failures.push_back({name, error});
        }
    }
    return failures;
}

awaitable<void> Server::run(const Api& api) {
    const std::shared_ptr<State> state = state_;
    state->api = &api;
    for (Local::acceptor& acceptor : state->local) state->tasks.spawn(state->accept(acceptor));
    for (tcp::acceptor& acceptor : state->port) state->tasks.spawn(state->accept(acceptor));
    co_await state->tasks.join();
}

void Server::stop() {
    state_->stopping = true;
    error_code ignored;
    for (Local::acceptor& acceptor : state_->local) (void)acceptor.close(ignored);
    for (tcp::acceptor& acceptor : state_->port) (void)acceptor.close(ignored);
    for (const std::string& path : state_->made) ::unlink(path.c_str());
    state_->made.clear();
    for (State::Connection& connection : state_->connections) {
        if (!connection.answering) connection.close();
    }
}

}  // namespace postern::relay::admin
