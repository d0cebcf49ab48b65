// The daemon itself is asked by tests/backends; here are the answers that it never gives.

#include "auth/saslauthd_backend.hpp"

#include <functional>
#include <string>
#include <thread>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "scratch.hpp"
#include "tests/catch.hpp"

namespace postern::auth {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using Kind = BackendAnswer::Kind;

/// Takes one connection, reads the question and does with it what it is told.
class Daemon {
  public:
    Daemon(const std::string& path, std::function<void(int fd)> answer) {
        sockaddr_un place{};
        place.sun_family = AF_UNIX;
        path.copy(place.sun_path, sizeof place.sun_path - 1);
        listening_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        REQUIRE(::bind(listening_, reinterpret_cast<sockaddr*>(&place), sizeof place) == 0);
        REQUIRE(::listen(listening_, 1) == 0);
        thread_ = std::thread([this, answer = std::move(answer)] {
            const int fd = ::accept(listening_, nullptr, nullptr);
            if (fd < 0) return;
            question_ = read_question(fd);
            answer(fd);
            ::close(fd);
        });
    }
    ~Daemon() {
        ::shutdown(listening_, SHUT_RDWR);
        if (thread_.joinable()) thread_.join();
        ::close(listening_);
    }
    Daemon(const Daemon&) = delete;
    Daemon& operator=(const Daemon&) = delete;

    /// "user|password|service|realm"
    [[nodiscard]] std::string question() {
        thread_.join();
        return question_;
    }

  private:
    static std::string read_question(int fd) {
        std::string out;
        for (int field = 0; field < 4; ++field) {
            unsigned char head[2] = {};
            if (::recv(fd, head, 2, MSG_WAITALL) != 2) return out;
            std::string text((std::size_t{head[0]} << 8U) | head[1], '\0');
            if (!text.empty() && ::recv(fd, text.data(), text.size(), MSG_WAITALL) !=
                                     static_cast<ssize_t>(text.size()))
                return out;
            out += (field > 0 ? "|" : "") + text;
        }
        return out;
    }

    int listening_ = -1;
    std::string question_;
    std::thread thread_;
};

std::string counted(const std::string& text) {
    return std::string{static_cast<char>(text.size() >> 8U),
                       static_cast<char>(text.size() & 0xFFU)} +
           text;
}

void say(int fd, const std::string& octets) {
    (void)::send(fd, octets.data(), octets.size(), MSG_NOSIGNAL);
}

TEST_CASE("each answer of a daemon has a meaning, however it comes and whatever it is") {
    struct Row {
        std::string octets;
        Kind expected;
        const char* detail;
    };
    const Row rows[] = {
        {counted("OK"), Kind::ok, ""},
        {counted("OK welcome"), Kind::ok, ""},
        {counted("NO"), Kind::failed, ""},
        {counted("NO authentication failed"), Kind::failed, ""},
        {counted("NO internal mechanism failure"), Kind::error, "internal mechanism failure"},
        {counted("NO PAM start error"), Kind::error, "PAM start error"},
        {counted("ok"), Kind::error, "an answer that is none"},
        {counted("O"), Kind::error, "an answer that is none"},
        {counted(""), Kind::error, "an answer that is none"},
        {"\x00\x05OK"s, Kind::error, "hung up"},
        {"\x00"s, Kind::error, "hung up"},
        {"", Kind::error, "hung up"},
        {"\xFF\xFFOK"s + std::string(70000, 'x'), Kind::ok, ""},
        {"\xFF\xFF"s + std::string(70000, 'x'), Kind::error, "an answer that is none"},
    };
    for (const bool in_pieces : {false, true}) {
        for (const Row& row : rows) {
            if (in_pieces && row.octets.size() > 100) continue;
            INFO(row.octets.substr(0, 40) << (in_pieces ? " in pieces" : ""));
            const test::Scratch scratch;
            const std::string path = (scratch / "mux").string();
            Daemon daemon(path, [&](int fd) {
                if (!in_pieces) return say(fd, row.octets);
                for (const char c : row.octets) {
                    say(fd, std::string(1, c));
                    std::this_thread::sleep_for(1ms);
                }
            });
            const auto backend =
                make_saslauthd_backend({.path = path, .domain = "home.example", .timeout = 20s});
            const BackendAnswer answer = backend->check({"ann", "home.example"}, "pencil");
            CHECK(answer.kind == row.expected);
            CHECK(answer.detail.contains(row.detail));
            CHECK(daemon.question() == "ann|pencil|smtp|home.example");
        }
    }
}

TEST_CASE("a user of another domain is asked for by the whole name: the realm may be dropped") {
    const test::Scratch scratch;
    const std::string path = (scratch / "mux").string();
    Daemon daemon(path, [](int fd) { say(fd, counted("OK")); });
    const auto backend =
        make_saslauthd_backend({.path = path, .domain = "home.example", .timeout = 20s});
    CHECK(backend->check({"ann", "other.example"}, "pencil").kind == Kind::ok);
    CHECK(daemon.question() == "ann@other.example|pencil|smtp|");
}

TEST_CASE("a daemon that says nothing, or not enough, is late; one that is not there is away") {
    const test::Scratch scratch;
    const auto backend_at = [&](const std::string& path) {
        return make_saslauthd_backend({.path = path, .domain = "home.example", .timeout = 50ms});
    };
    for (const std::string& begun : {""s, "\x00"s, "\x00\x02O"s}) {
        const std::string path = (scratch / ("mux" + std::to_string(begun.size()))).string();
        int other[2];
        REQUIRE(::pipe(other) == 0);
        {
            Daemon daemon(path, [&](int fd) {
                say(fd, begun);
                char end = 0;
                (void)::read(other[0], &end, 1);
            });
            CHECK(backend_at(path)->check({"ann", "home.example"}, "pencil").kind == Kind::timeout);
            REQUIRE(::write(other[1], "x", 1) == 1);
        }
        ::close(other[0]);
        ::close(other[1]);
    }
    const BackendAnswer gone =
        backend_at((scratch / "nothing").string())->check({"ann", "home.example"}, "pencil");
    CHECK(gone.kind == Kind::error);
    CHECK(gone.detail.contains("No such file"));
    CHECK(backend_at(std::string(200, 'x'))->check({"ann", "home.example"}, "p").kind ==
          Kind::error);
}

TEST_CASE("what the daemon would refuse as too long is wrong without a question") {
    const auto backend = make_saslauthd_backend(
        {.path = "/nonexistent/mux", .domain = "home.example", .timeout = 50ms});
    CHECK(backend->check({"ann", "home.example"}, std::string(257, 'x')).kind == Kind::failed);
    CHECK(backend->check({"ann", "home.example"}, std::string(256, 'x')).kind == Kind::error);
    CHECK(backend->fetch({"ann", "home.example"}).kind == Kind::error);
}

}  // namespace
}  // namespace postern::auth
