// What the admin API works on while we serve.

#include <memory>

#include "relay/delivery/drop.hpp"
#include "relay/process/version.hpp"
#include "relay/serve/server.hpp"

namespace postern::relay {

admin::Ports Server::admin_ports() {
    admin::Ports out;
    out.accounts = accounts_.get();
    out.spool = spool_.get();
    out.events = events_.get();
    out.guard = &guard_;
    out.keep_guard = [this] { keep_guard(); };
    out.journal = config_->server.state + "/events";
    out.tokens = config_->server.state + "/trace";
    out.flush = [this] { (void)recorder_->flush(); };
    out.reload = [this] { return reload(); };
    out.metrics = [this] { return metrics_->render(); };
    out.unready = [this] { return unready(); };
    out.limits_of = [this](const std::string& plan) -> std::optional<policy::PlanLimits> {
        const SnapshotPtr now = current_.get();
        const auto it = now->policy.plans.find(plan);
        if (it == now->policy.plans.end()) return std::nullopt;
        return it->second;
    };
    out.device_listeners = [this] { return config::device_listeners(*config_); };
    out.separator = [this] { return current_.get()->config->auth.credential_separator.front(); };
    out.drop_with_dsn = [this](const EntrySelector& which, const EntryChange& what,
                               const std::function<void(const EntryInfo&)>& dropped) {
        return drop_with_notice(*spool_, delivery_->notices(), *current_.get()->config, *events_,
                                *signer_, which, what, dropped);
    };
    out.upstream_names = [this] {
        std::vector<std::string> names;
        for (const PathPtr& path : current_.get()->paths->paths) names.push_back(path->name());
        return names;
    };
    out.upstreams = {.list = [this] { return list_upstreams(); },
                     .change =
                         [this](const std::string& upstream, admin::UpstreamVerb verb,
                                std::optional<std::chrono::seconds> for_long) {
                             return change_upstream(upstream, verb, for_long);
                         }};
    out.suppression = suppression_.get();
    out.dkim = signing_keys_.get();
    out.dkim_algorithms = [this] { return current_.get()->config->dkim.algorithms; };
    out.trace_retention = [this] { return current_.get()->config->message.trace_retention; };
    const auto maker = std::make_shared<backup::Maker>(
        backup::Source{.state = config_->server.state,
                       .accounts = *accounts_,
                       .flush = [this] { (void)recorder_->flush(); },
                       .stopping = [this] { return draining_.load(); },
                       .version = std::string(process::version()),
                       .commit = std::string(process::commit())});
    out.backup = [maker](const std::string& to) { return maker->make(to); };
    out.imports = imports_;
    out.stopping = [this] { return draining_.load(); };
    out.version = std::string(process::version());
    out.commit = std::string(process::commit());
    out.built = std::string(process::built());
    return out;
}

}  // namespace postern::relay
