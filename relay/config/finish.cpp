#include "relay/config/finish.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "relay/config/backend.hpp"
#include "relay/config/intake.hpp"
#include "relay/config/names.hpp"
#include "relay/config/routes.hpp"
#include "relay/config/upstream_login.hpp"

namespace postern::relay::config {
namespace {

class Finish {
  public:
    Finish(Config& config, const Node& root, Reading& reading)
        : c_(config), root_(root), r_(reading) {}

    void run() {
        server();
        tls();
        auth();
        delivery();
        return_path();
        if (c_.spool.path.empty()) c_.spool.path = c_.server.state + "/spool";
        upstreams();
        finish_intake(c_, keys_given());
    }

  private:
    [[nodiscard]] bool strict() const { return r_.need == Need::everything; }

    /// The deepest node on a dotted path; what is missing is told at the place of its section.
    [[nodiscard]] const Node* deepest(std::string_view path, bool& whole) const {
        const Node* node = &root_;
        whole = true;
        while (!path.empty()) {
            const auto dot = path.find('.');
            const std::string_view step = path.substr(0, dot);
            const Node* next = nullptr;
            std::size_t index = 0;
            if (node->kind == Node::Kind::list) {
                std::from_chars(step.data(), step.data() + step.size(), index);
                if (index < node->items.size()) next = &node->items[index];
            } else {
                next = node->find(step);
            }
            if (next == nullptr) {
                whole = false;
                return node;
            }
            node = next;
            path.remove_prefix(dot == std::string_view::npos ? path.size() : dot + 1);
        }
        return node;
    }
    [[nodiscard]] bool given(std::string_view path) const {
        bool whole = false;
        (void)deepest(path, whole);
        return whole;
    }
    void fault(std::string path, std::string text) {
        bool whole = false;
        const Where where = deepest(path, whole)->where;
        r_.fault(where, std::move(path), std::move(text));
    }

    [[nodiscard]] KeysGiven keys_given() {
        return {.given = [this](std::string_view key) { return given(key); },
                .fault = [this](std::string key,
                                std::string text) { fault(std::move(key), std::move(text)); },
                .notice =
                    [this](const std::string& key, const std::string& text) {
                        bool whole = false;
                        r_.notice(deepest(key, whole)->where, key, text);
                    },
                .strict = strict()};
    }

    void server() {
        Server& s = c_.server;
        if (s.state.ends_with('/') && s.state.size() > 1) s.state.pop_back();
        hostname();
        if (s.listen.empty() && !given("server.listen")) {
            s.listen = {{"::", 587, ListenTls::starttls, false, "587"},
                        {"::", 465, ListenTls::implicit, false, "465"}};
        } else if (s.listen.empty() && strict() && r_.faults.empty()) {
            fault("server.listen",
                  "no listener; write one like \"[::]:587 starttls\", or leave the key out");
        }
        device_names();
        std::set<std::pair<std::string, std::uint16_t>> places;
        for (const Listen& listen : s.listen) {
            if (!places.emplace(listen.address, listen.port).second) {
                fault("server.listen", fmt::format("port {} of {} is listed twice; keep one",
                                                   listen.port, listen.address));
            }
            if (listen.proxy && s.proxy_from.empty()) {
                fault("server.listen", fmt::format("listener {} expects a PROXY header, and nobody "
                                                   "may send one; name the proxies in "
                                                   "server.proxy_from",
                                                   in_quotes(listen.name)));
            }
        }
        const auto is_unix = [](const AdminListen& a) { return !a.path.empty(); };
        if (std::ranges::none_of(s.admin, is_unix))
            s.admin.insert(s.admin.begin(), {s.state + "/admin.sock", "", 0});
    }

    /// Devices are bound to a listener's name: it must not mean another one as well, where people
    /// log in.
    void device_names() {
        for (const Listen& listen : c_.server.listen) {
            if (!listen.devices || listen.mechanisms.empty()) continue;
            fault("server.listen", fmt::format("listener {} is for devices, where nobody logs in; "
                                               "leave mechanisms= out",
                                               in_quotes(listen.name)));
        }
        for (const Listen& devices : c_.server.listen) {
            const auto shared = std::ranges::find_if(c_.server.listen, [&](const Listen& other) {
                return !other.devices && other.name == devices.name;
            });
            if (devices.devices && shared != c_.server.listen.end()) {
                fault("server.listen",
                      fmt::format("listener {} is for devices and shares its name with {}, which "
                                  "is not; give one of them another by name=N",
                                  in_quotes(devices.name), shared->place()));
            }
        }
    }

    void hostname() {
        Server& s = c_.server;
        const bool refused = given("server.hostname") && s.hostname.empty();
        const std::string systems = lower_case(r_.around.hostname);
        if (s.hostname.empty() && systems.find('.') != std::string::npos && is_host_name(systems))
            s.hostname = systems;
        if (s.hostname.empty() && strict() && !refused) {
            fault("server.hostname", fmt::format("not set, and the system's name {} has no dot; "
                                                 "set it to the name that mail programs use, "
                                                 "like \"smtp.example.net\"",
                                                 in_quotes(r_.around.hostname)));
        }
        if (s.hostname.empty()) s.hostname = "localhost.localdomain";
        for (std::string* contact : {&s.contact, &s.abuse_contact}) {
            if (contact->empty()) *contact = "postmaster@" + domain_of(s.hostname);
        }
    }

    void pair(const std::string& path, const Certificate& one) {
        const bool has_certificate = given(path + ".certificate");
        const bool has_key = given(path + ".key");
        if (has_certificate && !has_key)
            fault(path + ".key", "not set; name the file with the certificate's private key");
        if (has_key && !has_certificate)
            fault(path + ".certificate", "not set; name the file with the key's certificate");
        if (!has_key && !has_certificate && one.certificate.empty() && path != "tls") {
            fault(path, "names neither certificate nor key");
        }
    }

    void tls() {
        pair("tls", {c_.tls.certificate, c_.tls.key});
        for (std::size_t i = 0; i < c_.tls.certificates.size(); ++i) {
            pair(fmt::format("tls.certificates.{}", i), c_.tls.certificates[i]);
        }
        if (strict() && !given("tls.certificate") && !given("tls.key") &&
            c_.tls.certificates.empty()) {
            fault("tls.certificate",
                  "not set; name the file with the certificate of the host name (PEM), and its key "
                  "in tls.key");
        }
    }

    void return_path() {
        const Message& m = c_.message;
        if (m.return_path != ReturnPath::rewrite || !m.bounce_domain.empty()) return;
        if (given("message.bounce_domain")) return;  // Told as what it is.
        fault("message.bounce_domain",
              "not set, and message.return_path = \"rewrite\" needs it: name a domain whose mail "
              "comes to the intake, like \"bounce.example.net\"");
    }

    void auth() {
        auto& mechanisms = c_.auth.mechanisms;
        std::vector<std::string> once;
        for (std::string& m : mechanisms) {
            if (std::ranges::find(once, m) == once.end()) once.push_back(std::move(m));
        }
        mechanisms = std::move(once);
        if (mechanisms.empty())
            fault("auth.mechanisms",
                  "no mechanism; write at least one, like \"PLAIN\", or leave the key out");
        if (!c_.auth.external.crl.empty() && c_.auth.external.ca.empty()) {
            fault(
                "auth.external.crl",
                "lists what an authority has revoked, and auth.external.ca names none; set it, or "
                "leave this out");
        }
        finish_backend(c_.auth, c_.server.listen, keys_given());
        oauth();
    }

    void oauth() {
        if (!c_.takes_tokens() || !strict()) return;
        constexpr std::string_view asked = "not set, but OAUTHBEARER or XOAUTH2 is offered; write";
        if (!given("auth.oauth.issuer")) {
            fault("auth.oauth.issuer",
                  fmt::format("{} who signs the tokens, as they say it in iss", asked));
        }
        if (!given("auth.oauth.audience")) {
            fault("auth.oauth.audience",
                  fmt::format("{} whom the tokens are for, as they say it in aud", asked));
        }
        if (!given("auth.oauth.jwks")) {
            fault("auth.oauth.jwks", fmt::format("{} where the issuer's keys are, like "
                                                 "\"https://a.example/jwks\", or a file",
                                                 asked));
        }
    }

    void delivery() {
        const Retry& retry = c_.delivery.retry;
        if (retry.max < retry.first)
            fault("delivery.retry.max", "less than delivery.retry.first; write at least as much");
        if (retry.give_up <= retry.first) {
            fault("delivery.retry.give_up",
                  "not more than delivery.retry.first: nothing would be tried twice; write more");
        }
        if (c_.delivery.retry.warn_after >= retry.give_up && given("delivery.retry.warn_after")) {
            fault("delivery.retry.warn_after", "not less than delivery.retry.give_up; write less");
        }
    }

    void upstreams() {
        if (c_.upstream.empty() && strict() && !given("upstream")) {
            fault("upstream",
                  "no way out for mail; write [[upstream]] with an address, like "
                  "\"smtp.provider.example:587\"");
        } else if (c_.upstream.empty() && strict() && r_.faults.empty()) {
            fault("upstream",
                  "the list is empty; write at least one, with an address like "
                  "\"smtp.provider.example:587\"");
        }
        std::map<UpstreamRole, std::size_t> numbers;
        for (std::size_t i = 0; i < c_.upstream.size(); ++i) {
            Upstream& u = c_.upstream[i];
            const std::size_t number = ++numbers[u.role];
            if (u.name.empty() && !given(fmt::format("upstream.{}.name", i))) {
                u.name = name(u.role);
                if (number > 1) u.name += std::to_string(number);
            }
            upstream(fmt::format("upstream.{}", i), u);
        }
        std::set<std::string> names;
        for (std::size_t i = 0; i < c_.upstream.size(); ++i) {
            const std::string& name = c_.upstream[i].name;
            if (!name.empty() && !names.insert(name).second) {
                fault(fmt::format("upstream.{}.name", i),
                      fmt::format("{} is the name of another upstream; write one of its own",
                                  in_quotes(name)));
            }
        }
        const std::string& notices = c_.delivery.dsn_upstream;
        if (!notices.empty() && !c_.upstream.empty() && !names.contains(notices)) {
            const std::vector<std::string_view> there(names.begin(), names.end());
            const std::string_view near = nearest(notices, there);
            fault("delivery.dsn_upstream",
                  fmt::format("{} is no upstream's name; {}", in_quotes(notices),
                              near.empty() ? std::string("name one of them, or leave it out")
                                           : fmt::format("did you mean {}?", near)));
        }
        if (r_.faults.empty()) {
            finish_routes(c_, [this](std::string key, std::string text) {
                fault(std::move(key), std::move(text));
            });
        }
    }

    void upstream(const std::string& path, Upstream& u) {
        if (!given(path + ".address")) {
            if (strict())
                fault(path + ".address", "not set; write one like \"smtp.provider.example:587\"");
            return;
        }
        warming(path, u);
        trust(path, u);
        if (!given(path + ".implicit_tls"))
            u.implicit_tls = u.address.port == 465 && u.tls != UpstreamTls::none;
        if (u.implicit_tls && u.tls == UpstreamTls::none) {
            fault(path + ".implicit_tls", "contradicts tls = \"none\"; keep one of them");
        }
        if (u.tls == UpstreamTls::none && u.address.kind == AddressKind::host &&
            canonical_address(u.address.host) && !may_go_plain(u, u.address.host)) {
            fault(path + ".tls", fmt::format("\"none\" would send mail and login in clear text to "
                                             "{}; use \"verify\", or set insecure = "
                                             "true",
                                             u.address.host));
        }
        finish_upstream_login(
            path, u,
            {.given = [this](std::string_view key) { return given(key); },
             .fault = [this](std::string key,
                             std::string text) { fault(std::move(key), std::move(text)); },
             .strict = strict()});
    }

    /// Whom it takes for the upstream.
    void trust(const std::string& path, const Upstream& u) {
        if (u.tls == UpstreamTls::pin && !given(path + ".pin")) {
            fault(path + ".pin",
                  "not set, but tls is \"pin\"; write the key's hash, like \"sha256//BASE64\", or "
                  "leave tls out");
        }
        if (u.tls == UpstreamTls::pin && given(path + ".pin") && u.pin.empty() &&
            r_.faults.empty()) {
            fault(path + ".pin", "the list is empty; write at least one, like \"sha256//BASE64\"");
        }
        if (u.tls != UpstreamTls::pin && given(path + ".pin")) {
            fault(path + ".pin",
                  "is for tls = \"pin\", and would be without effect; write that, "
                  "or leave it out");
        }
        if ((u.tls == UpstreamTls::pin || u.tls == UpstreamTls::opportunistic) &&
            given(path + ".ca")) {
            fault(path + ".ca",
                  "is for tls = \"verify\": with this tls no authority is asked; "
                  "leave one of them out");
        }
        if (u.tls == UpstreamTls::opportunistic) {
            bool whole = false;
            const std::string key = path + ".tls";
            r_.notice(deepest(key, whole)->where, key,
                      "\"opportunistic\" believes any certificate, and sends mail in clear text "
                      "where no STARTTLS is offered; \"verify\" or \"pin\" would not");
        }
    }

    /// What is for a standby alone.
    void warming(const std::string& path, const Upstream& u) {
        const Upstream unset;
        const bool set = u.warm_share != unset.warm_share || u.warm_per_day != unset.warm_per_day ||
                         u.warm_cap != unset.warm_cap;
        if (u.role != UpstreamRole::standby && set) {
            fault(path + ".role", fmt::format("warm_share, warm_per_day and warm_cap are for a "
                                              "standby, and this is a {}; leave them out, or write "
                                              "role = \"standby\"",
                                              name(u.role)));
        }
    }

    Config& c_;
    const Node& root_;
    Reading& r_;
};

}  // namespace

void finish(Config& config, const Node& root, Reading& reading) {
    Finish(config, root, reading).run();
}

}  // namespace postern::relay::config
