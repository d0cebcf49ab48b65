// What a right login has to tell the operator: alerts of the login watch.

#include <fmt/format.h>

#include "policy/login_watch.hpp"
#include "relay/session/driver.hpp"
#include "relay/session/transaction.hpp"

namespace postern::relay {

namespace {

/// "198.51.100.9 (AS64511, FR)"
std::string described(const std::string& source, const policy::Place& place) {
    std::string known;
    if (place.asn != 0) known = fmt::format("AS{}", place.asn);
    if (!place.country.empty()) known += (known.empty() ? "" : ", ") + place.country;
    return known.empty() ? source : fmt::format("{} ({})", source, known);
}

}  // namespace

void SessionDriver::watch_login(const policy::LoginGuard::SuccessAnswer& guard) {
    const SnapshotPtr now = services_.current.get();
    policy::LoginWatch::Login login{
        .account = account_name_, .source = source_, .place = {}, .guard = guard};
    if (now->geo) login.place = now->geo->find(client_ip_);
    const policy::LoginWatch::Alerts due =
        services_.watch.on_login(login, std::chrono::steady_clock::now());
    if (!due.any() ||
        policy::mode_of(policy::Rule::login_guard, facts(), now->policy) == policy::Mode::off)
        return;
    std::vector<std::pair<std::string, std::string>> fields{{"source", source_}};
    if (login.place.asn != 0) fields.emplace_back("asn", std::to_string(login.place.asn));
    if (!login.place.country.empty()) fields.emplace_back("country", login.place.country);
    const std::string from =
        fmt::format("{} logged in from {}", account_name_, described(source_, login.place));
    const auto raise = [&](const char* kind, std::string what) {
        services_.events.emit(event::AlertRaised{
            .kind = kind,
            .subject = account_name_,
            .text = fmt::format("{}{}", from, what),
            .action = fmt::format("ask its owner; if it was somebody else: postern account passwd "
                                  "{0}, or postern account suspend {0}",
                                  account_name_),
            .fields = fields});
    };
    if (due.after_failures)
        raise("success_after_failures", ", after many failed logins with its name or from there");
    if (due.new_network) raise("success_new_network", ", a network that it did not use lately");
    if (due.new_country) raise("success_new_country", ", a country that it did not use lately");
    if (due.many_networks) {
        fields.emplace_back("networks", std::to_string(due.networks));
        raise("many_networks",
              fmt::format(", the last of {} new networks within ten minutes", due.networks));
    }
}

}  // namespace postern::relay
