// What is left of an attempt or a probe that ends by an exception: memory runs out under them. Not
// with a sanitizer, whose own operator new this one would stand beside.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define POSTERN_SANITIZED
#endif
#endif

#ifndef POSTERN_SANITIZED
#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/catch.hpp"
#include "tests/unit/upstream/bench.hpp"

using namespace std::chrono_literals;
using namespace postern::relay;
using postern::test::Bench;
using How = AttemptResult::How;

namespace {

/// The largest piece of memory that may be had; 0: no bound.
std::atomic<std::size_t> largest{0};

struct Scarce {
    explicit Scarce(std::size_t octets) { largest = octets; }
    Scarce(const Scarce&) = delete;
    Scarce& operator=(const Scarce&) = delete;
    ~Scarce() { largest = 0; }
};

}  // namespace

void* operator new(std::size_t n) {
    if (const std::size_t most = largest; most == 0 || n <= most) {
        if (void* p = std::malloc(n == 0 ? 1 : n)) return p;
    }
    throw std::bad_alloc();
}
void operator delete(void* p) noexcept {
    std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
    std::free(p);
}

TEST_CASE("an attempt that ends by an exception is finished, and may still be abandoned") {
    Bench bench(1);
    const AttemptPtr attempt = bench.start("a", 20'000);
    {
        const Scarce memory(100'000);  // The list of its pieces needs more.
        REQUIRE(bench.run_until([&] { return bench.thrown == 1; }));
    }
    CHECK(bench.path->connections() == 0);
    attempt->abandon();
    REQUIRE(attempt->finished());
    CHECK(attempt->take_result().how == How::broken);
    const AttemptPtr next = bench.start("b");
    CHECK(bench.run_until([&] { return bench.server.dots == 1; }));
}

TEST_CASE("a probe that ends by an exception is not the last one") {
    Bench bench(1);
    const auto now = std::chrono::steady_clock::now();
    bench.path->trip(now, "auth", "535 no");
    REQUIRE(bench.path->claim_probe(now + 5s));
    bench.server.ehlo = "250-" + std::string(40'000, 'x') + "\r\n250 upstream\r\n";
    {
        const Scarce memory(20'000);
        bench.tasks.spawn(bench.pool.probe(bench.path));
        REQUIRE(bench.run_until([&] { return bench.thrown == 1; }));
    }
    CHECK_FALSE(bench.path->takes_mail(now + 5s));
    CHECK(bench.path->claim_probe(now + 1min));
}
#endif
