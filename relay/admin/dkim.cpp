// /api/v1/dkim: the keys that mail is signed with.
#include <fmt/format.h>

#include "relay/admin/endpoints.hpp"
#include "relay/admin/selectors.hpp"
#include "relay/dkim/key_store.hpp"

namespace postern::relay::admin {
namespace {

using dkim::KeyError;

Json key_item(const dkim::KeyInfo& info) {
    Json out;
    out["domain"] = info.domain;
    out["selector"] = info.key.selector;
    out["algorithm"] = proto::name(info.key.algorithm);
    out["state"] = dkim::name(info.key.state);
    out["created"] = time_or_null(info.key.created);
    out["name"] = proto::dkim_record_name(info.key.selector, info.domain);
    out["value"] = info.key.value;
    return out;
}

Json key_items(const std::vector<dkim::KeyInfo>& keys) {
    Json out = Json::array();
    for (const dkim::KeyInfo& one : keys) out.push_back(key_item(one));
    return out;
}

Problem from_keys(const boost::system::error_code& error) {
    if (error == KeyError::invalid_domain)
        return invalid("is no domain; write one like \"example.net\"", "domain");
    if (error == KeyError::no_keys)
        return not_found("the domain has no keys; postern dkim new DOMAIN makes them");
    if (error == KeyError::no_algorithm)
        return invalid("dkim.algorithms names none; write \"rsa\" or \"ed25519\" there");
    if (error == KeyError::new_waits)
        return {
            409, "conflict",
            "the domain has new keys already: publish their records (postern dkim dns DOMAIN) and "
            "let them sign (postern dkim rotate DOMAIN), or remove the domain's keys"};
    if (error == KeyError::nothing_new)
        return {409, "conflict",
                "the domain has no new keys: make them (postern dkim new DOMAIN) and publish their "
                "records first"};
    return internal(fmt::format("the signing keys: {}", error.message()));
}

class DkimCall {
  public:
    DkimCall(const Ports& ports, const Request& request)
        : ports_(ports), request_(request), store_(*ports.dkim) {}

    [[nodiscard]] Checked<Answer> list() const {
        Selectors s(request_.query, ports_.now());
        const std::vector<std::string> domains = s.texts("domain");
        const std::string cursor = s.text("cursor");
        const auto limit = s.number("limit", default_page, largest_page);
        if (!limit) return limit.error();
        if (const auto done = s.done(); !done) return done.error();
        const auto page = store_.list(domains, cursor, *limit);
        if (!page) return from_keys(page.error());
        Json out;
        out["items"] = key_items(page->items);
        out["next"] = page->next ? Json(*page->next) : Json(nullptr);
        return Answer{std::move(out)};
    }

    /// All keys of a domain, each with its record.
    [[nodiscard]] Checked<Answer> show(const std::string& domain) const {
        const auto keys = store_.show(domain);
        if (!keys) return from_keys(keys.error());
        Json out;
        out["items"] = key_items(*keys);
        out["next"] = nullptr;
        return Answer{std::move(out)};
    }

    [[nodiscard]] Checked<Answer> make(const std::string& domain) const {
        const auto made = store_.make(domain, ports_.dkim_algorithms(), ports_.now());
        if (!made) return from_keys(made.error());
        return changed("dkim_new", *made);
    }

    [[nodiscard]] Checked<Answer> rotate(const std::string& domain) const {
        const auto now = store_.rotate(domain);
        if (!now) return from_keys(now.error());
        return changed("dkim_rotate", *now);
    }

    [[nodiscard]] Checked<Answer> remove(const std::string& domain) const {
        const auto removed = store_.remove(domain);
        if (!removed) return from_keys(removed.error());
        tell(ports_, request_, "dkim_remove", dkim::domain_form(domain).value_or(""));
        return Answer{Json{{"matched", *removed}, {"changed", *removed}, {"failed", 0}}};
    }

  private:
    [[nodiscard]] Answer changed(std::string what, const std::vector<dkim::KeyInfo>& keys) const {
        std::string selectors;
        for (const dkim::KeyInfo& one : keys) {
            selectors += fmt::format("{}{}={}", selectors.empty() ? "" : " ", one.key.selector,
                                     dkim::name(one.key.state));
        }
        const std::string domain = keys.empty() ? "" : keys.front().domain;
        tell(ports_, request_, std::move(what), domain, {{"keys", selectors}});
        return Answer{Json{{"matched", keys.size()},
                           {"changed", keys.size()},
                           {"failed", 0},
                           {"domain", domain},
                           {"keys", key_items(keys)}}};
    }

    const Ports& ports_;
    const Request& request_;
    dkim::KeyStore& store_;
};

}  // namespace

Checked<Answer> dkim_endpoint(const Ports& ports, const Request& request,
                              std::span<const std::string> rest) {
    if (ports.dkim == nullptr) return not_ready("the signing keys are not open");
    const DkimCall call(ports, request);
    const std::string& method = request.method;
    if (rest.empty()) return method == "GET" ? call.list() : no_such_method(request);
    if (rest.size() == 1) {
        if (method == "GET") return call.show(rest[0]);
        return method == "DELETE" ? call.remove(rest[0]) : no_such_method(request);
    }
    if (rest.size() != 2) return no_such_path();
    if (rest[1] == "dns") {
        // By the one rule a verb is a POST; it only reads, so that GET does, too.
        return method == "GET" || method == "POST" ? call.show(rest[0]) : no_such_method(request);
    }
    if (rest[1] != "new" && rest[1] != "rotate") return no_such_path();
    if (method != "POST") return no_such_method(request);
    return rest[1] == "new" ? call.make(rest[0]) : call.rotate(rest[0]);
}

}  // namespace postern::relay::admin
