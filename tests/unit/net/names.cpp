#include <array>
#include <map>

#include <boost/asio/error.hpp>
#include <boost/asio/ip/udp.hpp>

#include "relay/net/connect.hpp"
#include "relay/net/resolver.hpp"
#include "tests/unit/net/support.hpp"

using namespace postern::test;
using asio::ip::udp;
using net::Addresses;
using net::Error;
using net::Resolver;

namespace {

/// A name server of a few lines: answers A (1) and AAAA (28) from a table, and counts.
class NameServer {
  public:
    explicit NameServer(asio::io_context& context)
        : socket_(context, udp::endpoint(asio::ip::address_v4::loopback(), 0)) {}

    struct Zone {
        std::vector<std::string> addresses;
        std::uint32_t ttl = 60;
        int rcode = 0;
        bool silent = false;
    };
    std::map<std::string, Zone> zones;
    int queries = 0;

    [[nodiscard]] std::string address() const {
        return "127.0.0.1:" + std::to_string(socket_.local_endpoint().port());
    }
    void stop() { socket_.close(); }

    awaitable<void> serve() {
        std::array<unsigned char, 512> packet;
        udp::endpoint from;
        for (;;) {
            const auto [ec, n] = co_await socket_.async_receive_from(asio::buffer(packet), from,
                                                                     postern::relay::as_value);
            if (ec) co_return;
            ++queries;
            const std::string reply = answer({reinterpret_cast<const char*>(packet.data()), n});
            if (!reply.empty()) socket_.send_to(asio::buffer(reply), from);
        }
    }

  private:
    std::string answer(std::string_view query) {
        std::string name;
        std::size_t at = 12;
        while (query[at] != 0) {
            const auto size = static_cast<std::size_t>(query[at]);
            if (!name.empty()) name += '.';
            name += query.substr(at + 1, size);
            at += size + 1;
        }
        const int type = static_cast<unsigned char>(query[at + 2]);
        const auto found = zones.find(name);
        Zone zone;
        if (found == zones.end()) {
            zone.rcode = 3;
        } else {
            zone = found->second;
        }
        if (zone.silent) return {};
        std::string records;
        int count = 0;
        for (const std::string& text : zone.addresses) {
            const auto parsed = asio::ip::make_address(text);
            if (parsed.is_v6() != (type == 28)) continue;
            ++count;
            records +=
                std::string("\xc0\x0c\0", 3) + static_cast<char>(type) + std::string("\0\1", 2);
            for (int shift = 24; shift >= 0; shift -= 8)
                records += static_cast<char>(zone.ttl >> shift);
            if (parsed.is_v6()) {
                const auto bytes = parsed.to_v6().to_bytes();
                records += std::string("\0\x10", 2) + std::string(bytes.begin(), bytes.end());
            } else {
                const auto bytes = parsed.to_v4().to_bytes();
                records += std::string("\0\4", 2) + std::string(bytes.begin(), bytes.end());
            }
        }
        std::string reply(query.substr(0, 2));
        reply += '\x85';
        reply += static_cast<char>(0x80 | zone.rcode);
        reply += std::string("\0\1\0", 3) + static_cast<char>(count) + std::string("\0\0\0\0", 4);
        reply += query.substr(12, at + 5 - 12);
        return reply + records;
    }

    udp::socket socket_;
};

net::ResolverOptions options_for(const NameServer& server) {
    net::ResolverOptions options;
    options.servers = {server.address()};
    options.hosts_file = false;
    return options;
}

std::vector<std::string> texts(const result<Addresses>& found) {
    std::vector<std::string> out;
    if (!found) return {found.error().message()};
    for (const auto& address : *found) out.push_back(address.to_string());
    return out;
}

using Texts = std::vector<std::string>;

awaitable<void> answers_and_remembers(NameServer& server, Resolver& resolver) {
    const auto found = co_await resolver.resolve("mx.example");
    CHECK(texts(found) ==
          Texts{"2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "192.0.2.3"});
    const int asked = server.queries;
    CHECK(texts(co_await resolver.resolve("MX.Example")) == texts(found));
    CHECK(server.queries == asked);
    CHECK((co_await resolver.resolve("none.example")).error() == Error::name_not_found);
    const int asked_none = server.queries;
    CHECK((co_await resolver.resolve("none.example")).error() == Error::name_not_found);
    CHECK(server.queries == asked_none);
    CHECK((co_await resolver.resolve("empty.example")).error() == Error::no_address);
    CHECK(texts(co_await resolver.resolve("four.example")) == Texts{"192.0.2.9"});
    CHECK((co_await resolver.resolve("broken.example")).error() == Error::dns_failed);
    server.stop();
}

awaitable<void> literals_and_nonsense(Resolver& resolver) {
    CHECK(texts(co_await resolver.resolve("192.0.2.7")) == Texts{"192.0.2.7"});
    CHECK(texts(co_await resolver.resolve("[2001:db8::7]")) == Texts{"2001:db8::7"});
    CHECK(texts(co_await resolver.resolve("::1")) == Texts{"::1"});
    for (const char* bad : {"", ".", "a..b", "a b", "a/b", "\xc3\xa4.example", ".example"}) {
        CHECK((co_await resolver.resolve(bad)).error() == Error::name_invalid);
    }
    CHECK((co_await resolver.resolve(std::string(64, 'a') + ".example")).error() ==
          Error::name_invalid);
    CHECK((co_await resolver.resolve(std::string(300, 'a'))).error() == Error::name_invalid);
    const auto local = texts(co_await resolver.resolve("localhost"));
    CHECK(std::find(local.begin(), local.end(), "127.0.0.1") != local.end());
}

awaitable<void> asks(Resolver& resolver, std::string name, std::vector<std::string>& out) {
    out = texts(co_await resolver.resolve(std::move(name)));
}

awaitable<void> stop_after(NameServer& server, std::chrono::milliseconds time) {
    co_await pause(time);
    server.stop();
}

awaitable<void> forgets(NameServer& server, Resolver& resolver) {
    CHECK(texts(co_await resolver.resolve("short.example")) == Texts{"192.0.2.1"});
    server.zones["short.example"].addresses = {"192.0.2.2"};
    co_await pause(1100ms);
    CHECK(texts(co_await resolver.resolve("short.example")) == Texts{"192.0.2.2"});
    resolver.clear_cache();
    server.zones["short.example"].addresses = {"192.0.2.3"};
    CHECK(texts(co_await resolver.resolve("short.example")) == Texts{"192.0.2.3"});
    server.stop();
}

/// A listening socket, on `address`; port 0: any.
tcp::acceptor listener(asio::io_context& context, const std::string& address,
                       std::uint16_t port = 0) {
    return {context, tcp::endpoint(asio::ip::make_address(address), port)};
}

awaitable<void> connects(asio::io_context& context, Addresses to, std::uint16_t port,
                         net::ConnectOptions options, error_code& ec, std::string& reached,
                         std::string& from) {
    auto stream = co_await net::connect(context, std::move(to), port, options);
    ec = stream ? error_code() : stream.error();
    if (!stream) co_return;
    reached = stream->peer().address().to_string();
    from = stream->local().address().to_string();
}

struct Tried {
    error_code ec;
    std::string reached;
    std::string from;
    std::chrono::steady_clock::duration took;
};

Tried try_connect(asio::io_context& context, const std::vector<std::string>& to, std::uint16_t port,
                  std::chrono::milliseconds within, const std::string& source = {}) {
    Addresses addresses;
    for (const std::string& text : to) addresses.push_back(asio::ip::make_address(text));
    net::ConnectOptions options;
    const auto start = std::chrono::steady_clock::now();
    options.deadline = start + within;
    if (!source.empty()) options.source_address = asio::ip::make_address(source);
    Tried tried;
    run(context, connects(context, addresses, port, options, tried.ec, tried.reached, tried.from));
    tried.took = std::chrono::steady_clock::now() - start;
    return tried;
}

/// Fills a listening socket's queue, so that further connections get no answer.
std::vector<tcp::socket> fill_queue(asio::io_context& context, tcp::acceptor& deaf) {
    ::listen(deaf.native_handle(), 0);
    std::vector<tcp::socket> waiting;
    for (int i = 0; i < 3; ++i) {
        waiting.emplace_back(context);
        waiting.back().open(tcp::v4());
        waiting.back().native_non_blocking(true);
        const auto to = deaf.local_endpoint();
        (void)::connect(waiting.back().native_handle(), to.data(),
                        static_cast<socklen_t>(to.size()));
    }
    return waiting;
}

}  // namespace

TEST_CASE("names become addresses, families in turn, and are remembered", "[net][dns]") {
    asio::io_context context(1);
    NameServer server(context);
    server.zones["mx.example"] = {
        {"192.0.2.1", "192.0.2.2", "2001:db8::1", "192.0.2.3", "2001:db8::2"}};
    server.zones["empty.example"] = {};
    server.zones["four.example"] = {{"192.0.2.9"}};
    server.zones["broken.example"].rcode = 2;
    Resolver resolver(context, options_for(server));
    run(context, server.serve(), answers_and_remembers(server, resolver));
}

TEST_CASE("literals are not asked for, nonsense neither, localhost is known", "[net][dns]") {
    asio::io_context context(1);
    NameServer server(context);
    auto options = options_for(server);
    options.hosts_file = true;
    Resolver resolver(context, options);
    run(context, literals_and_nonsense(resolver));
    CHECK(server.queries == 0);
}

TEST_CASE("equal questions share one query, and a bound holds", "[net][dns]") {
    asio::io_context context(1);
    NameServer server(context);
    server.zones["mx.example"] = {{"192.0.2.1"}};
    server.zones["other.example"] = {{"192.0.2.2"}};
    auto options = options_for(server);
    options.lookups = 1;
    Resolver resolver(context, options);
    std::array<Texts, 4> found;
    std::vector<awaitable<void>> tasks;
    tasks.push_back(server.serve());
    for (std::size_t i = 0; i < 3; ++i) tasks.push_back(asks(resolver, "mx.example", found[i]));
    tasks.push_back(asks(resolver, "other.example", found[3]));
    tasks.push_back(stop_after(server, 200ms));
    run(context, std::move(tasks));
    for (std::size_t i = 0; i < 3; ++i) CHECK(found[i] == Texts{"192.0.2.1"});
    CHECK(found[3] == Texts{"too many name lookups under way"});
    CHECK(server.queries == 2);
}

TEST_CASE("a silent name server costs the deadline and no more", "[net][dns]") {
    asio::io_context context(1);
    NameServer server(context);
    server.zones["mute.example"].silent = true;
    auto options = options_for(server);
    options.deadline = 100ms;
    Texts found;
    const auto before = std::chrono::steady_clock::now();
    {
        Resolver resolver(context, options);
        run(context, asks(resolver, "mute.example", found));
    }
    CHECK(std::chrono::steady_clock::now() - before < 3s);
    REQUIRE(found.size() == 1);
    CHECK(found[0] == error_code(asio::error::timed_out).message());
}

TEST_CASE("an answer is kept for its time to live", "[net][dns]") {
    asio::io_context context(1);
    NameServer server(context);
    server.zones["short.example"] = {{"192.0.2.1"}, 1};
    auto options = options_for(server);
    options.min_ttl = 1s;
    Resolver resolver(context, options);
    run(context, server.serve(), forgets(server, resolver));
}

TEST_CASE("a resolver that goes ends its lookups", "[net][dns]") {
    asio::io_context context(1);
    NameServer server(context);
    server.zones["mute.example"].silent = true;
    auto resolver = std::make_unique<Resolver>(context, options_for(server));
    Texts found;
    run(context, asks(*resolver, "mute.example", found),
        [](std::unique_ptr<Resolver>& owner) -> awaitable<void> {
            co_await pause(10ms);
            owner.reset();
        }(resolver));
    REQUIRE(found.size() == 1);
    CHECK(found[0] == error_code(asio::error::operation_aborted).message());
}

TEST_CASE("the first address that answers is taken", "[net][connect]") {
    asio::io_context context(1);
    auto open = listener(context, "127.0.0.3");
    const auto port = open.local_endpoint().port();
    CHECK(try_connect(context, {"127.0.0.3"}, port, 5s).reached == "127.0.0.3");
    CHECK(try_connect(context, {"127.0.0.4", "127.0.0.5", "127.0.0.3"}, port, 5s).reached ==
          "127.0.0.3");
    CHECK(try_connect(context, {"127.0.0.4"}, port, 5s).ec == asio::error::connection_refused);
    CHECK(try_connect(context, {}, port, 5s).ec == asio::error::address_family_not_supported);
    const auto bound = try_connect(context, {"::1", "127.0.0.3"}, port, 5s, "127.0.0.9");
    CHECK(bound.reached == "127.0.0.3");
    CHECK(bound.from == "127.0.0.9");
}

TEST_CASE("an address that does not answer holds up nobody for long", "[net][connect]") {
    asio::io_context context(1);
    auto open = listener(context, "127.0.0.6");
    const auto port = open.local_endpoint().port();
    auto deaf = listener(context, "127.0.0.7", port);
    const auto waiting = fill_queue(context, deaf);
    const auto tried = try_connect(context, {"127.0.0.7", "127.0.0.6"}, port, 5s);
    CHECK(tried.reached == "127.0.0.6");
    CHECK(tried.took < 3s);
    CHECK(tried.took >= 200ms);
    const auto late = try_connect(context, {"127.0.0.7"}, port, 100ms);
    CHECK(late.ec == asio::error::timed_out);
    CHECK(late.took < 3s);
}
