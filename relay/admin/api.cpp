#include "relay/admin/api.hpp"

#include <fmt/format.h>

#include <array>
#include <exception>

#include "relay/admin/endpoints.hpp"
#include "relay/admin/imports.hpp"
#include "relay/event/event.hpp"

namespace postern::relay::admin {
namespace {

Response text_response(int status, std::string text) {
    return {status, "text/plain; charset=utf-8", std::move(text)};
}

Response health() {
    return text_response(200, "alive\n");
}

Response readiness(const Ports& ports) {
    if (!ports.unready) return text_response(503, "not running\n");
    const std::vector<std::string> reasons = ports.unready();
    if (reasons.empty()) return text_response(200, "ready\n");
    std::string text;
    for (const std::string& reason : reasons) text += reason + "\n";
    return text_response(503, std::move(text));
}

Response metrics(const Ports& ports) {
    if (!ports.metrics)
        return problem(not_ready("the relay is not running; start it with: postern serve"));
    return {200, "text/plain; version=0.0.4; charset=utf-8", ports.metrics()};
}

Checked<Answer> version(const Ports& ports) {
    return Answer{
        Json{{"version", ports.version}, {"commit", ports.commit}, {"built", ports.built}}};
}

Checked<Answer> reload(const Ports& ports, const Request& request) {
    if (!ports.reload) return not_ready("the relay is not running; start it with: postern serve");
    const ReloadOutcome outcome = ports.reload();
    tell(ports, request, "reload", "", {{"result", outcome.ok ? "ok" : "failed"}});
    if (!outcome.ok) return invalid(outcome.error);
    const std::size_t count = outcome.changed.size();
    return Answer{
        Json{{"matched", count}, {"changed", count}, {"failed", 0}, {"keys", outcome.changed}}};
}

Checked<Answer> make_backup(const Ports& ports, const Request& request) {
    if (!ports.backup) return not_ready("there is no state to back up");
    auto fields = Fields::parse(request.body);
    if (!fields) return fields.error();
    const auto to = fields->text("to");
    if (!to) return to.error();
    if (const auto done = fields->done(); !done) return done.error();
    if (!*to || !(*to)->starts_with('/')) return invalid("is a folder, by its whole path", "to");
    const backup::Outcome outcome = ports.backup(**to);
    if (!outcome.ok)
        return outcome.refused ? invalid(outcome.error, "to") : internal(outcome.error);
    tell(ports, request, "backup", **to, {{"files", std::to_string(outcome.files)}});
    return Answer{Json{{"matched", outcome.files},
                       {"changed", outcome.files},
                       {"failed", 0},
                       {"to", **to},
                       {"files", outcome.files},
                       {"bytes", outcome.bytes}}};
}

Checked<Answer> api_v1(const Ports& ports, const Request& request) {
    const std::span<const std::string> path = std::span(request.segments).subspan(2);
    if (path.empty()) return no_such_path();
    const std::string& noun = path.front();
    const auto rest = path.subspan(1);
    if (noun == "account") return account_endpoint(ports, request, rest);
    if (noun == "customer") return customer_endpoint(ports, request, rest);
    if (noun == "dkim") return dkim_endpoint(ports, request, rest);
    if (noun == "login") return login_endpoint(ports, request, rest);
    if (noun == "suppression") return suppression_endpoint(ports, request, rest);
    if (noun == "queue") return queue_endpoint(ports, request, rest);
    if (noun == "upstream") return upstream_endpoint(ports, request, rest);
    if (noun == "trace") return trace_endpoint(ports, request, rest);
    if (!rest.empty()) return no_such_path();
    if (noun == "events") return events_endpoint(ports, request);
    if (noun == "version")
        return request.method == "GET" ? version(ports) : no_such_method(request);
    if (noun == "backup")
        return request.method == "POST" ? make_backup(ports, request) : no_such_method(request);
    if (noun == "reload")
        return request.method == "POST" ? reload(ports, request) : no_such_method(request);
    return no_such_path();
}

}  // namespace

void tell(const Ports& ports, const Request& request, std::string what, std::string subject,
          std::vector<std::pair<std::string, std::string>> fields) {
    if (ports.events == nullptr) return;
    event::Admin admin;
    admin.what = std::move(what);
    admin.subject = std::move(subject);
    admin.reason = request.reason;
    admin.by = request.who;
    admin.fields = std::move(fields);
    ports.events->emit(std::move(admin));
}

Problem no_such_method(const Request& request) {
    return {405, "invalid", fmt::format("{} does nothing here", request.method.substr(0, 16)), ""};
}

Problem no_such_path() {
    return not_found("there is nothing at this path");
}

Api::Api(Ports ports) : ports_(std::move(ports)) {
    if (!ports_.imports) ports_.imports = std::make_shared<ImportDesk>();
}

Response Api::handle(const Request& request) const noexcept {
    try {
        return route(request);
    } catch (const std::exception& e) {
        // A bug: it ends this request, is told, and nothing else.
        if (ports_.events != nullptr) ports_.events->log(event::Level::error, "admin", e.what());
        return problem(internal("an error of our own; the log has the cause"));
    }
}

Response Api::route(const Request& request) const {
    const auto& path = request.segments;
    const bool port = request.surface == Surface::port;
    const bool root = path.size() == 1;
    if (root && (path[0] == "healthz" || path[0] == "readyz" || path[0] == "metrics")) {
        if (port && !request.source_trusted) {
            return problem({401, "unauthenticated",
                            "health and metrics are for loopback and server.metrics_from", ""});
        }
        if (request.method != "GET") return problem(no_such_method(request));
        if (path[0] == "healthz") return health();
        return path[0] == "readyz" ? readiness(ports_) : metrics(ports_);
    }
    if (port) {
        return problem({401, "unauthenticated",
                        "the admin port gives health and metrics alone; use the admin socket", ""});
    }
    if (path.size() < 2 || path[0] != "api" || path[1] != "v1") return problem(no_such_path());
    const Checked<Answer> answer = api_v1(ports_, request);
    return answer ? json_response(answer->json) : problem(answer.error());
}

}  // namespace postern::relay::admin
