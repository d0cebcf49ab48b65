// Devices that cannot log in: what is asked for, checked; the store's calls about them.
#include "auth/device.hpp"

#include <algorithm>
#include <memory>
#include <system_error>

#include "auth/account_rows.hpp"
#include "auth/account_store_impl.hpp"
#include "auth/login_name.hpp"
#include "auth/saslprep.hpp"
#include "auth/sqlite.hpp"
#include "proto/address.hpp"

namespace postern::auth {
namespace {

constexpr std::size_t longest_listener = 64;

result<std::vector<std::string>> recipients(const std::vector<std::string>& texts) {
    if (texts.size() > max_device_rcpts) return AuthError::invalid_rcpt;
    std::vector<std::string> out;
    for (const std::string& text : texts) {
        const bool domain = text.starts_with('@');
        if (!proto::parse_mailbox(domain ? "x" + text : text, true)) return AuthError::invalid_rcpt;
        out.push_back(domain ? "@" + proto::normalised_domain(std::string_view(text).substr(1))
                             : proto::normalised_address(text));
    }
    std::ranges::sort(out);
    const auto twice = std::ranges::unique(out);
    out.erase(twice.begin(), twice.end());
    return out;
}

}  // namespace

bool may_bind(const proto::Network& network) noexcept {
    return network.prefix() >= (network.is_v4() ? 8U : 32U);
}

bool is_wide(const proto::Network& network) noexcept {
    return network.prefix() < (network.is_v4() ? 28U : 64U);
}

result<Credential> device_of(const NewDevice& wanted) {
    const auto label = normalised_label(wanted.name);
    if (!label) return AuthError::invalid_credential;
    const auto network = proto::Network::parse(wanted.source);
    if (!network || !may_bind(*network)) return AuthError::invalid_source;
    if (wanted.listener.empty() || wanted.listener.size() > longest_listener)
        return AuthError::invalid_listener;
    auto rcpts = recipients(wanted.rcpts);
    if (!rcpts) return rcpts.error();
    Credential out;
    out.name = *label;
    out.kind = device_kind;
    out.plan = wanted.plan.empty() ? std::string(device_plan) : wanted.plan;
    out.source = network->cidr();
    out.listener = wanted.listener;
    out.rcpts = std::move(*rcpts);
    return out;
}

Outcome AccountStore::Impl::load_devices() {
    Statement rows = reader_->prepare(
        "SELECT a.name, c.name, c.source, c.listener FROM credential c "
        "JOIN account a ON a.id = c.account_id WHERE c.kind = 'device' ORDER BY c.id");
    while (rows.row()) {
        Credential device;
        device.name = rows.text(1);
        device.source = rows.text(2);
        device.listener = rows.text(3);
        devices_.add(rows.text(0), device);
    }
    return rows.error();
}

result<AccountPtr> AccountStore::add_device(std::string_view name, const NewDevice& wanted,
                                            Time now) {
    const std::optional<std::string> normalised = normalised_login(name);
    if (!normalised) return AuthError::not_found;
    const auto device = device_of(wanted);
    if (!device) return device.error();
    return impl_->change(
        *normalised, Change::credential,
        [&](Database& db, const AccountPtr& account) -> result<std::int64_t> {
            if (find_credential(*account, device->name) != nullptr)
                return AuthError::credential_exists;
            if (account->credentials.size() >= max_credentials)
                return AuthError::too_many_credentials;
            // Changes come one at a time: what the index says holds until this one is through.
            if (impl_->devices().exactly(device->listener, device->source))
                return AuthError::source_taken;
            if (impl_->devices().size() >= max_devices) return AuthError::too_many_devices;
            if (const Outcome error = write_credential(db, account->id, *device, now)) return error;
            return account->id;
        });
}

std::optional<BoundDevice> AccountStore::find_device(std::string_view listener,
                                                     std::string_view address) const {
    return impl_->devices().find(listener, address);
}

result<std::vector<StoredDevice>> stored_devices(const std::filesystem::path& path) {
    std::vector<StoredDevice> out;
    std::error_code missing;
    if (!std::filesystem::exists(path, missing)) return out;
    constexpr std::chrono::milliseconds busy{2000};
    auto database = Database::open(path, busy, Database::Access::read);
    if (!database) return database.error();
    const auto version = (*database)->number("PRAGMA user_version");
    if (!version) return version.error();
    constexpr std::int64_t first_with_devices = 4;
    if (*version < first_with_devices) return out;
    Statement rows = (*database)->prepare(
        "SELECT a.name, c.name, c.source, c.listener FROM credential c "
        "JOIN account a ON a.id = c.account_id WHERE c.kind = 'device' ORDER BY a.name, c.name");
    while (rows.row()) out.push_back({rows.text(0), rows.text(1), rows.text(2), rows.text(3)});
    if (!rows.ok()) return rows.error();
    return out;
}

}  // namespace postern::auth
