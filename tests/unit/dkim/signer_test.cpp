#include "relay/dkim/signer.hpp"

#include <future>

#include <boost/asio/thread_pool.hpp>

#include "bench.hpp"
#include "relay/dkim/signing_desk.hpp"
#include "verifier.hpp"

using namespace postern;
using namespace postern::relay::dkim;
using test::Bench;
using test::DkimAlgorithm;
using test::verdicts;
using Names = std::vector<std::string>;
using Outcome = Signer::Outcome;

namespace {

const std::vector<DkimAlgorithm> both{DkimAlgorithm::rsa, DkimAlgorithm::ed25519};
const Names both_ok{"rsa-sha256 example.net ok", "ed25519-sha256 example.net ok"};

const std::string head =
    "Received: from relay.example.net by relay.example.net with ESMTPSA\r\n"
    " id 01ABC; Mon, 02 Mar 2026 09:15:00 +0000\r\n"
    "From:  Ann  <ann@example.net>\r\nTo: bob@example.org,\r\n\tcarl@example.org \r\n"
    "Subject : a\t subject \r\nReferences: <1@x>\r\nreferences: <2@x>\r\n\r\n";

struct Signing : Bench {
    test::Kept events;
    Signer signer{store, events};

    [[nodiscard]] static Wanted wanted(const std::string& from,
                                       std::vector<DkimAlgorithm> algorithms = both,
                                       const std::string& otherwise = "") {
        return {.ref = "01REF",
                .from_domain = from,
                .default_domain = otherwise,
                .algorithms = std::move(algorithms),
                .unix_seconds = 1'700'000'000};
    }
    /// The message with its signatures; it is handed over in pieces of `cut`.
    [[nodiscard]] std::string sign(const std::string& message, const Wanted& by,
                                   std::size_t cut = 4096) {
        std::vector<std::string_view> pieces;
        for (std::size_t at = 0; at < message.size(); at += cut)
            pieces.push_back(std::string_view(message).substr(at, cut));
        return signer.sign(by, pieces) + message;
    }
};

}  // namespace

TEST_CASE("what is signed verifies, whatever the body and however it is cut") {
    Signing s;
    (void)s.make("example.net", both);
    for (const std::string& body :
         {std::string(), std::string("\r\n"), std::string("Hello.\r\n"),
          std::string("trailing \t \r\n  leading\r\nin  between\t\tof\r\n"),
          std::string("a\r\n\r\n\r\n\r\n"), std::string("no end"), std::string(" \r\n \r\n"),
          std::string(".\r\n..\r\n"), std::string("gr\xc3\xbc\xc3\x9f\r\n\xff\xfe\r\n"),
          std::string(5000, 'x') + "\r\n" + std::string(5000, ' ') + "y\r\n"}) {
        for (const std::size_t cut : {std::size_t{1}, std::size_t{7}, std::size_t{100'000}}) {
            CAPTURE(body, cut);
            const std::string message = s.sign(head + body, s.wanted("example.net"), cut);
            CHECK(verdicts(message, s.store) == both_ok);
            CHECK(message == s.sign(head + body, s.wanted("example.net")));
        }
    }
}

TEST_CASE("what a change on the way breaks, and what it does not") {
    Signing s;
    (void)s.make("example.net", both);
    const std::string message = s.sign(head + "Hello  world.\r\n", s.wanted("example.net"));
    const auto changed = [&](const std::string& from, const std::string& to) {
        std::string out = message;
        const std::size_t at = out.rfind(from);
        REQUIRE(at != std::string::npos);
        return verdicts(out.replace(at, from.size(), to), s.store);
    };
    const Names bad_signature{"rsa-sha256 example.net bad signature",
                              "ed25519-sha256 example.net bad signature"};
    CHECK(changed("Hello  world.", "Hello world. ") == both_ok);
    CHECK(changed("Subject :", "SUBJECT:") == both_ok);
    CHECK(changed("Received:", "Received: by x\r\nReceived:") == both_ok);
    CHECK(changed("\r\n\r\nHello", "\r\nList-Id: <x>\r\n\r\nHello") == both_ok);
    CHECK(changed("Hello", "Hallo") ==
          Names{"rsa-sha256 example.net bad body", "ed25519-sha256 example.net bad body"});
    CHECK(changed("bob@", "eve@") == bad_signature);
    // Nothing that a reader looks at can be added, above or below.
    for (const char* const field : {"From: eve@example.org", "Subject: x", "Reply-To: eve@x",
                                    "Content-Type: text/html", "Cc: x@y", "Date: today"}) {
        CAPTURE(field);
        CHECK(changed("Received:", std::string(field) + "\r\nReceived:") == bad_signature);
        CHECK(changed("\r\n\r\nHello", "\r\n" + std::string(field) + "\r\n\r\nHello") ==
              bad_signature);
    }
}

TEST_CASE("whose keys sign: the domain of From, else the default one, else nobody's") {
    Signing s;
    (void)s.make("example.net", both);
    (void)s.make("default.example", both);
    const std::string message = head + "Hello.\r\n";
    struct Row {
        Wanted by;
        Names said;
    };
    const Names by_default{"rsa-sha256 default.example ok", "ed25519-sha256 default.example ok"};
    const auto rows = std::vector<Row>{
        {s.wanted("example.net"), both_ok},
        {s.wanted("example.net", both, "default.example"), both_ok},
        {s.wanted("other.example", both, "default.example"), by_default},
        {s.wanted("sub.example.net", both, "default.example"), by_default},
        {s.wanted("", both, "default.example"), by_default},
        {s.wanted("other.example"), {}},
        {s.wanted("", both), {}},
        {s.wanted("example.net", {DkimAlgorithm::rsa}), {"rsa-sha256 example.net ok"}},
        {s.wanted("example.net", {DkimAlgorithm::ed25519}), {"ed25519-sha256 example.net ok"}},
        {s.wanted("example.net", {}), {}}};
    for (const Row& row : rows) {
        CAPTURE(row.by.from_domain, row.by.default_domain);
        CHECK(verdicts(s.sign(message, row.by), s.store) == row.said);
    }
    CHECK(s.signer.counted(Outcome::no_key) == 3);
    CHECK(s.signer.counted(Outcome::ok, DkimAlgorithm::rsa) == 6);
    CHECK(s.signer.counted(Outcome::failed) == 0);
    CHECK(s.events.logged().empty());
}

TEST_CASE("before and after a rotation it is the active keys that sign") {
    Signing s;
    const auto first = s.make("example.net", {DkimAlgorithm::ed25519});
    const auto second = s.make("example.net", both);
    const std::string message = head + "Hello.\r\n";
    const std::string before = s.sign(message, s.wanted("example.net"));
    CHECK(before.find("s=" + first[0].key.selector + ";") != std::string::npos);
    CHECK(verdicts(before, s.store) == Names{"ed25519-sha256 example.net ok"});
    REQUIRE(s.store.rotate("example.net").has_value());
    const std::string after = s.sign(message, s.wanted("example.net"));
    for (const KeyInfo& one : second)
        CHECK(after.find("s=" + one.key.selector + ";") != std::string::npos);
    CHECK(verdicts(after, s.store) == both_ok);
    // Mail that is under way verifies all the same.
    CHECK(verdicts(before, s.store) == Names{"ed25519-sha256 example.net ok"});
    REQUIRE(s.store.remove("example.net").has_value());
    CHECK(s.sign(message, s.wanted("example.net")) == message);
}

TEST_CASE("what memory knows to be without keys is not asked for on a pool") {
    Signing s;
    CHECK(s.signer.may_sign(s.wanted("example.net")));
    CHECK(s.sign(head, s.wanted("example.net")) == head);
    CHECK_FALSE(s.signer.may_sign(s.wanted("example.net")));
    CHECK_FALSE(s.signer.may_sign(s.wanted("")));
    CHECK(s.signer.counted(Outcome::no_key) == 3);
    CHECK(s.signer.may_sign(s.wanted("example.net", both, "default.example")));
    (void)s.make("example.net", both);
    CHECK(s.signer.may_sign(s.wanted("example.net")));
}

TEST_CASE("a damaged key is counted with each mail that goes without its signature") {
    Signing s;
    const auto made = s.make("example.net", both);
    s.write("example.net/" + made[0].key.selector + ".pem", "no key");
    for (int i = 0; i < 3; ++i) {
        CHECK(s.signer.may_sign(s.wanted("example.net")));
        CHECK(verdicts(s.sign(head + "x\r\n", s.wanted("example.net")), s.store) ==
              Names{"ed25519-sha256 example.net ok"});
    }
    CHECK(s.signer.counted(Outcome::failed, DkimAlgorithm::rsa) == 3);
    CHECK(s.signer.counted(Outcome::ok, DkimAlgorithm::ed25519) == 3);
    CHECK(s.damage.size() == 1);
    s.write("example.net/keys", "");
    auto other = s.open();
    Signer again(other, s.events);
    const std::string_view piece = head;
    CHECK(again.sign(s.wanted("example.net"), std::span(&piece, 1)).empty());
    CHECK(again.counted(Outcome::failed) == 1);
    CHECK(again.counted(Outcome::no_key) == 0);
}

TEST_CASE("a message that cannot be signed goes unsigned, and the log says why") {
    Signing s;
    (void)s.make("example.net");
    const auto message = GENERATE(std::string("To: x\r\n\r\nno From\r\n"),
                                  std::string("From: a@b\r\nFrom: c@d\r\n\r\n"), [] {
                                      std::string many = "From: a@b\r\n";
                                      for (std::size_t n = 0; n < proto::signed_fields_limit; ++n)
                                          many += "To: c@d\r\n";
                                      return many + "\r\n";
                                  }());
    CHECK(s.sign(message, s.wanted("example.net")) == message);
    CHECK(s.signer.counted(Outcome::failed) == 1);
    REQUIRE(s.events.logged().size() == 1);
    CHECK(s.events.logged()[0].starts_with("01REF goes unsigned by example.net: "));
}

TEST_CASE("the configuration says which domains and algorithms") {
    relay::config::Config config;
    config.dkim.default_domain = "default.example";
    const Wanted by = wanted_by(config, "01REF", "M\xc3\xbcller.Example");
    CHECK(by.ref == "01REF");
    CHECK(by.from_domain == "xn--mller-kva.example");
    CHECK(by.default_domain == "default.example");
    CHECK(by.algorithms == both);
    CHECK(by.unix_seconds > 1'700'000'000);
    CHECK(wanted_by(config, "", "[192.0.2.1]").from_domain.empty());
    CHECK(wanted_by(config, "", "").from_domain.empty());
}

TEST_CASE("the desk signs on the pool, many at a time") {
    Signing s;
    (void)s.make("example.net", {DkimAlgorithm::ed25519});
    boost::asio::thread_pool pool(2);
    relay::asio::io_context context(1);
    SigningDesk desk(s.signer, pool);
    const std::string message = head + "Hello.\r\n";
    int good = 0;
    int plain = 0;
    const auto one = [](SigningDesk& at, const Wanted& by, const std::string& text,
                        const KeyStore& store, int& count) -> relay::awaitable<void> {
        const auto fields = co_await at.sign(by, {text});
        if (fields && (fields->empty() ? by.from_domain != "example.net"
                                       : verdicts(*fields + text, store) ==
                                             Names{"ed25519-sha256 example.net ok"}))
            ++count;
    };
    const Wanted signs = s.wanted("example.net");
    const Wanted none = s.wanted("other.example");
    for (int i = 0; i < 50; ++i) {
        for (auto* of : {&signs, &none}) {
            relay::asio::co_spawn(context,
                                  one(desk, *of, message, s.store, of == &signs ? good : plain),
                                  [](std::exception_ptr thrown) { CHECK(thrown == nullptr); });
        }
    }
    context.run();
    pool.join();
    CHECK(good == 50);
    CHECK(plain == 50);
    CHECK(desk.waiting() == 0);
}

TEST_CASE("beyond the bound the desk sends away, and nothing is signed") {
    Signing s;
    (void)s.make("example.net", {DkimAlgorithm::ed25519});
    boost::asio::thread_pool pool(1);
    relay::asio::io_context context(1);
    SigningDesk desk(s.signer, pool);
    // The pool's one thread is held until all have come.
    std::promise<void> hold;
    boost::asio::post(pool, [&hold] { hold.get_future().wait(); });
    int signatures = 0;
    int turned_away = 0;
    const auto one = [](SigningDesk& at, Wanted by, int& yes, int& no) -> relay::awaitable<void> {
        const auto fields = co_await at.sign(std::move(by), {head});
        ++(fields ? yes : no);
    };
    for (std::size_t i = 0; i < SigningDesk::most_waiting + 3; ++i) {
        relay::asio::co_spawn(context, one(desk, s.wanted("example.net"), signatures, turned_away),
                              [](std::exception_ptr thrown) { CHECK(thrown == nullptr); });
    }
    while (turned_away < 3) context.run_one();
    CHECK(desk.waiting() == SigningDesk::most_waiting);
    hold.set_value();
    context.run();
    pool.join();
    CHECK(signatures == static_cast<int>(SigningDesk::most_waiting));
    CHECK(turned_away == 3);
    CHECK(s.signer.counted(Outcome::overload) == 3);
}
