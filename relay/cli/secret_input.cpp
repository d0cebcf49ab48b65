#include "relay/cli/secret_input.hpp"

#include <string.h>  // explicit_bzero
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string_view>

#include "proto/utf8.hpp"

namespace postern::relay::cli {
namespace {

constexpr std::size_t longest_line = 4096;

/// A line without its end; empty optional at the end of input or where it is too long.
std::optional<proto::Secret> read_line() {
    std::array<char, longest_line> line{};
    std::size_t size = 0;
    while (size < line.size()) {
        const ssize_t got = ::read(STDIN_FILENO, line.data() + size, 1);
        if (got < 0) return std::nullopt;
        if (got == 0 && size == 0) return std::nullopt;
        if (got == 0 || line[size] == '\n') break;
        ++size;
    }
    if (size == line.size()) return std::nullopt;
    if (size > 0 && line[size - 1] == '\r') --size;
    std::optional<proto::Secret> secret(std::string_view(line.data(), size));
    explicit_bzero(line.data(), line.size());
    return secret;
}

/// Terminal echo off while it lives.
class Quiet {
  public:
    Quiet() {
        known_ = tcgetattr(STDIN_FILENO, &before_) == 0;
        termios silent = before_;
        silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
        if (known_) tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    }
    ~Quiet() {
        if (known_) tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
    }
    Quiet(const Quiet&) = delete;
    Quiet& operator=(const Quiet&) = delete;

  private:
    termios before_{};
    bool known_ = false;
};

std::optional<proto::Secret> ask(const char* question) {
    std::fputs(question, stderr);
    std::fflush(stderr);
    const Quiet quiet;
    auto line = read_line();
    std::fputs("\n", stderr);
    return line;
}

}  // namespace

std::optional<proto::Secret> read_password(std::string& error) {
    const bool terminal = isatty(STDIN_FILENO) == 1;
    auto password = terminal ? ask("Password: ") : read_line();
    if (!password || password->empty()) {
        error = "one line that is not empty is expected on standard input";
        return std::nullopt;
    }
    if (!proto::valid_utf8(password->reveal())) {
        error = "the password is no UTF-8; set the terminal to UTF-8";
        return std::nullopt;
    }
    if (terminal) {
        const auto again = ask("Again: ");
        if (!again || again->reveal() != password->reveal()) {
            error = "the two differ; nothing was changed";
            return std::nullopt;
        }
    }
    return password;
}

}  // namespace postern::relay::cli
