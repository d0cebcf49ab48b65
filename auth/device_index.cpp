#include "auth/device_index.hpp"

#include <utility>

#include "proto/network.hpp"

namespace postern::auth {

void DeviceIndex::insert(std::string_view account, const Credential& device) {
    const auto network = proto::Network::parse(device.source);
    if (!network) return;  // Of a file that somebody edited: nobody speaks from there.
    const std::string text = network->cidr();
    Listener& listener = listeners_[device.listener];
    const auto [at, fresh] =
        listener.by_network.try_emplace(text, BoundDevice{std::string(account), device.name});
    if (!fresh) return;  // As above: the first one has it.
    ++(network->is_v4() ? listener.v4 : listener.v6)[network->prefix()];
    of_account_[std::string(account)].push_back({device.listener, text});
    ++size_;
}

void DeviceIndex::erase(const Place& place) {
    const auto at = listeners_.find(place.listener);
    if (at == listeners_.end() || at->second.by_network.erase(place.network) == 0) return;
    --size_;
    const auto network = proto::Network::parse(place.network);
    auto& prefixes = network->is_v4() ? at->second.v4 : at->second.v6;
    const auto count = prefixes.find(network->prefix());
    if (--count->second == 0) prefixes.erase(count);
    if (at->second.by_network.empty()) listeners_.erase(at);
}

void DeviceIndex::add(std::string_view account, const Credential& device) {
    const std::scoped_lock lock(mutex_);
    insert(account, device);
}

void DeviceIndex::changed(std::string_view account, const AccountRecord* now) {
    const std::scoped_lock lock(mutex_);
    if (const auto had = of_account_.find(account); had != of_account_.end()) {
        for (const Place& place : had->second) erase(place);
        of_account_.erase(had);
    }
    if (now == nullptr) return;
    for (const Credential& credential : now->credentials) {
        if (credential.kind == device_kind) insert(account, credential);
    }
}

std::optional<BoundDevice> DeviceIndex::find(std::string_view listener,
                                             std::string_view address) const {
    const auto canonical = proto::canonical_address(address);
    if (!canonical) return std::nullopt;
    const std::scoped_lock lock(mutex_);
    const auto at = listeners_.find(listener);
    if (at == listeners_.end()) return std::nullopt;
    const bool v6 = canonical->contains(':');
    for (const auto& [prefix, count] : v6 ? at->second.v6 : at->second.v4) {
        const auto around = proto::Network::around(*canonical, prefix);
        const auto found = at->second.by_network.find(around->cidr());
        if (found != at->second.by_network.end()) return found->second;
    }
    return std::nullopt;
}

std::optional<BoundDevice> DeviceIndex::exactly(std::string_view listener,
                                                std::string_view network) const {
    const std::scoped_lock lock(mutex_);
    const auto at = listeners_.find(listener);
    if (at == listeners_.end()) return std::nullopt;
    const auto found = at->second.by_network.find(std::string(network));
    if (found == at->second.by_network.end()) return std::nullopt;
    return found->second;
}

std::size_t DeviceIndex::size() const {
    const std::scoped_lock lock(mutex_);
    return size_;
}

}  // namespace postern::auth
