// An upstream that says anything at all: the session ends or waits, settles each recipient at most
// once, sends whole lines only, and never puts a message in doubt before its dot.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <variant>

#include "proto/classify.hpp"
#include "proto/client_session.hpp"

namespace {

using namespace postern::proto;

void require(bool what) {
    if (!what) std::abort();
}

void check_results(const std::vector<ClientSession::RecipientResult>& results, std::size_t most) {
    require(results.size() <= most);
    for (std::size_t i = 0; i < results.size(); ++i) {
        require(results[i].index < most);
        require(results[i].reply.code >= 200 && results[i].reply.code <= 599);
        require(results[i].reply.text.find_first_of("\r\n") == std::string::npos);
        static_cast<void>(judges(results[i].stage, results[i].reply));
        for (std::size_t k = 0; k < i; ++k) require(results[k].index != results[i].index);
    }
}

Envelope make_envelope(std::size_t recipients) {
    Envelope out;
    out.mail_from = Address{.local = "ann", .domain = "example.net"};
    for (std::size_t i = 0; i < recipients; ++i) {
        Recipient recipient;
        recipient.address = {.local = "b" + std::to_string(i), .domain = "example.org"};
        out.recipients.push_back(std::move(recipient));
    }
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const unsigned flags = data[0];
    const std::size_t cut = data[1] == 0 ? size : data[1];
    std::string_view upstream(reinterpret_cast<const char*>(data) + 2, size - 2);

    ClientSession::Settings settings;
    settings.hostname = "relay.example.net";
    settings.want_starttls = (flags & 1U) != 0;
    settings.username = (flags & 2U) != 0 ? "relay" : "";
    settings.password = Secret("secret");
    if ((flags & 64U) != 0) settings.mechanisms = {"SCRAM-SHA-256", "XOAUTH2", "PLAIN"};
    ClientSession session(std::move(settings));
    const Envelope envelope = make_envelope((flags & 4U) != 0 ? 3 : 1);
    int messages = 3;
    bool dot = false;
    for (std::size_t step = 0;; ++step) {
        require(step < 20 * size + 200);
        const auto action = session.next();
        if (std::holds_alternative<ClientSession::Read>(action)) {
            if (upstream.empty()) {
                if ((flags & 8U) != 0) {
                    session.eof();
                } else {
                    session.timed_out();
                }
                continue;
            }
            const auto piece = upstream.substr(0, cut);
            session.feed(piece);
            upstream.remove_prefix(piece.size());
        } else if (std::holds_alternative<ClientSession::Send>(action)) {
            require(session.output().ends_with("\r\n"));
            require(session.output().find("\n\r") == std::string_view::npos);
            session.sent();
        } else if (std::holds_alternative<ClientSession::StartTls>(action)) {
            session.tls_started();
        } else if (const auto* turn = std::get_if<ClientSession::Sasl>(&action)) {
            using Turn = ClientSession::Sasl::Turn;
            require(turn->mechanism == "SCRAM-SHA-256" || turn->mechanism == "XOAUTH2");
            if (turn->challenge.starts_with("no")) {
                session.sasl_failed("no");
            } else if (turn->turn == Turn::end) {
                session.sasl_done();
            } else {
                // Short, empty, or too long for a command.
                const std::size_t length = (flags & 128U) != 0 ? 600 : turn->challenge.size() % 3;
                session.sasl_response(Secret(std::string(length, 'x')));
            }
        } else if (std::holds_alternative<ClientSession::SendBody>(action)) {
            if ((flags & 16U) != 0) {
                session.feed(upstream.substr(0, cut));
                upstream.remove_prefix(std::min(cut, upstream.size()));
            }
            session.body_sent();
        } else if (std::holds_alternative<ClientSession::FinalDot>(action)) {
            dot = true;
            session.final_dot_allowed();
        } else if (std::holds_alternative<ClientSession::Ready>(action)) {
            dot = false;
            if (messages-- == 0) {
                session.quit();
            } else if ((flags & 32U) != 0 && messages == 1) {
                session.noop();
            } else {
                ClientSession::Message message;
                message.envelope = &envelope;
                for (std::size_t i = 0; i < envelope.recipients.size(); ++i) {
                    message.recipients.push_back(i);
                }
                message.size = 1000;
                session.send_message(std::move(message));
            }
        } else if (const auto* done = std::get_if<ClientSession::MessageDone>(&action)) {
            require(done->results.size() == envelope.recipients.size());
            check_results(done->results, envelope.recipients.size());
        } else if (const auto* failed = std::get_if<ClientSession::Failed>(&action)) {
            check_results(failed->results, envelope.recipients.size());
            require(dot || !failed->dot_sent);
            static_cast<void>(breaker_effect(*failed));
            require(std::holds_alternative<ClientSession::Failed>(session.next()));
            return 0;
        }
    }
}
