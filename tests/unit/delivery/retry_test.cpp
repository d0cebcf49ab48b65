#include "relay/delivery/retry.hpp"

#include "tests/catch.hpp"

using namespace std::chrono_literals;
using postern::relay::retry_delay;

TEST_CASE("retries double from a minute to two hours, with jitter of a fifth") {
    const postern::relay::config::Retry retry;
    const std::chrono::milliseconds plain[] = {1min,  2min,  4min,   8min,  16min,
                                               32min, 64min, 120min, 120min};
    std::uint32_t attempt = 0;
    for (const auto delay : plain) {
        ++attempt;
        CAPTURE(attempt);
        CHECK(retry_delay(retry, attempt, 0.5) == delay);
        CHECK(retry_delay(retry, attempt, 0.0) == delay * 8 / 10);
        CHECK(retry_delay(retry, attempt, 0.9999999) <=
              std::min<std::chrono::milliseconds>(delay * 12 / 10, 120min));
    }
}

TEST_CASE("thousands of attempts overflow nothing") {
    const postern::relay::config::Retry retry;
    CHECK(retry_delay(retry, 4'000'000'000U, 0.5) == 120min);
    CHECK(retry_delay(retry, 0, 0.5) == 30s);
}
