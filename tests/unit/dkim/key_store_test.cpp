#include "relay/dkim/key_store.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "bench.hpp"

using namespace postern;
using namespace postern::relay::dkim;
using namespace std::chrono_literals;
using test::Bench;
using test::DkimAlgorithm;
using Names = std::vector<std::string>;

namespace {

unsigned rights(const std::string& path) {
    struct stat about{};
    REQUIRE(::stat(path.c_str(), &about) == 0);
    return about.st_mode & 07777U;
}

}  // namespace

TEST_CASE("a domain's first keys sign at once, one an algorithm") {
    Bench bench;
    CHECK(bench.signing("example.net").empty());
    const auto made =
        bench.make("Example.NET", {DkimAlgorithm::ed25519, DkimAlgorithm::rsa, DkimAlgorithm::rsa});
    REQUIRE(made.size() == 2);
    CHECK(made[0].domain == "example.net");
    CHECK(made[0].key.selector == "r20231114221321");
    CHECK(made[0].key.algorithm == DkimAlgorithm::rsa);
    CHECK(made[1].key.selector == "e20231114221321");
    CHECK(made[1].key.state == KeyState::active);
    CHECK(made[1].key.created == bench.wall);
    // That there were none was remembered, and the command knows of it.
    CHECK(bench.signing("example.net") == Names{"r20231114221321", "e20231114221321"});
    CHECK(rights(bench.root()) == 0700);
    CHECK(rights(bench.file("example.net")) == 0700);
    for (const char* const name :
         {"example.net/keys", "example.net/r20231114221321.pem", "example.net/e20231114221321.pem"})
        CHECK(rights(bench.file(name)) == 0600);
    CHECK(bench.damage.empty());
}

TEST_CASE("later keys wait for rotate, what signed keeps its record until the next one") {
    Bench bench;
    const std::string first = bench.make("a.example")[0].key.selector;
    const std::string second = bench.make("a.example")[0].key.selector;
    CHECK(bench.states("a.example") == Names{first + " active", second + " new"});
    CHECK(bench.signing("a.example") == Names{first});
    CHECK(bench.store.make("a.example", std::vector{DkimAlgorithm::rsa}, bench.wall).error() ==
          KeyError::new_waits);
    const auto rotated = bench.store.rotate("A.example");
    REQUIRE(rotated.has_value());
    CHECK(rotated->size() == 2);
    CHECK(bench.states("a.example") == Names{first + " retired", second + " active"});
    CHECK(bench.signing("a.example") == Names{second});
    CHECK(bench.store.rotate("a.example").error() == KeyError::nothing_new);
    const std::string third = bench.make("a.example")[0].key.selector;
    REQUIRE(bench.store.rotate("a.example").has_value());
    CHECK(bench.states("a.example") == Names{second + " retired", third + " active"});
    CHECK(std::filesystem::exists(bench.file("a.example/" + second + ".pem")));
    CHECK_FALSE(std::filesystem::exists(bench.file("a.example/" + first + ".pem")));
}

TEST_CASE("keys made within one second have selectors of their own") {
    Bench bench;
    std::vector<std::string> seen;
    for (int i = 0; i < 3; ++i) {
        const auto made =
            bench.store.make("a.example", std::vector{DkimAlgorithm::ed25519}, bench.wall);
        REQUIRE(made.has_value());
        seen.push_back((*made)[0].key.selector);
        if (i > 0) REQUIRE(bench.store.rotate("a.example").has_value());
    }
    CHECK(seen == Names{"e20231114221320", "e20231114221320-2", "e20231114221320-3"});
}

TEST_CASE("removal takes all of a domain, and the next mail goes unsigned") {
    Bench bench;
    (void)bench.make("a.example", {DkimAlgorithm::rsa, DkimAlgorithm::ed25519});
    CHECK(bench.signing("a.example").size() == 2);
    const auto removed = bench.store.remove("a.example");
    REQUIRE(removed.has_value());
    CHECK(*removed == 2);
    CHECK(bench.signing("a.example").empty());
    CHECK_FALSE(std::filesystem::exists(bench.file("a.example")));
    CHECK(bench.store.remove("a.example").error() == KeyError::no_keys);
    CHECK(bench.store.show("a.example").error() == KeyError::no_keys);
    CHECK(bench.store.rotate("a.example").error() == KeyError::no_keys);
}

TEST_CASE("what is no domain is refused before a path is made of it") {
    Bench bench;
    for (const char* const name :
         {"", ".", "..", "../x", "a/b", "a b", "[192.0.2.1]", "a..b", "-a.example", "a.example/"}) {
        CAPTURE(name);
        CHECK_FALSE(domain_form(name));
        CHECK(bench.store.make(name, std::vector{DkimAlgorithm::ed25519}, bench.wall).error() ==
              KeyError::invalid_domain);
        CHECK(bench.store.show(name).error() == KeyError::invalid_domain);
        CHECK(bench.store.remove(name).error() == KeyError::invalid_domain);
    }
    CHECK(domain_form("M\xc3\xbcller.example") == "xn--mller-kva.example");
    CHECK_FALSE(std::filesystem::exists(bench.root()));
    CHECK(bench.store.make("a.example", {}, bench.wall).error() == KeyError::no_algorithm);
}

TEST_CASE("a damaged key is named, and the other one signs on") {
    Bench bench;
    const auto made = bench.make("a.example", {DkimAlgorithm::rsa, DkimAlgorithm::ed25519});
    const std::string rsa = "a.example/" + made[0].key.selector + ".pem";
    const std::string whole = bench.read(rsa);
    const auto damaged = GENERATE_COPY(std::string("no key"), whole.substr(0, whole.size() / 2),
                                       std::string(20'000, 'x'), std::string("another"));
    if (damaged == "another") {
        bench.write(rsa, std::string(SigningKey::make(DkimAlgorithm::rsa)->pem()->reveal()));
    } else {
        bench.write(rsa, damaged);
    }
    const auto keys = bench.store.load("a.example", bench.steady);
    REQUIRE(keys->active.size() == 1);
    CHECK(keys->active[0].selector == made[1].key.selector);
    CHECK(keys->unusable == std::vector{DkimAlgorithm::rsa});
    CHECK_FALSE(keys->whole());
    CHECK(bench.damage == Names{rsa + ": is damaged"});
    // Not with every mail; and mended it is used soon.
    CHECK(bench.store.load("a.example", bench.steady + 29s) == keys);
    bench.write(rsa, whole);
    CHECK(bench.store.load("a.example", bench.steady + 30s)->whole());
    CHECK(bench.damage.size() == 1);
}

TEST_CASE("a key that is gone, and a list that is damaged") {
    Bench bench;
    const auto made = bench.make("a.example");
    const std::string pem = "a.example/" + made[0].key.selector + ".pem";
    SECTION("the key") {
        std::filesystem::remove(bench.file(pem));
        const auto keys = bench.store.load("a.example", bench.steady);
        CHECK(keys->active.empty());
        CHECK(keys->unusable == std::vector{DkimAlgorithm::ed25519});
        REQUIRE(bench.damage.size() == 1);
        CHECK(bench.damage[0].starts_with(pem));
    }
    SECTION("the list") {
        bench.write("a.example/keys", "postern-dkim 1\n");
        const auto keys = bench.store.load("a.example", bench.steady);
        CHECK(keys->active.empty());
        CHECK(keys->unreadable);
        CHECK(bench.damage == Names{"a.example/keys: is damaged"});
        CHECK(bench.store.show("a.example").error() == KeyError::damaged);
        CHECK(bench.store.rotate("a.example").error() == KeyError::damaged);
        CHECK(bench.store.make("a.example", std::vector{DkimAlgorithm::rsa}, bench.wall).error() ==
              KeyError::damaged);
        CHECK(bench.store.list({}, "", 10)->items.empty());
        // The way out.
        CHECK(bench.store.remove("a.example").has_value());
        (void)bench.make("a.example");
        CHECK(bench.signing("a.example").size() == 1);
    }
    SECTION("a list of a later version") {
        bench.write("a.example/keys", "postern-dkim 2\n");
        CHECK(bench.store.load("a.example", bench.steady)->unreadable);
        CHECK(bench.damage == Names{"a.example/keys: was made by a newer postern"});
    }
}

TEST_CASE("keys in memory are bounded, and nothing is read before it is asked for") {
    Bench bench({.loaded = 2, .absent = 2, .loaded_for = 600s, .absent_for = 30s});
    for (const char* const domain : {"a.example", "b.example", "c.example"})
        (void)bench.make(domain);
    for (const char* const domain : {"a.example", "b.example", "c.example"})
        CHECK_FALSE(bench.store.known(domain, bench.steady));
    const auto a = bench.store.load("a.example", bench.steady);
    (void)bench.store.load("b.example", bench.steady);
    CHECK(bench.store.known("a.example", bench.steady) == a);  // Used last now.
    (void)bench.store.load("c.example", bench.steady);
    CHECK(bench.store.known("a.example", bench.steady));
    CHECK_FALSE(bench.store.known("b.example", bench.steady));
    CHECK(bench.store.known("c.example", bench.steady));
    CHECK(bench.store.load("b.example", bench.steady)->active.size() == 1);

    SECTION("absence is remembered for a short time") {
        (void)bench.store.load("none.example", bench.steady);
        CHECK(bench.store.known("none.example", bench.steady + 29s));
        CHECK_FALSE(bench.store.known("none.example", bench.steady + 30s));
    }
    SECTION("presence for a longer one") {
        CHECK(bench.store.known("b.example", bench.steady + 599s));
        CHECK_FALSE(bench.store.known("b.example", bench.steady + 600s));
    }
}

TEST_CASE("what was read before a command changed something is not remembered") {
    KeyCache cache({});
    const KeyCache::Time now{1000h};
    const auto keys = std::make_shared<DomainKeys>();
    keys->domain = "a.example";
    const auto before = cache.generation();
    cache.forget("a.example");
    cache.put(keys, before, now);
    CHECK_FALSE(cache.find("a.example", now));
    cache.put(keys, cache.generation(), now);
    CHECK(cache.find("a.example", now) == keys);
}

TEST_CASE("lists come in pages, in order, whatever lies about in the folder") {
    Bench bench;
    for (const char* const domain : {"c.example", "a.example", "b.example"})
        (void)bench.make(domain, {DkimAlgorithm::rsa, DkimAlgorithm::ed25519});
    std::filesystem::create_directory(bench.file("empty.example"));
    std::filesystem::create_directory(bench.file("No Domain"));
    bench.write("file", "x");
    Names seen;
    std::string cursor;
    std::size_t pages = 0;
    for (;;) {
        const auto page = bench.store.list({}, cursor, 4);
        REQUIRE(page.has_value());
        CHECK(page->items.size() <= 4);
        ++pages;
        for (const KeyInfo& one : page->items)
            seen.push_back(one.domain + " " + std::string(proto::name(one.key.algorithm)));
        if (!page->next) break;
        cursor = *page->next;
    }
    CHECK(pages == 2);
    CHECK(seen == Names{"a.example rsa", "a.example ed25519", "b.example rsa", "b.example ed25519",
                        "c.example rsa", "c.example ed25519"});
    CHECK(bench.store.list({"C.example", "none.example"}, "", 10)->items.size() == 2);
    CHECK(bench.store.list({"no domain"}, "", 10).error() == KeyError::invalid_domain);
    CHECK(bench.store.domains().value() ==
          Names{"a.example", "b.example", "c.example", "empty.example"});
}

TEST_CASE("no other store needs to be told: what is on disk is the truth") {
    Bench bench;
    const auto made = bench.make("a.example");
    auto other = bench.open();
    CHECK(other.load("a.example", bench.steady)->active.size() == 1);
    CHECK(other.show("a.example")->front().key == made[0].key);
}

TEST_CASE("commands and mail at the same time") {
    Bench bench;
    (void)bench.make("a.example");
    std::atomic<bool> over{false};
    std::atomic<int> without{0};
    std::vector<std::thread> mail;
    for (int i = 0; i < 3; ++i) {
        mail.emplace_back([&] {
            while (!over.load()) {
                if (bench.store.load("a.example", bench.steady)->active.empty()) ++without;
                (void)bench.store.load("none.example", bench.steady);
            }
        });
    }
    std::string last;
    for (int i = 0; i < 20; ++i) {
        last = bench.make("a.example")[0].key.selector;
        REQUIRE(bench.store.rotate("a.example").has_value());
    }
    over.store(true);
    for (auto& one : mail) one.join();
    CHECK(bench.signing("a.example") == Names{last});
    CHECK(without.load() == 0);
}
