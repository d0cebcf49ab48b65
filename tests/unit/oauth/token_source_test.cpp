#include "relay/oauth/token_source.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "relay/event/stream.hpp"
#include "tests/catch.hpp"

using namespace std::chrono_literals;
using namespace postern::relay;
using postern::proto::Secret;

namespace {

const oauth::TokenSource::time opened{200h};

oauth::FetchedToken a_token(const char* text) {
    return {.token = Secret(text), .life = 3600s, .refresh_token = {}};
}
oauth::TokenFault a_fault(oauth::TokenFault::Kind kind) {
    return {.kind = kind, .what = "no such luck"};
}

struct Tokens {
    event::NullStream events;
    oauth::TokenSource source{{.upstream = "primary", .oauth = {}, .file = {}}, events};
    std::vector<std::string> told{};
    int woken = 0;

    Tokens() {
        source.on_wanted([this] { ++woken; });
    }
    /// The token, "-TROUBLE", or "wait".
    std::string ask(oauth::TokenSource::time now) {
        const auto got =
            source.ask(now, [this](oauth::AccessToken token) { told.push_back(in_words(token)); });
        return got ? in_words(*got) : "wait";
    }
    static std::string in_words(const oauth::AccessToken& token) {
        return token.serial != 0 ? std::string(token.text.reveal()) : "-" + token.trouble;
    }
    void fetch(oauth::TokenSource::time now,
               boost::system::result<oauth::FetchedToken, oauth::TokenFault> got) {
        source.fetch_began();
        source.fetch_ended(now, std::move(got));
    }
};

/// A folder that goes away with all that is in it.
struct StateFolder {
    std::string path;
    StateFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "tokens-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    StateFolder(const StateFolder&) = delete;
    StateFolder& operator=(const StateFolder&) = delete;
    ~StateFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
    [[nodiscard]] std::string file() const { return path + "/keys/oauth-primary"; }
};

std::vector<std::string> revealed(oauth::RefreshTokens& tokens) {
    std::vector<std::string> out;
    for (const Secret& one : tokens.candidates()) out.emplace_back(one.reveal());
    return out;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("those who ask before the token is there wait, and all hear of one fetch") {
    Tokens tokens;
    CHECK(tokens.ask(opened) == "wait");
    CHECK(tokens.ask(opened) == "wait");
    tokens.fetch(opened + 1s, a_token("first"));
    CHECK(tokens.told == Texts{"first", "first"});
    CHECK(tokens.ask(opened + 2s) == "first");
    CHECK(tokens.source.next_fetch() == opened + 1s + 2880s);
}

TEST_CASE("no more wait than may") {
    Tokens tokens;
    for (std::size_t i = 0; i < oauth::TokenSource::max_waiting; ++i)
        REQUIRE(tokens.ask(opened) == "wait");
    CHECK(tokens.ask(opened) == "-too many wait for a token");
    tokens.fetch(opened, a_token("first"));
    CHECK(tokens.told.size() == oauth::TokenSource::max_waiting);
}

TEST_CASE("a failure is told at once to who has no token, and to nobody who has one") {
    const auto kind = GENERATE(oauth::TokenFault::Kind::passing, oauth::TokenFault::Kind::grant);
    Tokens tokens;
    CHECK(tokens.ask(opened) == "wait");
    tokens.fetch(opened, a_fault(kind));
    CHECK(tokens.told == Texts{"-no such luck"});
    CHECK(tokens.ask(opened + 1s) == "-no such luck");
    tokens.fetch(opened + 5s, a_token("first"));
    tokens.fetch(opened + 2890s, a_fault(kind));
    CHECK(tokens.ask(opened + 2891s) == "first");
}

TEST_CASE("a token that was good and is refused wakes the fetcher, another's refusal does not") {
    Tokens tokens;
    tokens.fetch(opened, a_token("first"));
    tokens.source.worked(1);
    tokens.source.rejected(opened + 1s, 7);
    CHECK(tokens.woken == 0);
    tokens.source.rejected(opened + 1s, 1);
    CHECK(tokens.woken == 1);
    CHECK(tokens.ask(opened + 1s) == "wait");
    tokens.fetch(opened + 2s, a_token("second"));
    CHECK(tokens.told == Texts{"second"});
    // Connections that still had the first one say so late.
    tokens.source.rejected(opened + 3s, 1);
    CHECK(tokens.woken == 1);
    CHECK(tokens.ask(opened + 3s) == "second");
}

TEST_CASE("retired, it lets go of all who wait and keeps nobody any more") {
    Tokens tokens;
    CHECK(tokens.ask(opened) == "wait");
    tokens.source.retire();
    CHECK(tokens.told == Texts{"-the configuration has changed"});
    CHECK(tokens.ask(opened).starts_with("-"));
    CHECK(tokens.woken == 0);
}

TEST_CASE("a refresh token that was given goes before the configured one, over a restart too") {
    const StateFolder state;
    {
        oauth::RefreshTokens tokens(Secret("configured"), state.file());
        CHECK(revealed(tokens) == Texts{"configured"});
        CHECK(tokens.keep(Secret("given")) == std::nullopt);
        CHECK(revealed(tokens) == Texts{"given", "configured"});
    }
    oauth::RefreshTokens again(Secret("configured"), state.file());
    CHECK(revealed(again) == Texts{"given", "configured"});
    struct stat about{};
    REQUIRE(::stat(state.file().c_str(), &about) == 0);
    CHECK((about.st_mode & 0777U) == 0600U);
    std::ifstream in(state.file());
    std::stringstream text;
    text << in.rdbuf();
    CHECK_FALSE(text.str().contains("configured"));
    // Somebody else was given one: it is read before each fetch.
    CHECK(oauth::RefreshTokens(Secret("configured"), state.file()).keep(Secret("newer")) ==
          std::nullopt);
    CHECK(revealed(again) == Texts{"newer", "configured"});
}

TEST_CASE("what was given in place of another one is not used") {
    const StateFolder state;
    REQUIRE_FALSE(oauth::RefreshTokens(Secret("old"), state.file()).keep(Secret("given")));
    oauth::RefreshTokens tokens(Secret("new"), state.file());
    CHECK(revealed(tokens) == Texts{"new"});
}

TEST_CASE("a damaged file is passed over, and one that cannot be written is told") {
    const StateFolder state;
    oauth::RefreshTokens tokens(Secret("configured"), state.file());
    REQUIRE_FALSE(tokens.keep(Secret("given")));
    std::filesystem::resize_file(state.file(), 70);
    oauth::RefreshTokens again(Secret("configured"), state.file());
    CHECK(revealed(again) == Texts{"configured"});
    oauth::RefreshTokens lost(Secret("configured"), state.path + "/no/such/folder/oauth");
    CHECK(lost.keep(Secret("given")));
    CHECK(revealed(lost) == Texts{"given", "configured"});
}
