#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/session.hpp"

namespace postern::tests {

/// Drives a session machine as the relay does, with scripted answers, and keeps what it did. Every
/// piece that is fed lies in storage of its own, freed once the machine asks for more: a view that
/// is kept too long is found by ASan.
class SessionDriver {
  public:
    using Session = proto::Session;

    static constexpr std::string_view ref = "01J00000000000000000000000";
    static constexpr std::string_view plain_secret{"\0ann@example.net\0correct horse", 30};

    explicit SessionDriver(proto::SessionSettings settings = defaults())
        : session(std::make_shared<const proto::SessionSettings>(std::move(settings)),
                  [] { return std::string(ref); }) {}

    static proto::SessionSettings defaults() {
        return {.hostname = "smtp.example.net", .contact = "help@example.net"};
    }
    static proto::SessionSettings implicit_tls() {
        auto settings = defaults();
        settings.implicit_tls = true;
        return settings;
    }

    /// Carries out actions until the machine waits for octets, for the handshake, or is finished.
    void run() {
        while (true) {
            if (!step()) return;
        }
    }

    /// Feeds in pieces of at most `cut` octets. What comes after the machine has finished is
    /// dropped.
    void feed(std::string_view octets, std::size_t cut) {
        run();
        while (!octets.empty() && open && !tls_wanted) {
            const std::size_t length = std::min(cut, octets.size());
            piece = std::make_unique<char[]>(length);
            std::copy_n(octets.data(), length, piece.get());
            octets.remove_prefix(length);
            session.feed({piece.get(), length});
            run();
        }
        left_over += octets;
    }

    void start_tls() {
        events.emplace_back("handshake");
        tls_wanted = false;
        session.tls_started(mechanisms);
        run();
    }

    /// A session that has logged in already; what was said is forgotten.
    static SessionDriver logged_in(proto::SessionSettings settings = implicit_tls()) {
        SessionDriver driver(std::move(settings));
        driver.run();
        driver.start_tls();
        driver.feed("EHLO there\r\nAUTH PLAIN AGFubkBleGFtcGxlLm5ldABjb3JyZWN0IGhvcnNl\r\n", 4096);
        driver.said.clear();
        driver.events.clear();
        driver.sends = 0;
        static_cast<void>(driver.session.take_notes());
        return driver;
    }

    Session session;
    std::vector<std::string> mechanisms{"SCRAM-SHA-256", "PLAIN", "LOGIN"};
    /// Answers by stage, first in first out; none, or unset, is yes (for a commit: 250 2.0.0 ok).
    std::map<std::string, std::deque<std::optional<proto::Reply>>> answers;

    std::string said;                   ///< All that was sent.
    std::vector<std::string> events;    ///< The actions, in order, without reads, sends and chunks.
    std::string message;                ///< Octets of the message under way.
    std::vector<std::string> messages;  ///< Committed ones.
    std::size_t chunks = 0;
    std::size_t sends = 0;
    Session::Read last_read{};
    std::string left_over;
    bool tls_wanted = false;
    bool open = true;
    bool identifies = false;  ///< At each MAIL: the client is known by its address.

  private:
    std::optional<proto::Reply> answer(const std::string& stage) {
        auto& queue = answers[stage];
        if (queue.empty()) return std::nullopt;
        auto reply = std::move(queue.front());
        queue.pop_front();
        return reply;
    }

    bool step() {
        const auto action = session.next();
        return std::visit([this](const auto& which) { return carry_out(which); }, action);
    }

    bool carry_out(const Session::Read& read) {
        last_read = read;
        piece.reset();
        return false;
    }
    bool carry_out(const Session::Send&) {
        said += session.output();
        ++sends;
        session.sent();
        return true;
    }
    bool carry_out(const Session::StartTls&) {
        tls_wanted = true;
        return false;
    }
    bool carry_out(const Session::Auth& auth) {
        if (!auth.mechanism.empty()) {
            events.push_back("auth " + auth.mechanism);
            mechanism = auth.mechanism;
            login_name.clear();
        }
        if (mechanism == "LOGIN") {
            login(auth);
        } else if (!auth.response) {
            session.auth_challenge("");
        } else if (auto reply = answer("auth")) {
            session.auth_failed(*reply);
        } else if (auth.response->reveal() == plain_secret) {
            session.auth_succeeded();
        } else {
            refuse_login();
        }
        return true;
    }
    void login(const Session::Auth& auth) {
        if (!auth.response) {
            session.auth_challenge("Username:");
        } else if (login_name.empty()) {
            login_name = auth.response->reveal();
            login_name += '\n';
            session.auth_challenge("Password:");
        } else if (login_name == "ann@example.net\n" &&
                   auth.response->reveal() == "correct horse") {
            session.auth_succeeded();
        } else {
            refuse_login();
        }
    }
    void refuse_login() {
        session.auth_failed({.code = 535, .enhanced = "5.7.8", .text = "authentication failed"});
    }
    bool carry_out(const Session::AuthAborted&) {
        events.emplace_back("abort");
        return true;
    }
    bool carry_out(const Session::Ask& ask) {
        const std::string stage = ask.stage == Session::Stage::mail   ? "mail"
                                  : ask.stage == Session::Stage::rcpt ? "rcpt"
                                                                      : "data";
        events.push_back("ask " + stage);
        if (stage == "mail" && identifies) session.identified();
        if (auto reply = answer(stage)) {
            session.refuse(*std::move(reply));
        } else {
            session.accept();
        }
        if (stage == "mail") message.clear();
        return true;
    }
    bool carry_out(const Session::BodyChunk& chunk) {
        message += chunk.bytes;
        ++chunks;
        return true;
    }
    bool carry_out(const Session::Commit&) {
        events.emplace_back("commit");
        messages.push_back(message);
        session.committed(answer("commit").value_or(
            proto::Reply{.code = 250, .enhanced = "2.0.0", .text = "ok"}));
        return true;
    }
    bool carry_out(const Session::Discard&) {
        events.emplace_back("discard");
        return true;
    }
    bool carry_out(const Session::Finish& finish) {
        if (open) events.emplace_back(finish.clean ? "finish clean" : "finish");
        open = false;
        return false;
    }

    std::unique_ptr<char[]> piece;
    std::string mechanism;
    std::string login_name;
};

}  // namespace postern::tests
