#include <optional>

#include <boost/asio/error.hpp>

#include "relay/net/connect.hpp"
#include "tests/unit/net/support.hpp"

using namespace postern::test;
using asio::ip::make_address;

namespace {

struct Attempted {
    error_code error;
    std::optional<asio::ip::address> failed{};
};

awaitable<void> attempt_to(asio::io_context& context, net::Addresses to, std::uint16_t port,
                           std::optional<asio::ip::address> source, Attempted& out) {
    net::ConnectOptions options;
    options.deadline = std::chrono::steady_clock::now() + 10s;
    options.source_address = std::move(source);
    options.failed = &out.failed;
    const auto stream = co_await net::connect(context, std::move(to), port, options);
    out.error = stream ? error_code() : stream.error();
}

}  // namespace

TEST_CASE("a connect that fails says at which address", "[net][connect]") {
    asio::io_context context(1);
    tcp::acceptor open(context, tcp::endpoint(make_address("127.0.0.11"), 0));
    const auto port = open.local_endpoint().port();
    const auto refusing = make_address("127.0.0.12");
    Attempted out;
    SECTION("the one that refused") {
        run(context, attempt_to(context, {refusing}, port, std::nullopt, out));
        CHECK(out.error == asio::error::connection_refused);
        CHECK(out.failed == refusing);
    }
    SECTION("none where another one answered") {
        run(context,
            attempt_to(context, {refusing, make_address("127.0.0.11")}, port, std::nullopt, out));
        CHECK_FALSE(out.error);
        CHECK_FALSE(out.failed.has_value());
    }
    SECTION("none where no address is of the source's family") {
        run(context,
            attempt_to(context, {make_address("::1")}, port, make_address("127.0.0.1"), out));
        CHECK(out.error == asio::error::address_family_not_supported);
        CHECK_FALSE(out.failed.has_value());
    }
}
