// The intake's desk: what it works on, and its end.

#include <array>

#include <fmt/format.h>

#include "relay/delivery/notices.hpp"
#include "relay/serve/randomness.hpp"
#include "relay/serve/server.hpp"

namespace postern::relay {

namespace {

std::string salt_of() {
    return fmt::format("{:x}", random_seed());
}

}  // namespace

void Server::make_desk() {
    const std::string journal = config_->server.state + "/events";
    intake::ReportDesk::Settings settings;
    settings.index.folder = config_->server.state + "/trace";
    settings.index.salt = salt_of();
    desk_ = std::make_unique<intake::ReportDesk>(
        std::move(settings),
        intake::ReportDesk::Ports{
            .spool = *spool_,
            .events = *events_,
            .config = [this] { return current_.get()->config; },
            .make_ref = make_ref,
            .sign =
                [this](const std::string& id, std::span<const std::string_view> pieces) {
                    const config::ConfigPtr config = current_.get()->config;
                    return signer_->sign(dkim::wanted_by(*config, id, notice_domain(*config)),
                                         pieces);
                },
            .abuse_contact =
                [this](const std::string& customer) {
                    const auto found = accounts_->show_customer(customer);
                    if (!found) return std::string();
                    return found->abuse_contact.empty() ? found->contact : found->abuse_contact;
                },
            .flush = [this] { (void)recorder_->flush(); },
            .delivered_by = [this](const std::string& ref) { return delivered_by_->find(ref); },
            .delivered_by_journal =
                [journal](const std::string& ref, const std::string& rcpt) {
                    return intake::delivered_by_journal(journal, ref, rcpt);
                },
            .book = suppression_.get()});
}

}  // namespace postern::relay
