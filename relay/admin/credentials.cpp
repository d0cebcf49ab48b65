// /api/v1/account/A/credential: app passwords, API keys, devices.
#include "relay/admin/credentials.hpp"

#include <fmt/format.h>

#include "auth/account_store.hpp"
#include "auth/certificate.hpp"
#include "auth/login_name.hpp"
#include "auth/random.hpp"
#include "relay/admin/account_parts.hpp"
#include "relay/admin/devices.hpp"
#include "relay/admin/endpoints.hpp"
#include "relay/admin/selectors.hpp"

namespace postern::relay::admin {

using auth::AuthError;

namespace {

Json item(const Ports& ports, const auth::AccountView& view, const auth::Credential& c) {
    const auto used = view.used.find(c.name);
    // One of the same name that was revoked may have been used before.
    const bool was_used = used != view.used.end() && used->second.t >= c.created;
    Json out;
    out["credential"] = text_or_null(c.name);
    out["account"] = view.account->name;
    out["kind"] = c.kind;
    out["login"] = c.kind != "password" ? Json(nullptr)
                   : c.name.empty()
                       ? Json(view.account->name)
                       : Json(fmt::format("{}{}{}", view.account->name, ports.separator(), c.name));
    out["created"] = time_or_null(c.created);
    out["last_used"] = was_used ? time_or_null(used->second.t) : Json(nullptr);
    out["last_source"] = was_used ? text_or_null(used->second.source) : Json(nullptr);
    out["source"] = text_or_null(c.source);
    out["listener"] = text_or_null(c.listener);
    out["rcpts"] = c.rcpts;
    out["plan"] = text_or_null(c.plan);
    out["certificate"] = text_or_null(c.certificate);
    return out;
}

class CredentialCall {
  public:
    CredentialCall(const Ports& ports, const Request& request, const std::string& account)
        : ports_(ports), request_(request), account_(account) {}

    [[nodiscard]] Checked<Answer> list() const {
        // All at once: an account has few.
        Selectors s(request_.query, ports_.now());
        if (const auto limit = s.number("limit", default_page, largest_page); !limit)
            return limit.error();
        if (const auto done = s.done(); !done) return done.error();
        const auto view = ports_.accounts->show(account_);
        if (!view) return from_store(view.error());
        Json out;
        out["items"] = credentials_of(ports_, *view);
        out["next"] = nullptr;
        return Answer{std::move(out)};
    }

    [[nodiscard]] Checked<Answer> add() const {
        auto fields = Fields::parse(request_.body);
        if (!fields) return fields.error();
        const auto name = fields->text("credential");
        if (!name) return name.error();
        if (!*name) return invalid("is missing; send a name like \"phone\"", "credential");
        const auto kind = fields->text("kind");
        if (!kind) return kind.error();
        if (*kind && **kind == auth::device_kind) return add_device(*fields, **name);
        const bool is_certificate = *kind && **kind == "certificate";
        if (*kind && **kind != "password" && !is_certificate)
            return invalid("is password, certificate or device", "kind");
        const auto certificate = fields->text("certificate");
        if (!certificate) return certificate.error();
        const auto plan = fields->text("plan");
        if (!plan) return plan.error();
        if (const auto done = fields->done(); !done) return done.error();
        if (const auto known = check_plan(ports_, plan->value_or("")); !known) return known.error();
        if (is_certificate != certificate->has_value()) {
            return invalid(is_certificate ? "is missing; send the certificate as PEM"
                                          : "goes with the kind certificate alone",
                           "certificate");
        }
        if (is_certificate) return add_certificate(**name, **certificate, plan->value_or(""));
        const auth::NewCredential wanted{.name = **name,
                                         .password = auth::generate_password(auth::system_random()),
                                         .plan = plan->value_or("")};
        const auto added = ports_.accounts->add_credential(account_, wanted, ports_.now());
        if (!added) return from_store(added.error());
        auto out = made((*added)->name, wanted.name);
        if (out) out->json["password"] = wanted.password.reveal();
        return out;
    }

    [[nodiscard]] Checked<Answer> revoke(const std::string& name) const {
        const auto revoked = ports_.accounts->revoke_credential(account_, name);
        if (!revoked) return from_store(revoked.error());
        tell(ports_, request_, "credential_revoke", (*revoked)->name,
             {{"credential", auth::normalised_label(name).value_or("")}});
        return Answer{Json{{"matched", 1}, {"changed", 1}, {"failed", 0}}};
    }

  private:
    [[nodiscard]] Checked<Answer> add_certificate(const std::string& name, const std::string& pem,
                                                  const std::string& plan) const {
        const auto read = auth::read_certificate(pem, ports_.now());
        if (!read) return invalid(read.error().text, "certificate");
        const auto added = ports_.accounts->add_certificate(
            account_, {.name = name, .fingerprint = read->fingerprint, .plan = plan}, ports_.now());
        if (!added) return from_store(added.error());
        return made((*added)->name, name);
    }

    [[nodiscard]] Checked<Answer> add_device(Fields& fields, const std::string& name) const {
        const auto wanted = device_in(ports_, fields, name);
        if (!wanted) return wanted.error();
        const auto added = ports_.accounts->add_device(account_, *wanted, ports_.now());
        if (!added) return from_device(added.error());
        return made((*added)->name, name);
    }

    /// What is said of a credential that was made.
    [[nodiscard]] Checked<Answer> made(const std::string& account, const std::string& name) const {
        const std::string label = auth::normalised_label(name).value_or("");
        tell(ports_, request_, "credential_add", account, {{"credential", label}});
        const auto view = ports_.accounts->show(account_);
        if (!view) return from_store(view.error());
        const auth::Credential* const found = auth::find_credential(*view->account, label);
        if (found == nullptr) return from_store(AuthError::no_credential);
        Json out{{"matched", 1}, {"changed", 1}, {"failed", 0}};
        out.update(item(ports_, *view, *found));
        return Answer{std::move(out)};
    }

    const Ports& ports_;
    const Request& request_;
    const std::string& account_;
};

}  // namespace

Json credentials_of(const Ports& ports, const auth::AccountView& view) {
    Json out = Json::array();
    for (const auth::Credential& c : view.account->credentials) out.push_back(item(ports, view, c));
    return out;
}

Checked<Answer> credential_endpoint(const Ports& ports, const Request& request,
                                    const std::string& account, std::span<const std::string> rest) {
    const CredentialCall call(ports, request, account);
    const std::string& method = request.method;
    if (rest.empty()) {
        if (method == "GET") return call.list();
        return method == "POST" ? call.add() : no_such_method(request);
    }
    if (rest.size() != 1) return no_such_path();
    return method == "DELETE" ? call.revoke(rest[0]) : no_such_method(request);
}

}  // namespace postern::relay::admin
