#include "relay/admin/server.hpp"

#include <sys/stat.h>

#include <fstream>
#include <thread>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>

#include "fixture.hpp"
#include "relay/cli/channel.hpp"

using namespace postern;
using namespace postern::relay;
using test::Fixture;

namespace {

awaitable<admin::Response> at_once(std::function<admin::Response()> work) {
    co_return work();
}

std::uint16_t free_port() {
    asio::io_context io;
    asio::ip::tcp::acceptor acceptor(io, {asio::ip::make_address("127.0.0.1"), 0});
    return acceptor.local_endpoint().port();
}

/// A server on a thread of its own, on a Unix socket and a port of loopback.
struct Running : Fixture {
    std::string path = folder.path() + "/run/admin.sock";
    std::uint16_t port = free_port();
    asio::io_context io{1};
    std::unique_ptr<admin::Api> api;
    std::unique_ptr<admin::Server> server;
    std::thread thread;

    explicit Running(std::size_t max_connections = 64, std::size_t max_of_address = 16) {
        ports.metrics = [] { return std::string("postern_up 1\n"); };
        ports.unready = [] { return std::vector<std::string>(); };
        api = std::make_unique<admin::Api>(ports);
        admin::ServerSettings settings;
        settings.listen = {{path, "", 0}, {"", "127.0.0.1", port}};
        settings.hostname = "smtp.example.net";
        settings.max_connections = max_connections;
        settings.max_of_address = max_of_address;
        settings.deadline = std::chrono::seconds(2);
        settings.port_deadline = std::chrono::seconds(1);
        server = std::make_unique<admin::Server>(io.get_executor(), std::move(settings), at_once);
        REQUIRE(server->open(::getuid(), ::getgid()).empty());
        asio::co_spawn(io, server->run(*api), [](const std::exception_ptr& e) {
            if (e) std::terminate();
        });
        thread = std::thread([this] { io.run(); });
    }
    ~Running() {
        asio::post(io, [this] { server->stop(); });
        thread.join();
    }

    /// Sends octets to the port; all that comes back until the peer closes.
    [[nodiscard]] std::string raw(const std::string& octets) const {
        asio::io_context mine;
        asio::ip::tcp::socket socket(mine);
        socket.connect({asio::ip::make_address("127.0.0.1"), port});
        boost::system::error_code error;
        asio::write(socket, asio::buffer(octets), error);
        std::string out;
        std::array<char, 4096> part{};
        while (true) {
            const std::size_t size = socket.read_some(asio::buffer(part), error);
            if (error) return out;
            out.append(part.data(), size);
        }
    }
    [[nodiscard]] std::string get(const std::string& target,
                                  const std::string& host = "localhost") const {
        return raw("GET " + target + " HTTP/1.1\r\nHost: " + host +
                   "\r\nConnection: close\r\n\r\n");
    }
};

}  // namespace

TEST_CASE("the command line's channel speaks to the socket, and its peer is recorded") {
    Running r;
    struct stat about{};
    REQUIRE(::stat(r.path.c_str(), &about) == 0);
    CHECK((about.st_mode & 0777U) == 0660);
    const auto channel = cli::connect_socket(r.path);
    REQUIRE(channel);
    cli::Call call;
    call.method = "POST";
    call.path = {"account"};
    call.body = {{"account", "ann@example.net"}, {"no_password", true}};
    call.reason = "why not";
    const auto added = channel->send(call);
    REQUIRE(added);
    CHECK(added->status == 200);
    // The connection is kept.
    cli::Call show;
    show.path = {"account", "ann@example.net"};
    REQUIRE(channel->send(show));
    CHECK(channel->send(show)->status == 200);
    const auto told = r.events.of<event::Admin>();
    REQUIRE(told.size() == 1);
    CHECK(told[0].by == "uid:" + std::to_string(::getuid()));
    CHECK(told[0].reason == "why not");
}

TEST_CASE("the port tells health and metrics and nothing else") {
    const Running r;
    CHECK(r.get("/healthz").starts_with("HTTP/1.1 200"));
    CHECK(r.get("/metrics").ends_with("postern_up 1\n"));
    CHECK(r.get("/readyz", "127.0.0.1:8025").starts_with("HTTP/1.1 200"));
    CHECK(r.get("/api/v1/account").starts_with("HTTP/1.1 401"));
    CHECK(r.get("/healthz", "evil.example").starts_with("HTTP/1.1 403"));
    CHECK(r.raw("GET /healthz HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 403"));
}

TEST_CASE("bad requests are told or dropped, and the server lives") {
    const Running r;
    CHECK(r.raw("EHLO x\r\n\r\n").starts_with("HTTP/1.1 400"));
    CHECK(r.raw(std::string("\0\xff\x16\x03\x01garbage\r\n\r\n", 16)).starts_with("HTTP/1.1 400"));
    CHECK(r.raw("GET /" + std::string(20'000, 'a') + " HTTP/1.1\r\n\r\n")
              .starts_with("HTTP/1.1 431"));
    CHECK(r.raw("POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n")
              .starts_with("HTTP/1.1 413"));
    CHECK(r.raw("GET /%zz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
              .starts_with("HTTP/1.1 400"));
    CHECK(r.raw("GET /healthz HTT").empty());  // Half a request, until the deadline.
    CHECK(r.get("/healthz").starts_with("HTTP/1.1 200"));
}

TEST_CASE("connections beyond the cap are closed at once, and the socket stays free") {
    const bool of_address = GENERATE(false, true);
    const Running r(of_address ? 64 : 1, of_address ? 1 : 16);
    asio::io_context mine;
    asio::ip::tcp::socket first(mine);
    first.connect({asio::ip::make_address("127.0.0.1"), r.port});
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    CHECK(r.get("/healthz").empty());
    const auto channel = cli::connect_socket(r.path);
    REQUIRE(channel);
    cli::Call list;
    list.path = {"account"};
    const auto answer = channel->send(list);
    REQUIRE(answer);
    CHECK(answer->status == 200);
    first.close();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    CHECK(r.get("/healthz").starts_with("HTTP/1.1 200"));
}

TEST_CASE("who says nothing on the port is let go soon") {
    const Running r;
    const auto before = std::chrono::steady_clock::now();
    CHECK(r.raw("GET /healthz HTTP/1.1\r\n").empty());
    CHECK(std::chrono::steady_clock::now() - before < std::chrono::milliseconds(1900));
}

TEST_CASE("the socket is its owner's, and new files are as closed as before") {
    const bool root = ::geteuid() == 0;
    const Fixture f;
    const std::string path = f.folder.path() + "/made/admin.sock";
    const mode_t before = ::umask(077);
    asio::io_context io;
    admin::ServerSettings settings;
    settings.listen = {{path, "", 0}};
    admin::Server server(io.get_executor(), settings, at_once);
    CHECK(server.open(root ? 65534 : ::getuid(), root ? 65534 : ::getgid()).empty());
    CHECK(::umask(before) == 077);
    struct stat about{};
    REQUIRE(::lstat(path.c_str(), &about) == 0);
    CHECK((about.st_mode & 0777U) == 0660);
    CHECK(about.st_uid == (root ? 65534 : ::getuid()));
    REQUIRE(::lstat((f.folder.path() + "/made").c_str(), &about) == 0);
    CHECK((about.st_mode & 0777U) == 0755);
    CHECK(about.st_uid == (root ? 65534 : ::getuid()));
}

TEST_CASE("a stale socket file is replaced, a live one and a file of another kind are not") {
    Running r;
    admin::ServerSettings settings;
    settings.listen = {{r.path, "", 0}};
    asio::io_context other;
    admin::Server second(other.get_executor(), settings, at_once);
    const auto failures = second.open(::getuid(), ::getgid());
    REQUIRE(failures.size() == 1);
    CHECK(failures[0].place == r.path);
    CHECK(failures[0].error == boost::system::errc::address_in_use);

    const std::string plain = r.folder.path() + "/plain";
    std::ofstream(plain) << "x";
    settings.listen = {{plain, "", 0}};
    admin::Server third(other.get_executor(), settings, at_once);
    CHECK(third.open(::getuid(), ::getgid()).size() == 1);
    CHECK(std::filesystem::exists(plain));

    const std::string stale = r.folder.path() + "/stale";
    {
        asio::local::stream_protocol::acceptor gone(other,
                                                    asio::local::stream_protocol::endpoint(stale));
    }
    REQUIRE(std::filesystem::exists(stale));
    settings.listen = {{stale, "", 0}};
    admin::Server fourth(other.get_executor(), settings, at_once);
    CHECK(fourth.open(::getuid(), ::getgid()).empty());
}
