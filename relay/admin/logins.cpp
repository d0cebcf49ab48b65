// /api/v1/login: who is slowed or refused for failed logins, and what an operator does about it.
#include <fmt/format.h>

#include <cmath>

#include "policy/login_guard.hpp"
#include "relay/admin/endpoints.hpp"
#include "relay/admin/selectors.hpp"

namespace postern::relay::admin {
namespace {

using policy::LoginGuard;

constexpr std::string_view name(LoginGuard::Kind kind) {
    switch (kind) {
        case LoginGuard::Kind::source:
            return "source";
        case LoginGuard::Kind::account:
            return "account";
        case LoginGuard::Kind::pair:
            break;
    }
    return "pair";
}

class LoginCall {
  public:
    LoginCall(const Ports& ports, const Request& request)
        : ports_(ports), request_(request), guard_(*ports.guard) {}

    [[nodiscard]] Checked<Answer> list() const {
        Selectors s(request_.query, ports_.now());
        const std::string cursor = s.text("cursor");
        const auto limit = s.number("limit", default_page, largest_page);
        if (!limit) return limit.error();
        if (const auto done = s.done(); !done) return done.error();
        const auto steady = ports_.steady();
        const auto page = guard_.list(cursor, *limit, steady);
        if (!page) return invalid("is none that a list gave", "cursor");
        Json out;
        out["items"] = Json::array();
        for (const LoginGuard::Standing& one : page->items)
            out["items"].push_back(item(one, steady));
        out["next"] = text_or_null(page->next);
        return Answer{std::move(out)};
    }

    [[nodiscard]] Checked<Answer> forget(const std::string& subject) const {
        if (!guard_.forget(subject)) return not_found("nothing is counted against that subject");
        return changed("login_forget", subject);
    }

    [[nodiscard]] Checked<Answer> allow(const std::string& subject) const {
        switch (guard_.allow(subject)) {
            case LoginGuard::Allow::malformed:
                return invalid(
                    "write an address, a network (/24, /48), an account, or ACCOUNT SOURCE",
                    "subject");
            case LoginGuard::Allow::too_many:
                return Problem(409, "conflict",
                               "as many subjects are allowed as can be; forget some first");
            case LoginGuard::Allow::done:
                break;
        }
        return changed("login_allow", subject);
    }

  private:
    [[nodiscard]] Json item(const LoginGuard::Standing& one,
                            std::chrono::steady_clock::time_point steady) const {
        Json out;
        out["kind"] = name(one.kind);
        out["subject"] = one.subject;
        out["failures"] = std::round(one.failures * 100) / 100;
        out["delay_s"] = std::chrono::duration<double>(one.delay).count();
        out["refused"] = one.refused;
        out["until"] = nullptr;
        if (one.until) {
            out["until"] = time_or_null(
                ports_.now() + std::chrono::duration_cast<std::chrono::system_clock::duration>(
                                   *one.until - steady));
        }
        out["allowed"] = one.allowed;
        return out;
    }

    [[nodiscard]] Answer changed(std::string what, const std::string& subject) const {
        if (ports_.keep_guard) ports_.keep_guard();
        tell(ports_, request_, std::move(what), subject);
        return Answer{Json{{"matched", 1}, {"changed", 1}, {"failed", 0}}};
    }

    const Ports& ports_;
    const Request& request_;
    LoginGuard& guard_;
};

}  // namespace

Checked<Answer> login_endpoint(const Ports& ports, const Request& request,
                               std::span<const std::string> rest) {
    if (ports.guard == nullptr)
        return not_ready("the relay is not running; start it with: postern serve");
    const LoginCall call(ports, request);
    if (rest.empty()) return request.method == "GET" ? call.list() : no_such_method(request);
    if (rest.size() != 2 || (rest[1] != "forget" && rest[1] != "allow")) return no_such_path();
    if (request.method != "POST") return no_such_method(request);
    return rest[1] == "forget" ? call.forget(rest[0]) : call.allow(rest[0]);
}

}  // namespace postern::relay::admin
