#include "relay/net/dns_answer.hpp"

#include "tests/catch.hpp"

using namespace postern;
using relay::net::DnsAnswer;
using relay::net::Error;
using relay::net::MailExchanger;
using relay::net::parse_answer;
using relay::net::Question;
using relay::net::Service;
using std::chrono::seconds;

namespace {

std::string u16(unsigned value) {
    return {static_cast<char>(value >> 8U & 0xffU), static_cast<char>(value & 0xffU)};
}

/// "a.example" as labels; "." is the root.
std::string labels(std::string_view name) {
    std::string out;
    while (!name.empty() && name != ".") {
        const auto dot = name.find('.');
        const std::string_view label = name.substr(0, dot);
        out += static_cast<char>(label.size());
        out += label;
        name.remove_prefix(dot == std::string_view::npos ? name.size() : dot + 1);
    }
    return out + '\0';
}

std::string pointer(unsigned to) {
    return u16(0xc000U | to);
}

std::string record(const std::string& owner, unsigned type, unsigned ttl, const std::string& data,
                   unsigned in = 1) {
    return owner + u16(type) + u16(in) + u16(ttl >> 16U) + u16(ttl) +
           u16(static_cast<unsigned>(data.size())) + data;
}

std::string mx(std::string_view owner, unsigned preference, std::string_view host,
               unsigned ttl = 300) {
    return record(labels(owner), 15, ttl, u16(preference) + labels(host));
}

std::string srv(std::string_view owner, unsigned priority, unsigned weight, unsigned port,
                std::string_view host, unsigned ttl = 300) {
    return record(labels(owner), 33, ttl, u16(priority) + u16(weight) + u16(port) + labels(host));
}

std::string alias(std::string_view owner, std::string_view to, unsigned ttl = 300) {
    return record(labels(owner), 5, ttl, labels(to));
}

std::string message(std::string_view name, const std::vector<std::string>& records,
                    unsigned type = 15) {
    std::string out = u16(1) + u16(0x8180) + u16(1) + u16(static_cast<unsigned>(records.size())) +
                      u16(0) + u16(0) + labels(name) + u16(type) + u16(1);
    for (const std::string& one : records) out += one;
    return out;
}

DnsAnswer good(const std::string& octets, Question question = Question::mx,
               std::string_view name = "a.example") {
    const auto out = parse_answer(octets, question, name);
    REQUIRE(out.has_value());
    return *out;
}

boost::system::error_code bad(const std::string& octets, Question question = Question::mx) {
    const auto out = parse_answer(octets, question, "a.example");
    return out ? boost::system::error_code() : out.error();
}

using Exchangers = std::vector<MailExchanger>;

}  // namespace

TEST_CASE("mail exchangers and services are read as they stand", "[net][dns]") {
    const auto both = good(message("a.example", {mx("a.example", 10, "MX1.a.example", 600),
                                                 mx("A.Example", 20, "mx2.b.example", 60)}));
    CHECK(both.exchangers == Exchangers{{10, "mx1.a.example"}, {20, "mx2.b.example"}});
    CHECK(both.ttl == seconds(60));
    const auto service =
        good(message("_submission._tcp.a.example",
                     {srv("_submission._tcp.a.example", 1, 2, 587, "smtp.a.example")}, 33),
             Question::srv, "_Submission._tcp.a.example");
    CHECK(service.services == std::vector<Service>{{1, 2, 587, "smtp.a.example"}});
}

TEST_CASE("compressed names are followed towards the front only", "[net][dns]") {
    // The question's name stands at 12: 1 'a' 7 'example' 0.
    const auto found = good(
        message("a.example",
                {record(pointer(12), 15, 5, u16(10) + std::string("\3mx1", 4) + pointer(12))}));
    CHECK(found.exchangers == Exchangers{{10, "mx1.a.example"}});
    const std::string before = message("a.example", {std::string()});
    const auto here = static_cast<unsigned>(before.size());
    for (const unsigned to : {here, here + 1, here + 12, 0U, 0x3fffU}) {
        CHECK(bad(message("a.example", {record(pointer(to), 15, 5, u16(10) + labels("b"))})) ==
              Error::dns_failed);
    }
    // Two that lead to each other.
    CHECK(bad(message("a.example", {record(pointer(here + 2), 15, 5, pointer(here))})) ==
          Error::dns_failed);
}

TEST_CASE("aliases are followed, and end", "[net][dns]") {
    const auto found = good(message(
        "a.example", {alias("a.example", "b.example", 30), alias("b.example", "c.example", 900),
                      mx("c.example", 5, "mx.c.example"), mx("z.example", 1, "evil.example")}));
    CHECK(found.exchangers == Exchangers{{5, "mx.c.example"}});
    CHECK(found.ttl == seconds(30));
    CHECK(
        bad(message("a.example", {alias("a.example", "b.example"), alias("b.example", "a.example"),
                                  mx("c.example", 5, "mx.c.example")})) == Error::dns_failed);
    CHECK(bad(message("a.example", {alias("a.example", "a.example")})) == Error::dns_failed);
    CHECK(bad(message("a.example", {alias("a.example", "b.example")})) == Error::no_record);
}

TEST_CASE("what nobody asked for is passed over", "[net][dns]") {
    CHECK(bad(message("a.example", {})) == Error::no_record);
    CHECK(bad(message("a.example", {mx("b.example", 1, "mx.b.example")})) == Error::no_record);
    CHECK(bad(message("a.example", {record(labels("a.example"), 15, 1, u16(1) + labels("b"),
                                           3)})) == Error::no_record);
    CHECK(bad(message("a.example", {mx("a.example", 1, "mx")}), Question::srv) == Error::no_record);
    const auto found = good(message("a.example", {record(labels("a.example"), 1, 1, "\1\2\3\4"),
                                                  mx("a.example", 1, "mx.a.example")}));
    CHECK(found.exchangers == Exchangers{{1, "mx.a.example"}});
}

TEST_CASE("the root and names that no host has are told apart", "[net][dns]") {
    const auto found = good(message(
        "a.example", {mx("a.example", 0, "."), mx("a.example", 1, "m\xc3\xbcnchen.example"),
                      mx("a.example", 2, "a b.example"),
                      record(labels("a.example"), 15, 9, u16(3) + std::string("\3a.b\0", 5))}));
    CHECK(found.exchangers == Exchangers{{0, "."}, {1, ""}, {2, ""}, {3, ""}});
}

TEST_CASE("of a huge answer the first records are taken", "[net][dns]") {
    std::vector<std::string> records;
    for (unsigned i = 0; i < 1500; ++i)
        records.push_back(mx("a.example", i, "mx" + std::to_string(i) + ".a.example"));
    const auto found = good(message("a.example", records));
    CHECK(found.exchangers.size() == 64);
    CHECK(found.exchangers.back().host == "mx63.a.example");
    std::vector<std::string> aliases;
    for (unsigned i = 0; i < 100; ++i)
        aliases.push_back(
            alias(i == 0 ? "a.example" : "h" + std::to_string(i), "h" + std::to_string(i + 1)));
    CHECK(bad(message("a.example", aliases)) == Error::dns_failed);
}

TEST_CASE("a time to live with its first bit set is none", "[net][dns]") {
    CHECK(good(message("a.example", {mx("a.example", 1, "mx", 0x80000000U)})).ttl == seconds(0));
    CHECK(good(message("a.example", {mx("a.example", 1, "mx", 0x7fffffffU)})).ttl ==
          seconds(0x7fffffff));
}

TEST_CASE("an answer that is cut or lies about its sizes is malformed", "[net][dns]") {
    const std::string whole =
        message("a.example", {alias("a.example", "b.example"), mx("b.example", 7, "mx.b.example")});
    CHECK(good(whole).exchangers.size() == 1);
    for (std::size_t size = 0; size < whole.size(); ++size)
        CHECK(bad(whole.substr(0, size)) == Error::dns_failed);
    const std::string data = u16(1) + labels("mx.b.example");
    for (const int off : {-1, 1}) {
        std::string lying = labels("a.example") + u16(15) + u16(1) + u16(0) + u16(60) +
                            u16(static_cast<unsigned>(static_cast<int>(data.size()) + off)) + data;
        CHECK(bad(message("a.example", {lying + std::string(8, '\0')})) == Error::dns_failed);
    }
    CHECK(bad(message("a.example", {record("\x80"
                                           "abc",
                                           15, 1, data)})) == Error::dns_failed);
    std::string endless;
    for (int i = 0; i < 5; ++i) endless += std::string(1, '\x3f') + std::string(63, 'x');
    CHECK(bad(message("a.example", {record(labels("a.example"), 15, 1,
                                           u16(1) + endless + '\0')})) == Error::dns_failed);
}
