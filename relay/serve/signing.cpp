// What signs messages, and what it is asked for when somebody looks.

#include <fmt/format.h>

#include "relay/serve/server.hpp"

namespace postern::relay {

void Server::make_signing() {
    signing_keys_ = std::make_unique<dkim::KeyStore>(
        *files_, config_->server.state + "/dkim",
        [this](const std::string& file, const std::string& why) {
            events_->log(
                event::Level::error, "dkim",
                fmt::format("{}: {}; mail goes without the signatures that need it", file, why));
        });
    signer_ = std::make_unique<dkim::Signer>(*signing_keys_, *events_);
    signing_ = std::make_unique<dkim::SigningDesk>(*signer_, compute_);
    metrics_->ask(
        event::Metrics::Kind::counter, "dkim_signatures_total",
        "Signatures, and messages that went without.", [this] {
            using Outcome = dkim::Signer::Outcome;
            std::vector<event::Metrics::Sample> out;
            const auto add = [&out](std::string_view algorithm, Outcome outcome,
                                    std::uint64_t count) {
                out.push_back({{{"algorithm", std::string(algorithm)},
                                {"result", std::string(dkim::Signer::name(outcome))}},
                               static_cast<double>(count)});
            };
            for (const auto one : {proto::DkimAlgorithm::rsa, proto::DkimAlgorithm::ed25519}) {
                for (const Outcome outcome : {Outcome::ok, Outcome::failed})
                    add(proto::name(one), outcome, signer_->counted(outcome, one));
            }
            for (const Outcome outcome : {Outcome::failed, Outcome::no_key, Outcome::overload})
                add("none", outcome, signer_->counted(outcome));
            return out;
        });
}

}  // namespace postern::relay
