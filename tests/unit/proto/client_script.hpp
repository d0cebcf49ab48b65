#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "proto/client_session.hpp"

namespace postern::proto::test {

/// An upstream made of answers: the first words of a command choose its reply.
struct Upstream {
    std::string greeting = "220 mx ESMTP\r\n";
    std::string ehlo =
        "250-mx\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-STARTTLS\r\n"
        "250-AUTH PLAIN LOGIN\r\n250 SIZE 10000000\r\n";
    std::string ehlo_tls =
        "250-mx\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n"
        "250-AUTH PLAIN LOGIN\r\n250 SIZE 10000000\r\n";
    std::string helo = "250 mx\r\n";
    std::string starttls = "220 2.0.0 go\r\n";
    std::string auth = "235 2.7.0 welcome\r\n";
    std::string mail = "250 2.1.0 ok\r\n";
    std::map<std::string, std::string, std::less<>> rcpt;  ///< By address; else 250.
    std::string data = "354 go\r\n";
    std::string dot = "250 2.0.0 queued as 1\r\n";
    std::string rset = "250 2.0.0 ok\r\n";
    std::string noop = "250 2.0.0 ok\r\n";
    std::string quit = "221 2.0.0 bye\r\n";

    bool tls = false;
    bool in_data = false;
    std::string login_step;

    std::string answer(std::string_view line) {
        const auto is = [line](std::string_view start) { return line.starts_with(start); };
        if (in_data) {
            in_data = false;
            return line == "." ? dot : std::string{"500 not a dot\r\n"};
        }
        if (is("EHLO ")) return tls ? ehlo_tls : ehlo;
        if (is("HELO ")) return helo;
        if (is("STARTTLS")) return starttls;
        if (is("AUTH LOGIN")) return "334 VXNlcm5hbWU6\r\n";
        if (is("AUTH ")) return auth;
        if (line == "cmVsYXk=") return "334 UGFzc3dvcmQ6\r\n";
        if (line == "c2VjcmV0") return auth;
        if (is("MAIL FROM:")) return mail;
        if (is("RCPT TO:<")) {
            const auto address = line.substr(9, line.find('>') - 9);
            const auto found = rcpt.find(address);
            return found != rcpt.end() ? found->second : "250 2.1.5 ok\r\n";
        }
        if (is("DATA")) {
            in_data = data.starts_with("354");
            return data;
        }
        if (is("RSET")) return rset;
        if (is("NOOP")) return noop;
        if (is("QUIT")) return quit;
        return "500 5.5.2 what\r\n";
    }
};

/// What happened, in words: `> COMMAND` per write, `< stage` per read, and actions by name.
struct Drive {
    ClientSession& session;
    Upstream& upstream;
    std::size_t cut = 100000;
    std::vector<std::string> log{};
    std::vector<std::string> writes{};
    std::string pending{};
    std::size_t steps = 0;
    bool greeted = false;
    /// Called before each step; true: the step was replaced by a fault.
    std::function<bool(Drive&, const ClientSession::Action&)> fault{};

    /// Carries out actions until Ready, MessageDone or Failed.
    ClientSession::Action run() {
        if (!greeted) pending += upstream.greeting;
        greeted = true;
        for (int i = 0; i < 100000; ++i) {
            auto action = session.next();
            if (std::holds_alternative<ClientSession::Ready>(action) ||
                std::holds_alternative<ClientSession::MessageDone>(action) ||
                std::holds_alternative<ClientSession::Failed>(action)) {
                return action;
            }
            ++steps;
            if (fault && fault(*this, action)) continue;
            carry_out(action);
        }
        throw std::runtime_error("the session does not come to an end");
    }

    void carry_out(const ClientSession::Action& action) {
        if (const auto* read = std::get_if<ClientSession::Read>(&action)) {
            log.push_back("< " + std::string(name(read->stage)));
            if (pending.empty()) {
                session.timed_out();
                return;
            }
            const std::size_t n = std::min(cut, pending.size());
            session.feed(std::string_view(pending).substr(0, n));
            pending.erase(0, n);
        } else if (std::holds_alternative<ClientSession::Send>(action)) {
            std::string out(session.output());
            writes.push_back(out);
            session.sent();
            while (!out.empty()) {
                const std::size_t end = out.find("\r\n");
                if (end == std::string::npos) throw std::runtime_error("no line end: " + out);
                const std::string line = out.substr(0, end);
                log.push_back("> " + line);
                pending += upstream.answer(line);
                out.erase(0, end + 2);
            }
        } else if (std::holds_alternative<ClientSession::StartTls>(action)) {
            log.emplace_back("tls");
            upstream.tls = true;
            session.tls_started();
        } else if (std::holds_alternative<ClientSession::SendBody>(action)) {
            log.emplace_back("body");
            session.body_sent();
        } else if (std::holds_alternative<ClientSession::FinalDot>(action)) {
            log.emplace_back("final dot");
            session.final_dot_allowed();
        }
    }
};

inline Envelope envelope(std::vector<std::string> recipients) {
    Envelope out;
    out.mail_from = Address{.local = "ann", .domain = "example.net"};
    for (auto& text : recipients) {
        const auto at = text.find('@');
        Recipient recipient;
        recipient.address = {.local = text.substr(0, at), .domain = text.substr(at + 1)};
        out.recipients.push_back(std::move(recipient));
    }
    return out;
}

inline ClientSession::Message message(const Envelope& envelope) {
    ClientSession::Message out;
    out.envelope = &envelope;
    for (std::size_t i = 0; i < envelope.recipients.size(); ++i) out.recipients.push_back(i);
    out.size = 1000;
    return out;
}

inline ClientSession::Settings settings() {
    ClientSession::Settings out;
    out.hostname = "relay.example.net";
    out.want_starttls = true;
    out.username = "relay";
    out.password = Secret("secret");
    return out;
}

inline ClientSession::Settings plain_settings() {
    ClientSession::Settings out;
    out.hostname = "relay.example.net";
    return out;
}

}  // namespace postern::proto::test
