// Recipients that bounced for good: read at the start, written behind by the offload pool.

#include <fmt/format.h>

#include "relay/serve/randomness.hpp"
#include "relay/serve/server.hpp"

namespace postern::relay {

Server::Started Server::load_suppression() {
    suppression_ = std::make_unique<suppression::Lists>(
        *accounts_,
        suppression::Lists::Ports{
            .suppress_for = [this] { return current_.get()->config->delivery.suppress_for; },
            .later = [this](std::function<void()> work) { asio::post(offload_, std::move(work)); },
            .trouble =
                [this](std::string text) {
                    events_->log(event::Level::warning, "suppression", std::move(text));
                }},
        random_seed());
    if (const auto read = suppression_->load(std::chrono::system_clock::now()); !read) {
        return fmt::format("the account store's suppressed recipients cannot be read: {}",
                           read.error().message());
    }
    metrics_->ask(event::Metrics::Kind::gauge, "suppressed_recipients",
                  "Recipients on suppression lists.", [this] {
                      return std::vector<event::Metrics::Sample>{
                          {{}, static_cast<double>(suppression_->size())}};
                  });
    metrics_->ask(event::Metrics::Kind::counter, "suppression_dropped_total",
                  "Recipients that bounced and came on no list that lasts: it was full.", [this] {
                      return std::vector<event::Metrics::Sample>{
                          {{}, static_cast<double>(suppression_->dropped())}};
                  });
    return {};
}

}  // namespace postern::relay
