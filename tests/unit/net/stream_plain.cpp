#include <array>
#include <random>

#include <boost/asio/error.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include "tests/unit/net/support.hpp"

using namespace postern::test;
using net::Error;
using net::Stream;

namespace {

awaitable<void> send(Stream& stream, std::string text) {
    const error_code ec = co_await stream.write(text);
    REQUIRE(!ec);
}

awaitable<void> send_and_end(Stream& stream, std::string text) {
    co_await send(stream, std::move(text));
    co_await stream.shutdown();
}

awaitable<void> expect(Stream& stream, std::string text, std::size_t step) {
    const std::string got = co_await read_exactly(stream, text.size(), step);
    REQUIRE((got == text));
}

awaitable<void> expect_end(Stream& stream) {
    std::array<char, 16> part;
    const auto got = co_await stream.read_some(part);
    REQUIRE(got);
    CHECK(*got == 0);
}

awaitable<void> pieces_arrive_in_order(Stream& one, Stream& two) {
    const std::vector<std::string_view> pieces{"a", "", "bc", "", "", "def", ""};
    REQUIRE(!co_await one.write(pieces));
    REQUIRE(!co_await one.write(std::span<const std::string_view>()));
    REQUIRE(!co_await one.write(""));
    CHECK(co_await read_exactly(two, 6) == "abcdef");
    CHECK(one.octets_out() == 6);
    CHECK(two.octets_in() == 6);
}

awaitable<void> waiting_loses_nothing(Stream& one, Stream& two, Stream& three, Stream& four) {
    REQUIRE(!co_await one.write("for two"));
    REQUIRE(!co_await two.wait_readable());
    CHECK(two.has_buffered());
    REQUIRE(!co_await three.write("for four, whose read takes the shared buffer"));
    REQUIRE(!co_await four.wait_readable());
    std::array<char, 3> part;
    auto got = two.try_read(part);
    REQUIRE(got);
    CHECK(std::string_view(part.data(), *got) == "for");
    CHECK(co_await read_exactly(two, 4) == " two");
    CHECK(co_await read_exactly(four, 44) == "for four, whose read takes the shared buffer");
    got = two.try_read(part);
    REQUIRE(!got);
    CHECK(got.error() == Error::would_block);
}

awaitable<void> times_out_and_says_so(Stream& server, Stream& client) {
    server.set_deadline(30ms);
    std::array<char, 16> part;
    const auto before = Stream::clock::now();
    const auto got = co_await server.read_some(part);
    CHECK(Stream::clock::now() - before < 5s);
    REQUIRE(!got);
    CHECK(got.error() == asio::error::timed_out);
    CHECK(co_await server.wait_readable() == asio::error::timed_out);
    server.set_deadline(5s);
    REQUIRE(!co_await server.write("421 4.4.2 too slow\r\n"));
    co_await server.shutdown();
    CHECK_FALSE(server.is_open());
    CHECK(co_await read_exactly(client, 100) == "421 4.4.2 too slow\r\n");
}

awaitable<void> a_moved_deadline_holds(Stream& server, Stream& client) {
    server.set_deadline(40ms);
    for (int i = 0; i < 6; ++i) {
        REQUIRE(!co_await client.write("x"));
        REQUIRE(!co_await server.wait_readable());
        CHECK(co_await read_exactly(server, 1) == "x");
        server.set_deadline(200ms);
        co_await pause(20ms);
    }
    server.set_deadline(10min);
    server.set_deadline(20ms);
    CHECK(co_await server.wait_readable() == asio::error::timed_out);
    server.clear_deadline();
    REQUIRE(!co_await client.write("y"));
    CHECK(!co_await server.wait_readable());
}

awaitable<void> a_write_nobody_reads(Stream& server) {
    server.set_deadline(50ms);
    const std::string much(std::size_t{8} * 1024 * 1024, 'x');
    CHECK(co_await server.write(much) == asio::error::timed_out);
    server.set_deadline(5s);
    CHECK(co_await server.write("421") == Error::broken);
    std::array<char, 1> part;
    CHECK((co_await server.read_some(part)).error() == Error::broken);
    co_await server.shutdown();
}

awaitable<void> waits(Stream& stream, error_code& outcome) {
    outcome = co_await stream.wait_readable();
}

awaitable<void> interrupts(Stream& stream, Stream& peer, error_code& outcome) {
    co_await pause(5ms);
    stream.interrupt();
    co_await pause(5ms);
    CHECK(outcome == asio::error::operation_aborted);
    REQUIRE(!co_await stream.write("421 4.3.2 shutting down\r\n"));
    CHECK(co_await read_exactly(peer, 25) == "421 4.3.2 shutting down\r\n");
}

awaitable<void> closes(Stream& stream, error_code& outcome) {
    co_await pause(5ms);
    stream.close();
    co_await pause(5ms);
    CHECK(outcome == Error::broken);
}

awaitable<void> write_slowly(tcp::socket& socket, std::string text) {
    for (const char& c : text) {
        co_await asio::async_write(socket, asio::buffer(&c, 1), asio::use_awaitable);
        if (c == '\n') co_await pause(1ms);
    }
}

awaitable<void> unread_comes_first(Stream& server, Stream& client) {
    REQUIRE(!co_await client.write("PROXY header|EHLO x\r\n"));
    std::array<char, 512> part;
    const auto got = co_await server.read_some(part);
    REQUIRE(got);
    server.unread(std::string_view(part.data(), *got).substr(13));
    CHECK(server.has_buffered());
    REQUIRE(!co_await client.write("MAIL\r\n"));
    CHECK(co_await read_exactly(server, 14) == "EHLO x\r\nMAIL\r\n");
}

awaitable<void> reset_is_an_error(Stream& server, tcp::socket& client) {
    client.set_option(asio::socket_base::linger(true, 0));
    client.close();
    const error_code waited = co_await server.wait_readable();
    std::array<char, 8> part;
    const auto got = co_await server.read_some(part);
    CHECK((waited || !got));
}

}  // namespace

TEST_CASE("pieces arrive in order, empty ones count for nothing", "[net][stream]") {
    asio::io_context context(1);
    auto [one, two] = stream_pair(context);
    run(context, pieces_arrive_in_order(one, two));
}

TEST_CASE("an orderly end reads as nothing", "[net][stream]") {
    asio::io_context context(1);
    auto [one, two] = stream_pair(context);
    run(context, send_and_end(one, "bye"), [](Stream& stream) -> awaitable<void> {
        co_await expect(stream, "bye", 10);
        co_await expect_end(stream);
        co_await expect_end(stream);
        stream.close();
    }(two));
}

TEST_CASE("octets that wait survive another connection's read", "[net][stream]") {
    asio::io_context context(1);
    auto [one, two] = stream_pair(context);
    auto [three, four] = stream_pair(context);
    run(context, waiting_loses_nothing(one, two, three, four));
}

TEST_CASE("a large body passes small buffers whole, however it is read", "[net][stream]") {
    asio::io_context context(1);
    const std::string body = pattern(700'001);
    for (const std::size_t step : {std::size_t{1} << 10U, std::size_t{65536}, std::size_t{333}}) {
        auto [one, two] = stream_pair(context, {2048, 2048});
        run(context, send(one, body), expect(two, body, step));
    }
}

TEST_CASE("more pieces than one call takes", "[net][stream]") {
    asio::io_context context(1);
    auto [one, two] = stream_pair(context, {4096, 4096});
    const std::string text = pattern(3000);
    std::vector<std::string_view> pieces;
    for (std::size_t i = 0; i < text.size(); i += 7)
        pieces.push_back(std::string_view(text).substr(i, 7));
    run(
        context,
        [](Stream& stream, std::span<const std::string_view> all) -> awaitable<void> {
            REQUIRE(!co_await stream.write(all));
        }(one, pieces),
        expect(two, text, 100));
}

TEST_CASE("a read that times out leaves room for a last word", "[net][stream]") {
    asio::io_context context(1);
    auto [one, two] = stream_pair(context);
    run(context, times_out_and_says_so(one, two));
}

TEST_CASE("a deadline moves both ways", "[net][stream]") {
    asio::io_context context(1);
    auto [one, two] = stream_pair(context);
    run(context, a_moved_deadline_holds(one, two));
}

TEST_CASE("a write that times out ends the connection", "[net][stream]") {
    asio::io_context context(1);
    auto [one, two] = stream_pair(context, {4096, 4096});
    run(context, a_write_nobody_reads(one));
}

TEST_CASE("an interrupted wait ends, the connection stays", "[net][stream]") {
    asio::io_context context(1);
    auto [one, two] = stream_pair(context);
    error_code outcome;
    run(context, waits(one, outcome), interrupts(one, two, outcome));
}

TEST_CASE("closing ends a wait", "[net][stream]") {
    asio::io_context context(1);
    auto [one, two] = stream_pair(context);
    error_code outcome;
    run(context, waits(one, outcome), closes(one, outcome));
}

TEST_CASE("a read pending while a write is blocked gets its octets", "[net][stream]") {
    asio::io_context context(1);
    auto [one, two] = stream_pair(context, {4096, 4096});
    const std::string there = pattern(300'000, 2);
    const std::string back = pattern(300'000, 3);
    std::vector<awaitable<void>> tasks;
    tasks.push_back(send(one, there));
    tasks.push_back(expect(one, back, 1000));
    tasks.push_back(send(two, back));
    tasks.push_back(expect(two, there, 1000));
    run(context, std::move(tasks));
}

TEST_CASE("octets that come one by one", "[net][stream]") {
    asio::io_context context(1);
    auto [server, client] = socket_pair(context);
    Stream stream(std::move(server));
    const std::string text = "EHLO a\r\nMAIL FROM:<a@b.example>\r\n";
    run(context, write_slowly(client, text), expect(stream, text, 5));
}

TEST_CASE("what is put back is read first", "[net][stream]") {
    asio::io_context context(1);
    auto [one, two] = stream_pair(context);
    run(context, unread_comes_first(one, two));
}

TEST_CASE("a reset is an error, not an end", "[net][stream]") {
    asio::io_context context(1);
    auto [server, client] = socket_pair(context);
    Stream stream(std::move(server));
    run(context, reset_is_an_error(stream, client));
}
