// What is measured by looking, and the alerts that come of looking.

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "relay/serve/server.hpp"

namespace postern::relay {

namespace {

using Sample = event::Metrics::Sample;
using Kind = event::Metrics::Kind;

constexpr std::array states = {EntryState::ready,    EntryState::active, EntryState::deferred,
                               EntryState::in_doubt, EntryState::held,   EntryState::frozen,
                               EntryState::damaged};
constexpr std::chrono::hours queue_stuck_after{1};
constexpr std::chrono::hours certificate_warning{24 * 14};

double seconds_since(WallTime t) {
    return std::chrono::duration<double>(std::chrono::system_clock::now() - t).count();
}

}  // namespace

void Server::register_gauges() {
    metrics_->ask(Kind::gauge, "connections", "Open client connections.", [this] {
        std::vector<Sample> out;
        for (std::size_t i = 0; i < config_->server.listen.size(); ++i) {
            out.push_back({{{"listener", config_->server.listen[i].name}},
                           static_cast<double>(services_->by_listener[i].load())});
        }
        return out;
    });
    const auto by_state = [this](auto value) {
        return [this, value] {
            const Spool::Stats stats = spool_->stats();
            std::vector<Sample> out;
            for (const EntryState state : states) {
                out.push_back({{{"state", std::string(name(state))}},
                               value(stats, static_cast<std::size_t>(state))});
            }
            return out;
        };
    };
    metrics_->ask(Kind::gauge, "queue_entries", "Queued messages.",
                  by_state([](const Spool::Stats& s, std::size_t i) {
                      return static_cast<double>(s.entries[i]);
                  }));
    metrics_->ask(Kind::gauge, "queue_bytes", "Octets of queued messages.",
                  by_state([](const Spool::Stats& s, std::size_t i) {
                      return static_cast<double>(s.bytes[i]);
                  }));
    metrics_->ask(Kind::gauge, "queue_oldest_seconds", "Age of the oldest queued message.",
                  by_state([](const Spool::Stats& s, std::size_t i) {
                      return s.oldest[i] ? seconds_since(*s.oldest[i]) : 0.0;
                  }));
    metrics_->ask(Kind::gauge, "spool_free_bytes", "Space left on the spool's volume.", [this] {
        return std::vector<Sample>{{{}, static_cast<double>(spool_->stats().free_bytes)}};
    });
    metrics_->ask(Kind::gauge, "upstream_connections", "Connections to upstreams.", [this] {
        std::vector<Sample> out;
        for (const PathPtr& path : current_.get()->paths->paths) {
            out.push_back({{{"upstream", path->name()}}, static_cast<double>(path->connections())});
        }
        return out;
    });
    metrics_->ask(Kind::gauge, "upstream_share", "Share of today's mail, 0 to 1.", [this] {
        std::vector<Sample> out;
        const auto now = std::chrono::system_clock::now();
        for (const PathPtr& path : current_.get()->paths->paths) {
            out.push_back(
                {{{"upstream", path->name()}}, path->traffic().today(path->name(), now).share()});
        }
        return out;
    });
    metrics_->ask(Kind::gauge, "upstream_breaker", "1 at the breaker's state.", [this] {
        std::vector<Sample> out;
        for (const PathPtr& path : current_.get()->paths->paths) {
            const Breaker::State now = path->view().breaker;
            for (const auto state :
                 {Breaker::State::closed, Breaker::State::open, Breaker::State::half_open}) {
                out.push_back({{{"upstream", path->name()}, {"state", std::string(name(state))}},
                               state == now ? 1.0 : 0.0});
            }
        }
        return out;
    });
    metrics_->ask(Kind::gauge, "pool_queue", "Jobs that wait for a pool.", [this] {
        std::vector<Sample> out{{{{"pool", "auth"}}, static_cast<double>(auth_pool_->queued())}};
        out.push_back({{{"pool", "compute"}}, static_cast<double>(signing_->waiting())});
        out.push_back({{{"pool", "intake"}}, static_cast<double>(desk_->waiting())});
        if (backend_)
            out.push_back({{{"pool", "backend"}}, static_cast<double>(backend_->queued())});
        return out;
    });
    metrics_->ask(Kind::gauge, "login_penalties", "Subjects in penalty.", [this] {
        const auto now = guard_.penalties(std::chrono::steady_clock::now());
        return std::vector<Sample>{{{{"kind", "source"}}, static_cast<double>(now.sources)},
                                   {{{"kind", "account"}}, static_cast<double>(now.accounts)},
                                   {{{"kind", "pair"}}, static_cast<double>(now.pairs)}};
    });
    metrics_->ask(Kind::gauge, "login_delayed", "Connections that wait in delay.", [this] {
        return std::vector<Sample>{{{}, static_cast<double>(guard_.delayed())}};
    });
    metrics_->ask(
        Kind::counter, "auth_backend_total",
        "Questions to a password back-end, and for the keys of tokens.", [this] {
            std::vector<Sample> out;
            for (std::size_t i = 0; backend_ && i < BackendDesk::results; ++i) {
                const auto result = static_cast<BackendDesk::Result>(i);
                out.push_back({{{"backend", backend_->backend()},
                                {"result", std::string(BackendDesk::name(result))}},
                               static_cast<double>(backend_->count(result))});
            }
            if (const oauth::TokenKeysPtr keys = current_.get()->tokens; keys && keys->by_url()) {
                const oauth::TokenKeys::Fetches fetches = keys->fetches();
                out.push_back(
                    {{{"backend", "jwks"}, {"result", "ok"}}, static_cast<double>(fetches.good)});
                out.push_back({{{"backend", "jwks"}, {"result", "error"}},
                               static_cast<double>(fetches.failed)});
            }
            return out;
        });
    metrics_->ask(Kind::gauge, "body_memory_bytes", "Memory claimed by message bodies.", [this] {
        return std::vector<Sample>{{{}, static_cast<double>(bodies_.used())}};
    });
    metrics_->ask(Kind::counter, "events_dropped_total", "Events that a reader lost.", [this] {
        return std::vector<Sample>{
            {{{"reader", "journal"}}, static_cast<double>(recorder_->dropped())},
            {{{"reader", "trace"}}, static_cast<double>(recorder_->tokens_dropped())},
            {{{"reader", "log"}}, static_cast<double>(log_->dropped())}};
    });
    metrics_->ask(
        Kind::gauge, "certificate_expiry_timestamp_seconds", "When a certificate ends.", [this] {
            std::vector<Sample> out;
            const auto add = [&out](const std::string& file, auto ends) {
                out.push_back({{{"certificate", file}},
                               std::chrono::duration<double>(ends.time_since_epoch()).count()});
            };
            const SnapshotPtr now = current_.get();
            for (const net::CertificateInfo& one : now->tls->certificates())
                add(one.file, one.not_after);
            if (const auto* authority = now->tls->authority()) {
                const config::External& external = now->config->auth.external;
                if (const auto ends = authority->ca_ends()) add(external.ca, *ends);
                if (const auto ends = authority->crl_ends()) add(external.crl, *ends);
            }
            return out;
        });
}

void Server::look_after_alerts() {
    const Spool::Stats stats = spool_->stats();
    const std::string path =
        config_->spool.path.empty() ? config_->server.state + "/spool" : config_->spool.path;
    const bool low = stats.free_bytes < current_.get()->config->spool.reserve * 2;
    if (low || disk_low_) {
        events_->emit(event::AlertRaised{
            .kind = "disk_low",
            .subject = path,
            .text = fmt::format("{} MiB are left for the spool", stats.free_bytes >> 20U),
            .action = "make space: below spool.reserve no mail is taken",
            .resolved = !low,
            .fields = {{"free_bytes", std::to_string(stats.free_bytes)}}});
    }
    disk_low_ = low;
    for (const EntryState state : {EntryState::ready, EntryState::deferred, EntryState::in_doubt}) {
        const auto i = static_cast<std::size_t>(state);
        const bool stuck = stats.oldest[i] &&
                           std::chrono::system_clock::now() - *stats.oldest[i] > queue_stuck_after;
        if (!stuck && !queue_stuck_[i]) continue;
        queue_stuck_[i] = stuck;
        events_->emit(event::AlertRaised{
            .kind = "queue_stuck",
            .subject = std::string(name(state)),
            .text = stuck ? fmt::format("{} messages wait, the oldest for {:.0f} s",
                                        stats.entries[i], seconds_since(*stats.oldest[i]))
                          : "the queue moves again",
            .action = "see `postern queue list` for the last replies",
            .resolved = !stuck,
            .fields = {
                {"age_s", stuck ? fmt::format("{:.0f}", seconds_since(*stats.oldest[i])) : "0"},
                {"entries", std::to_string(stats.entries[i])}}});
    }
    const bool down = current_.get()->paths->all_open(std::chrono::steady_clock::now());
    if (down || all_down_) {
        events_->emit(event::AlertRaised{
            .kind = "all_upstreams_down",
            .subject = "upstreams",
            .text = down ? "no upstream takes mail; it is queued" : "an upstream takes mail again",
            .action = "see `postern check` and the upstream_down alerts",
            .resolved = !down});
    }
    all_down_ = down;
    const std::uint64_t dropped =
        recorder_->dropped() + recorder_->tokens_dropped() + log_->dropped();
    if (dropped > events_dropped_told_) {
        events_->emit(event::AlertRaised{
            .kind = "events_dropped",
            .subject = "log",
            .text = fmt::format("{} events or log lines were lost", dropped - events_dropped_told_),
            .action = "see why log.target or the journal's disk is slow"});
        events_dropped_told_ = dropped;
    }
}

void Server::look_after_certificates() {
    const auto now = std::chrono::system_clock::now();
    const auto look = [&](const std::string& file, std::chrono::system_clock::time_point ends) {
        if (ends - now >= certificate_warning) {
            events_->emit(event::AlertRaised{.kind = "certificate_expiring",
                                             .subject = file,
                                             .text = file + " is good for longer again",
                                             .resolved = true});
            return;
        }
        const auto left = std::chrono::duration_cast<std::chrono::hours>(ends - now).count();
        events_->emit(event::AlertRaised{
            .kind = "certificate_expiring",
            .subject = file,
            .text =
                left < 0 ? file + " has expired" : fmt::format("{} ends in {} hours", file, left),
            .action = "renew it; it is read again by itself",
            .fields = {{"expires", std::to_string(std::chrono::duration_cast<std::chrono::seconds>(
                                                      ends.time_since_epoch())
                                                      .count())}}});
    };
    const SnapshotPtr snapshot = current_.get();
    for (const net::CertificateInfo& one : snapshot->tls->certificates())
        look(one.file, one.not_after);
    if (const auto* authority = snapshot->tls->authority()) {
        const config::External& external = snapshot->config->auth.external;
        if (const auto ends = authority->ca_ends()) look(external.ca, *ends);
        if (const auto ends = authority->crl_ends()) look(external.crl, *ends);
    }
}

}  // namespace postern::relay
