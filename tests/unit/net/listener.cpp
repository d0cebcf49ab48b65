#include "relay/net/listener.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <thread>

#include <boost/asio/read.hpp>

#include "relay/net/proxy.hpp"
#include "relay/net/task_group.hpp"
#include "tests/unit/net/support.hpp"

using namespace postern::test;

namespace {

using Count = std::shared_ptr<std::atomic<std::size_t>>;

Count count_from(std::size_t value = 0) {
    return std::make_shared<std::atomic<std::size_t>>(value);
}

tcp::endpoint loopback(const net::Listener& listener, bool v6 = false) {
    const auto port = listener.local().port();
    if (v6) return {asio::ip::address_v6::loopback(), port};
    return {asio::ip::address_v4::loopback(), port};
}

}  // namespace

TEST_CASE("each connection goes to the worker with the fewest sessions", "[net][listener]") {
    asio::io_context context(1);
    const Count one = count_from(3);
    const Count two = count_from(0);
    std::vector<net::Accepted> at_one;
    std::vector<net::Accepted> at_two;
    const std::vector<net::Worker> workers{
        {&context, one, [&](net::Accepted accepted) { at_one.push_back(std::move(accepted)); }},
        {&context, two, [&](net::Accepted accepted) { at_two.push_back(std::move(accepted)); }},
    };
    net::ListenOptions options;
    options.index = 7;
    net::Listener listener(context, *net::open_listening_socket("127.0.0.1:0"), workers, options);
    net::TaskGroup tasks(context.get_executor(), {});
    tasks.spawn(listener.run());
    std::vector<tcp::socket> clients;
    for (int i = 0; i < 5; ++i) {
        clients.emplace_back(context);
        clients.back().connect(loopback(listener));
    }
    context.run_for(100ms);
    CHECK(at_two.size() == 4);
    CHECK(at_one.size() == 1);
    CHECK(two->load() == 4);
    REQUIRE(!at_one.empty());
    CHECK(at_one[0].listener == 7);
    const auto peer = at_one[0].peer;
    CHECK((peer == clients[3].local_endpoint() || peer == clients[4].local_endpoint()));
    asio::ip::tcp::no_delay option;
    at_one[0].socket.get_option(option);
    CHECK(option.value());
    at_two.clear();
    CHECK(two->load() == 0);
    listener.stop();
    context.restart();
    context.run_for(100ms);
    CHECK(tasks.count() == 0);
}

TEST_CASE("connections that are gone at once go round", "[net][listener]") {
    asio::io_context context(1);
    int at_one = 0;
    int at_two = 0;
    const std::vector<net::Worker> workers{
        {&context, count_from(0), [&](net::Accepted) { ++at_one; }},
        {&context, count_from(0), [&](net::Accepted) { ++at_two; }},
    };
    net::Listener listener(context, *net::open_listening_socket("127.0.0.1:0"), workers, {});
    net::TaskGroup tasks(context.get_executor(), {});
    tasks.spawn(listener.run());
    for (int i = 0; i < 6; ++i) {
        tcp::socket client(context);
        client.connect(loopback(listener));
        context.run_for(20ms);
    }
    CHECK(at_one == 3);
    CHECK(at_two == 3);
    listener.stop();
    context.restart();
    context.run_for(100ms);
}

TEST_CASE("one listener takes IPv6 and IPv4", "[net][listener]") {
    asio::io_context context(1);
    std::vector<std::string> peers;
    const net::Worker worker{
        &context, count_from(), [&](net::Accepted accepted) {
            peers.push_back(accepted.peer.address().to_string());
            peers.push_back(net::Stream(std::move(accepted.socket)).peer().address().to_string());
        }};
    net::Listener listener(context, *net::open_listening_socket("[::]:0"), std::span(&worker, 1),
                           {});
    net::TaskGroup tasks(context.get_executor(), {});
    tasks.spawn(listener.run());
    tcp::socket four(context);
    four.connect(loopback(listener));
    tcp::socket six(context);
    six.connect(loopback(listener, true));
    context.run_for(100ms);
    CHECK(peers == std::vector<std::string>{"127.0.0.1", "127.0.0.1", "::1", "::1"});
    listener.stop();
    context.restart();
    context.run_for(50ms);
}

TEST_CASE("an address that cannot be listened on says why", "[net][listener]") {
    const auto first = net::open_listening_socket("127.0.0.1:0");
    REQUIRE(first);
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ::getsockname(*first, reinterpret_cast<sockaddr*>(&address), &size);
    const auto again =
        net::open_listening_socket("127.0.0.1:" + std::to_string(ntohs(address.sin_port)));
    REQUIRE(!again);
    CHECK(again.error() == boost::system::errc::address_in_use);
    ::close(*first);
    for (const char* bad :
         {"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "localhost:25", "127.0.0.1:2x"}) {
        CHECK(net::open_listening_socket(bad).error() == boost::system::errc::invalid_argument);
    }
}

TEST_CASE("without descriptors a connection is turned away with a word", "[net][listener]") {
    asio::io_context context(1);
    std::vector<net::Accepted> taken;
    const net::Worker worker{&context, count_from(),
                             [&](net::Accepted accepted) { taken.push_back(std::move(accepted)); }};
    net::ListenOptions options;
    options.refusal = "421 4.3.2 too many connections\r\n";
    net::Listener listener(context, *net::open_listening_socket("127.0.0.1:0"),
                           std::span(&worker, 1), options);
    net::TaskGroup tasks(context.get_executor(), {});
    tasks.spawn(listener.run());
    tcp::socket client(context);
    client.connect(loopback(listener));
    rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    rlimit tight = before;
    const int lowest_free = ::dup(0);
    ::close(lowest_free);
    tight.rlim_cur = static_cast<rlim_t>(lowest_free);
    ::setrlimit(RLIMIT_NOFILE, &tight);
    context.run_for(150ms);
    ::setrlimit(RLIMIT_NOFILE, &before);
    CHECK(taken.empty());
    CHECK(listener.exhausted() >= 1);
    std::string heard;
    error_code ec;
    asio::read(client, asio::dynamic_buffer(heard), ec);
    CHECK(heard == options.refusal);
    tcp::socket later(context);
    later.connect(loopback(listener));
    context.restart();
    context.run_for(300ms);
    CHECK(taken.size() == 1);
    listener.stop();
    context.restart();
    context.run_for(50ms);
}

TEST_CASE("sockets reach workers on other threads", "[net][listener]") {
    asio::io_context context(1);
    asio::io_context other(1);
    std::atomic<int> served{0};
    std::atomic<bool> right_thread{true};
    auto work = asio::make_work_guard(other);
    std::thread thread([&] { other.run(); });
    const auto id = thread.get_id();
    const net::Worker worker{&other, count_from(), [&](net::Accepted accepted) {
                                 if (std::this_thread::get_id() != id) right_thread = false;
                                 const net::Stream stream(std::move(accepted.socket));
                                 ++served;
                             }};
    net::Listener listener(context, *net::open_listening_socket("127.0.0.1:0"),
                           std::span(&worker, 1), {});
    net::TaskGroup tasks(context.get_executor(), {});
    tasks.spawn(listener.run());
    std::vector<tcp::socket> clients;
    for (int i = 0; i < 100; ++i) {
        clients.emplace_back(context);
        clients.back().connect(loopback(listener));
    }
    while (served < 100) context.run_for(10ms), context.restart();
    CHECK(right_thread);
    listener.stop();
    context.run_for(50ms);
    work.reset();
    thread.join();
}

namespace {

awaitable<void> reads_header(net::Stream& stream, result<net::ProxiedPeer>& out,
                             std::string& rest) {
    out = co_await net::read_proxy_header(stream, 200ms);
    if (out) rest = co_await read_exactly(stream, 6);
}

awaitable<void> sends(net::Stream& stream, std::string text, std::size_t step) {
    for (std::size_t at = 0; at < text.size(); at += step) {
        REQUIRE(!co_await stream.write(std::string_view(text).substr(at, step)));
        co_await pause(0ms);
    }
}

}  // namespace

TEST_CASE("a PROXY header is read, what follows stays", "[net][proxy]") {
    const auto step = static_cast<std::size_t>(GENERATE(1, 7, 1000));
    asio::io_context context(1);
    auto [server, client] = stream_pair(context);
    result<net::ProxiedPeer> peer = net::ProxiedPeer{};
    std::string rest;
    run(context, reads_header(server, peer, rest),
        sends(client, "PROXY TCP4 192.0.2.5 198.51.100.1 40000 587\r\nEHLO x\r\n", step));
    REQUIRE(peer.has_value());
    CHECK(peer->proxied);
    CHECK(peer->source == tcp::endpoint(asio::ip::make_address("192.0.2.5"), 40000));
    CHECK(peer->destination.port() == 587);
    CHECK(rest == "EHLO x");
}

TEST_CASE("a client that speaks SMTP where PROXY must come, or nothing at all", "[net][proxy]") {
    asio::io_context context(1);
    result<net::ProxiedPeer> peer = net::ProxiedPeer{};
    std::string rest;
    {
        auto [server, client] = stream_pair(context);
        run(context, reads_header(server, peer, rest), sends(client, "EHLO mail.example\r\n", 100));
        CHECK(peer.error() == net::Error::proxy_malformed);
    }
    auto [server, client] = stream_pair(context);
    run(context, reads_header(server, peer, rest));
    CHECK(peer.error() == boost::system::errc::timed_out);
}
