#include "relay/oauth/token_keys.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <variant>
#include <vector>

#include "tests/catch.hpp"

using namespace std::chrono_literals;
using namespace postern::relay;
using oauth::KeySchedule;
using oauth::TokenKeys;
using Asked = TokenKeys::Asked;

namespace {

const KeySchedule::time start{100h};

const std::string one_key =
    R"({"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHv)"
    R"(RVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]})";

/// Keeps what was told, in short.
struct Told : event::Stream {
    std::vector<std::string> lines;
    void emit(event::Payload what) noexcept override {
        if (const auto* const log = std::get_if<event::Log>(&what))
            lines.push_back((log->level == event::Level::warning ? "warning " : "info ") +
                            log->text);
        if (const auto* const alert = std::get_if<event::AlertRaised>(&what))
            lines.push_back("alert " + alert->kind + " " + alert->subject +
                            (alert->resolved ? " resolved" : ""));
    }
    [[nodiscard]] std::size_t count(std::string_view what) const {
        std::size_t found = 0;
        for (const std::string& line : lines) found += line.contains(what) ? 1 : 0;
        return found;
    }
};

config::OAuth of_url() {
    config::OAuth out{.issuer = "i", .audience = "a", .jwks = {}, .claim = "email"};
    out.jwks.url = "https://a.example/jwks";
    out.jwks.host = "a.example";
    out.jwks.target = "/jwks";
    return out;
}

struct Bench {
    Told told;
    TokenKeys keys{of_url(), told};
    int woken = 0;
    std::vector<bool> heard;

    Bench() {
        keys.on_wanted([this] { ++woken; });
    }
    Asked ask(KeySchedule::time now) {
        return keys.ask(now, [this](bool good) { heard.push_back(good); });
    }
    void fetch(KeySchedule::time now, const std::string& body) {
        keys.fetch_began(now);
        keys.fetch_ended(now, &body, "");
    }
    void fail(KeySchedule::time now) {
        keys.fetch_began(now);
        keys.fetch_ended(now, nullptr, "connection refused");
    }
};

}  // namespace

TEST_CASE("whoever asks before the first fetch hears of its end, with the keys in place") {
    Bench bench;
    CHECK(bench.ask(start) == Asked::wait);
    CHECK(bench.ask(start) == Asked::wait);
    CHECK(bench.woken == 2);
    CHECK(bench.keys.next_fetch(start) <= start);
    CHECK(bench.heard.empty());
    bench.fetch(start, one_key);
    CHECK(bench.heard == std::vector<bool>{true, true});
    REQUIRE(bench.keys.authority()->keys());
    CHECK(bench.ask(start + 1s) == Asked::settled);
    CHECK(bench.keys.authority()->rules().issuer == "i");
}

TEST_CASE("garbage counts as a failure, and what was there goes on") {
    Bench bench;
    bench.fetch(start, one_key);
    const auto before = bench.keys.authority()->keys();
    for (const std::string garbage : {"", "<html>", "{}", R"({"keys":[]})"}) {
        CHECK(bench.ask(start + 61s) != Asked::settled);
        bench.fetch(start + 61s, garbage);
        CHECK(bench.keys.authority()->keys() == before);
    }
    CHECK(bench.heard == std::vector<bool>{false});
    CHECK(bench.ask(start + 62s) == Asked::later);
}

TEST_CASE("one warning a series of failures, an alert from the third on, resolved by a good one") {
    Bench bench;
    bench.fail(start);
    bench.fail(start + 5s);
    CHECK(bench.told.count("warning the keys of tokens cannot be fetched from "
                           "https://a.example/jwks: connection refused; logins by token hear "
                           "454") == 1);
    CHECK(bench.told.count("alert") == 0);
    bench.fail(start + 15s);
    bench.fail(start + 35s);
    CHECK(bench.told.count("warning") == 1);
    CHECK(bench.told.count("alert backend_down https://a.example/jwks") ==
          2);  // The book coalesces.
    bench.fetch(start + 75s, one_key);
    CHECK(bench.told.count("alert backend_down https://a.example/jwks resolved") == 1);
    bench.fetch(start + 16min, one_key);
    CHECK(bench.told.count("resolved") == 1);
    CHECK(bench.keys.fetches().good == 2);
    CHECK(bench.keys.fetches().failed == 4);
    CHECK(bench.told.count("1 keys to check tokens with") == 1);  // The same ones are no news.
}

TEST_CASE("after a day without a good fetch the keys hold no more") {
    Bench bench;
    bench.fetch(start, one_key);
    bench.fail(start + 23h);
    CHECK(bench.keys.authority()->keys());
    bench.fail(start + 24h);
    CHECK_FALSE(bench.keys.authority()->keys());
    CHECK(bench.ask(start + 24h + 1s) == Asked::later);
    bench.fetch(start + 25h, one_key);
    CHECK(bench.keys.authority()->keys());
}

TEST_CASE("those who wait are bounded") {
    Bench bench;
    for (std::size_t i = 0; i < TokenKeys::max_waiting; ++i) CHECK(bench.ask(start) == Asked::wait);
    CHECK(bench.ask(start) == Asked::later);
    bench.fail(start);
    CHECK(bench.heard.size() == TokenKeys::max_waiting);
}

TEST_CASE("a file is read whole or not at all, and is as fresh as it can be") {
    const auto path = std::filesystem::temp_directory_path() /
                      ("postern-jwks-" + std::to_string(::getpid()) + ".json");
    Told told;
    config::OAuth settings{.issuer = "i", .audience = "a", .jwks = {}, .claim = "email"};
    settings.jwks.file = path.string();
    TokenKeys keys(settings, told);
    CHECK_FALSE(keys.by_url());
    CHECK(keys.read_file().error() ==
          "auth.oauth.jwks: " + path.string() + ": No such file or directory");
    std::ofstream(path) << one_key;
    const auto read = keys.read_file();
    REQUIRE(read.has_value());
    CHECK_FALSE(keys.authority()->keys());
    keys.use(*read);
    REQUIRE(keys.authority()->keys());
    CHECK(keys.ask(start, nullptr) == Asked::settled);
    std::ofstream(path) << "{";
    CHECK_FALSE(keys.read_file().has_value());
    CHECK(keys.authority()->keys());
    std::ofstream(path) << std::string((1U << 20U) + 1, ' ');
    CHECK(keys.read_file().error().ends_with("larger than 1 MiB"));
    std::filesystem::remove(path);
}
