// What is said by HTTP: POST /webhook/NAME and POST /message.

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "proto/reply.hpp"
#include "relay/intake/access.hpp"
#include "relay/intake/ask_desk.hpp"
#include "relay/intake/hall.hpp"
#include "relay/intake/http_connection.hpp"
#include "relay/net/offload.hpp"

namespace postern::relay::intake {
namespace {

using Got = HttpConnection::Got;
using Then = HttpConnection::Then;

constexpr std::chrono::seconds handshake_patience{10};
constexpr std::string_view webhook_path = "/webhook/";
constexpr std::string_view message_path = "/message";

HttpAnswer accepted() {
    return {.status = 202, .content_type = "", .body = "", .fields = ""};
}

HttpAnswer busy() {
    return http_problem(503, "not_ready", "busy, try again later", "Retry-After: 60\r\n");
}

HttpAnswer unauthenticated() {
    // Some services show a password only to who asks for it.
    return http_problem(401, "unauthenticated", "wrong or missing secret",
                        "WWW-Authenticate: Bearer realm=\"postern\"\r\n"
                        "WWW-Authenticate: Basic realm=\"postern\"\r\n");
}

HttpAnswer answer_of(Taken taken) {
    return taken == Taken::overloaded ? busy() : accepted();
}

HttpAnswer answer_of(Got got) {
    switch (got) {
        case Got::header_too_large:
            return http_problem(431, "invalid", "the header is too large");
        case Got::body_too_large:
            return http_problem(413, "invalid", "the body is too large");
        case Got::all:
        case Got::gone:
        case Got::not_http:
            break;
    }
    return http_problem(400, "invalid", "no HTTP request");
}

/// One request: what it is for, and whether it may.
struct Visit {
    config::ConfigPtr config;
    const config::Webhook* webhook = nullptr;  ///< Null: /message.
    Access access = Access::denied;
    std::optional<HttpAnswer> refusal;
};

Visit refused(HttpAnswer answer) {
    Visit out;
    out.refusal = std::move(answer);
    return out;
}

/// By the head alone.
Visit admit(Hall& hall, const Guest& guest, const HttpConnection& http) {
    const std::string_view target = http.request().target();
    const std::string_view path = target.substr(0, target.find('?'));
    Visit visit;
    visit.config = hall.ports.config();
    const config::Intake& intake = visit.config->intake;
    if (path.starts_with(webhook_path)) {
        const auto it =
            std::ranges::find(intake.webhook, path.substr(webhook_path.size()),
                              [](const config::Webhook& w) { return std::string_view(w.name); });
        if (it == intake.webhook.end())
            return refused(http_problem(404, "not_found", "no such webhook"));
        visit.webhook = &*it;
    } else if (path != message_path) {
        return refused(http_problem(404, "not_found", "nothing is here"));
    }
    if (http.request().method() != boost::beast::http::verb::post)
        return refused(http_problem(405, "invalid", "only POST is taken", "Allow: POST\r\n"));
    if (visit.webhook != nullptr) {
        visit.access = webhook_access(*visit.webhook, http.field("Authorization"));
    } else {
        const bool for_another = http.has_field("Forwarded") || http.has_field("X-Forwarded-For") ||
                                 http.has_field("Via") || http.has_field("Origin");
        visit.access =
            message_access(intake, {.address = guest.address,
                                    .authorization = std::string(http.field("Authorization")),
                                    .for_another = for_another});
    }
    if (visit.access == Access::denied) {
        hall.turned_away(visit.webhook != nullptr ? "webhook" : "message", "unauthenticated",
                         guest.address);
        visit.refusal = unauthenticated();
    }
    return visit;
}

HttpAnswer wrong_signature(Hall& hall, const Guest& guest) {
    hall.turned_away("webhook", "unauthenticated", guest.address);
    return unauthenticated();
}

awaitable<HttpAnswer> take_message(Hall& hall, std::string body) {
    if (body.empty())
        co_return http_problem(400, "invalid", "the body is empty; send a DSN or an ARF report");
    Mail mail;
    mail.octets = std::move(body);
    co_return answer_of(co_await ask_desk(hall.ports.desk, std::move(mail)));
}

/// Whoever confirms a subscription lets its sender call us: that is for the operator to do.
void tell_of_subscription(Hall& hall, const std::string& webhook, const std::string& url) {
    constexpr std::size_t longest = 2048;
    hall.ports.events.log(event::Level::info, "intake",
                          fmt::format("webhook {} asks to be confirmed; if you set it up, open {}",
                                      webhook, proto::clean_text(url, longest)));
}

awaitable<HttpAnswer> take_call(Hall& hall, const Guest& guest, const Visit& visit,
                                const HttpConnection& http) {
    const config::Webhook& webhook = *visit.webhook;
    const std::string& body = http.request().body();
    const bool mailgun =
        visit.access == Access::by_signature && webhook.format == config::WebhookFormat::mailgun;
    if (visit.access == Access::by_signature && !mailgun &&
        !sendgrid_signed(webhook.secret.reveal(),
                         http.field("X-Twilio-Email-Event-Webhook-Signature"),
                         http.field("X-Twilio-Email-Event-Webhook-Timestamp"), body))
        co_return wrong_signature(hall, guest);

    if (!hall.ports.read_call) co_return busy();
    auto read = [&hall, &webhook, &body] { return hall.ports.read_call(webhook, body); };
    auto call = co_await net::offload(hall.ports.pool, std::move(read));
    if (mailgun && (!call || !mailgun_signed(webhook.secret.reveal(), call->mailgun,
                                             std::chrono::system_clock::now())))
        co_return wrong_signature(hall, guest);
    if (!call) {
        hall.count("webhook", "unreadable");
        co_return http_problem(400, "invalid", proto::clean_text(call.error()));
    }
    const std::string token = mailgun ? call->mailgun.token : std::string();
    if (mailgun) {
        // The signature does not cover what is said: it may be said once. Who lost our answer
        // hears it again.
        switch (hall.tokens.claim(token, std::chrono::steady_clock::now())) {
            case TokensSeen::Claim::fresh:
                break;
            case TokensSeen::Claim::seen:
                co_return accepted();
            case TokensSeen::Claim::full:
                co_return busy();
        }
    }
    if (!call->confirm_url.empty()) tell_of_subscription(hall, webhook.name, call->confirm_url);
    if (call->words.empty()) co_return accepted();
    const Taken taken = co_await ask_desk(hall.ports.desk, std::move(call->words));
    if (taken == Taken::overloaded && mailgun) hall.tokens.release(token);
    co_return answer_of(taken);
}

/// One request and its answer; false: the connection ends.
awaitable<bool> exchange(Hall& hall, Guest& guest, HttpConnection& http) {
    if (hall.stopping) co_return false;
    guest.stream.set_deadline(hall.limits.http_patience);
    guest.waiting = true;
    Got got = co_await http.read_head();
    guest.waiting = false;
    Visit visit;
    if (got == Got::all) {
        visit = admit(hall, guest, http);
        if (!visit.refusal) {
            guest.stream.set_deadline(hall.limits.http_patience);
            got = co_await http.read_body();
        }
    }
    if (got == Got::gone) co_return false;
    HttpAnswer answer;
    bool keep = false;
    if (got != Got::all) {
        answer = answer_of(got);
    } else if (visit.refusal) {
        answer = std::move(*visit.refusal);
    } else {
        guest.stream.clear_deadline();
        if (visit.webhook != nullptr) {
            answer = co_await take_call(hall, guest, visit, http);
        } else {
            answer = co_await take_message(hall, http.take_body());
        }
        keep = http.request().keep_alive() && !hall.stopping;
    }
    guest.stream.set_deadline(hall.limits.http_patience);
    const error_code error =
        co_await http.write(std::move(answer), keep ? Then::keep : Then::close);
    co_return keep && !error;
}

}  // namespace

awaitable<void> serve_http(Hall& hall, Guest& guest) {
    if (guest.speech == config::IntakeSpeech::https) {
        guest.stream.set_deadline(handshake_patience);
        const error_code error =
            co_await guest.stream.start_tls_server(hall.ports.tls(), net::TlsStart::implicit);
        const net::TlsInfo info = error ? net::TlsInfo() : guest.stream.tls_info();
        hall.ports.events.emit(event::TlsHandshake{.version = info.version,
                                                   .result = error          ? "failed"
                                                             : info.resumed ? "resumed"
                                                                            : "ok"});
        if (error) {
            guest.stream.close();
            co_return;
        }
    }
    HttpConnection http(guest.stream);
    while (co_await exchange(hall, guest, http)) {
    }
    co_await guest.stream.shutdown();
}

}  // namespace postern::relay::intake
