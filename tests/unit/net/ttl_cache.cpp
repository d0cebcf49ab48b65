#include "relay/net/ttl_cache.hpp"

#include "relay/net/error.hpp"
#include "tests/catch.hpp"

using namespace postern;
using namespace std::chrono_literals;
using relay::net::Error;

namespace {

using Cache = relay::net::TtlCache<std::string>;

const Cache::time_point start{1000s};

std::string seen(const Cache& cache, const std::string& key, Cache::time_point now) {
    const auto* kept = cache.fresh(key, now);
    if (kept == nullptr) return "ask";
    if (kept->error) return "none";
    return kept->value + (kept->stale ? " (stale)" : "");
}

std::string fallback(const Cache& cache, const std::string& key, Cache::time_point now) {
    const auto* kept = cache.last_good(key, now);
    return kept == nullptr ? "nothing" : kept->value;
}

}  // namespace

TEST_CASE("an answer holds for its time to live, within bounds", "[net][dns]") {
    struct Row {
        std::chrono::seconds ttl;
        std::chrono::seconds holds;
    };
    const auto row = GENERATE(Row{0s, 5s}, Row{1s, 5s}, Row{60s, 60s}, Row{3600s, 3600s},
                              Row{2147483647s, 3600s});
    Cache cache({});
    CHECK(seen(cache, "a", start) == "ask");
    cache.answer("a", "one", row.ttl, start);
    CHECK(seen(cache, "a", start + row.holds - 1ms) == "one");
    CHECK(seen(cache, "a", start + row.holds) == "ask");
}

TEST_CASE("while asking fails the last good answer serves for a time", "[net][dns]") {
    Cache cache({});
    cache.answer("a", "one", 60s, start);
    CHECK(fallback(cache, "a", start + 61s) == "one");
    cache.failed("a", start + 61s);
    CHECK(seen(cache, "a", start + 61s) == "one (stale)");
    CHECK(seen(cache, "a", start + 66s) == "ask");
    CHECK(fallback(cache, "a", start + 66s) == "one");
    CHECK(fallback(cache, "a", start + 60s + 1h - 1ms) == "one");
    cache.failed("a", start + 60s + 1h - 1s);
    CHECK(seen(cache, "a", start + 60s + 1h - 1ms) == "one (stale)");
    CHECK(seen(cache, "a", start + 60s + 1h) == "ask");
    CHECK(fallback(cache, "a", start + 60s + 1h) == "nothing");
    cache.failed("a", start + 60s + 1h);
    CHECK(seen(cache, "a", start + 60s + 1h) == "ask");
    cache.answer("a", "two", 60s, start + 2h);
    CHECK(seen(cache, "a", start + 2h) == "two");
}

TEST_CASE("a failure without an answer before it is not remembered", "[net][dns]") {
    Cache cache({});
    cache.failed("a", start);
    CHECK(seen(cache, "a", start) == "ask");
    CHECK(cache.size() == 0);
}

TEST_CASE("what is denied is no longer there, for a few seconds", "[net][dns]") {
    Cache cache({});
    cache.answer("a", "one", 60s, start);
    cache.none("a", Error::name_not_found, start + 60s);
    CHECK(seen(cache, "a", start + 60s) == "none");
    CHECK(fallback(cache, "a", start + 60s) == "nothing");
    CHECK(seen(cache, "a", start + 65s) == "ask");
    cache.failed("a", start + 65s);
    CHECK(seen(cache, "a", start + 65s) == "ask");
}

TEST_CASE("names remembered are bounded, and what is over goes first", "[net][dns]") {
    Cache cache({.keep = 0s, .entries = 3});
    cache.answer("old", "x", 5s, start);
    cache.answer("b", "b", 60s, start);
    cache.answer("c", "c", 60s, start);
    cache.answer("d", "d", 60s, start + 10s);
    CHECK(cache.size() == 3);
    CHECK(seen(cache, "b", start + 10s) == "b");
    CHECK(seen(cache, "d", start + 10s) == "d");
    for (int i = 0; i < 100; ++i) cache.answer(std::to_string(i), "x", 60s, start + 11s);
    CHECK(cache.size() == 3);
    CHECK(seen(cache, "99", start + 11s) == "x");
    cache.clear();
    CHECK(cache.size() == 0);
}
