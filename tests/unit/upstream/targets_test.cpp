#include "relay/upstream/targets.hpp"

#include <map>

#include "tests/catch.hpp"

using namespace postern;
using namespace postern::relay;
using net::Error;
using net::MailExchanger;
using net::Service;

namespace {

/// Numbers given beforehand, again and again.
std::function<double()> drawn(std::vector<double> numbers) {
    return [numbers = std::move(numbers), at = std::size_t{0}]() mutable {
        return numbers[at++ % numbers.size()];
    };
}

const std::function<double()> first = drawn({0.0});

using Hosts = std::vector<std::string>;

Hosts hosts(const result<std::vector<Target>>& found) {
    REQUIRE(found.has_value());
    Hosts out;
    for (const Target& one : *found) out.push_back(one.host);
    return out;
}

config::Address domain(config::AddressKind kind) {
    return {.host = "example.net", .port = 25, .kind = kind};
}

}  // namespace

TEST_CASE("mail exchangers come by preference") {
    const std::vector<MailExchanger> records = {
        {30, "c.example"}, {10, "a.example"}, {20, "b.example"}};
    const auto found = in_order(records, 2525, first);
    CHECK(hosts(found) == Hosts{"a.example", "b.example", "c.example"});
    CHECK((*found)[0] == Target{.host = "a.example", .port = 2525});
}

TEST_CASE("exchangers of one preference share the mail") {
    std::map<std::string, int> firsts;
    for (int i = 0; i < 100; ++i) {
        const double number = i / 100.0;
        const auto order = hosts(in_order(
            std::vector<MailExchanger>{{5, "a.example"}, {5, "b.example"}, {9, "z.example"}}, 25,
            drawn({number, 1 - number})));
        CHECK(order.back() == "z.example");
        ++firsts[order.front()];
    }
    CHECK(firsts["a.example"] > 20);
    CHECK(firsts["b.example"] > 20);
}

TEST_CASE("a domain may say that it takes no mail") {
    CHECK(in_order(std::vector<MailExchanger>{{0, "."}}, 25, first).error() ==
          Error::takes_no_mail);
    CHECK(in_order(std::vector<Service>{{0, 0, 0, "."}}, first).error() == Error::takes_no_mail);
    CHECK(hosts(in_order(std::vector<MailExchanger>{{0, "."}, {10, "a.example"}}, 25, first)) ==
          Hosts{"a.example"});
}

TEST_CASE("targets that no host can be are passed over") {
    const auto bad =
        GENERATE(as<std::string>{}, "", "192.0.2.1", "-a.example", "a..example", "a.example.7");
    CHECK(in_order(std::vector<MailExchanger>{{0, bad}}, 25, first).error() ==
          Error::no_usable_target);
    CHECK(hosts(in_order(std::vector<MailExchanger>{{0, bad}, {10, "a.example"}}, 25, first)) ==
          Hosts{"a.example"});
    CHECK(in_order(std::vector<Service>{{0, 0, 587, bad}}, first).error() ==
          Error::no_usable_target);
    CHECK(in_order(std::vector<Service>{{0, 0, 0, "a.example"}}, first).error() ==
          Error::no_usable_target);
}

TEST_CASE("each target comes once, and not too many of them") {
    std::vector<MailExchanger> many = {{0, "mx0.example"}, {1, "mx0.example"}};
    for (std::uint16_t i = 1; i < 60; ++i)
        many.push_back({i, "mx" + std::to_string(i) + ".example"});
    const auto order = hosts(in_order(many, 25, first));
    CHECK(order.size() == most_targets);
    CHECK(order[0] == "mx0.example");
    CHECK(order[1] == "mx1.example");
}

TEST_CASE("services come by priority, and by weight within it") {
    const std::vector<Service> records = {{20, 100, 587, "last.example"},
                                          {10, 75, 587, "heavy.example"},
                                          {10, 25, 2587, "light.example"}};
    std::map<std::string, int> firsts;
    for (int i = 0; i < 1000; ++i) {
        const double number = i / 1000.0;
        const auto order = hosts(in_order(records, drawn({number})));
        REQUIRE(order.size() == 3);
        CHECK(order.back() == "last.example");
        ++firsts[order.front()];
    }
    CHECK(firsts["heavy.example"] > 650);
    CHECK(firsts["light.example"] > 150);
    const auto found = in_order(std::vector<Service>{{1, 0, 2587, "a.example"}}, first);
    CHECK((*found)[0] == Target{.host = "a.example", .port = 2587});
}

TEST_CASE("a service without weight comes rarely before one with") {
    const std::vector<Service> records = {{1, 0, 587, "none.example"}, {1, 99, 587, "all.example"}};
    int rare = 0;
    for (int i = 0; i < 1000; ++i) {
        if (hosts(in_order(records, drawn({i / 1000.0}))).front() == "none.example") ++rare;
    }
    CHECK(rare > 0);
    CHECK(rare < 50);
    CHECK(hosts(in_order(std::vector<Service>{{1, 0, 587, "a.example"}, {1, 0, 587, "b.example"}},
                         first))
              .size() == 2);
}

TEST_CASE("which names a certificate may carry") {
    using enum config::AddressKind;
    const auto names = [](config::AddressKind kind, const std::string& target) {
        return accepted_names(domain(kind), {.host = target, .port = 25});
    };
    CHECK(accepted_names({.host = "smtp.example.net", .port = 587},
                         {.host = "smtp.example.net", .port = 587}) == Hosts{"smtp.example.net"});
    for (const auto kind : {mx, srv}) {
        CHECK(names(kind, "example.net") == Hosts{"example.net"});
        CHECK(names(kind, "mx.example.net") == Hosts{"mx.example.net", "example.net"});
        CHECK(names(kind, "mx.provider.example") == Hosts{"example.net"});
        CHECK(names(kind, "notexample.net") == Hosts{"example.net"});
        CHECK(names(kind, "example.net.evil.example") == Hosts{"example.net"});
    }
}

TEST_CASE("a place is told as host, address and port") {
    CHECK(place_of({.host = "a.example", .port = 25}, "192.0.2.1") == "a.example [192.0.2.1]:25");
    CHECK(place_of({.host = "a.example", .port = 25}, "") == "a.example:25");
    CHECK(place_of({.host = "192.0.2.1", .port = 25}, "192.0.2.1") == "192.0.2.1:25");
    CHECK(place_of({.host = "2001:db8::1", .port = 25}, "2001:db8::1") == "[2001:db8::1]:25");
}
