#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "auth/account.hpp"
#include "auth/device_index.hpp"
#include "auth/error.hpp"
#include "proto/network.hpp"

namespace postern::auth {

/// So many recipients a device may be bound to.
inline constexpr std::size_t max_device_rcpts = 100;

/// A device that cannot log in, as it is asked for: bound to a network and a listener.
struct NewDevice {
    std::string name;                ///< As typed; normalised as other credentials' names.
    std::string source;              ///< The network, "192.0.2.8", "192.0.2.16/28".
    std::string listener;            ///< The listener's name.
    std::vector<std::string> rcpts;  ///< Addresses and `@DOMAIN` it may write to; empty: all.
    std::string plan;                ///< Empty: device_plan.
};

/// Checked and normalised: `source` as CIDR, `rcpts` sorted. invalid_source, invalid_listener,
/// invalid_rcpt, invalid_credential.
[[nodiscard]] result<Credential> device_of(const NewDevice& wanted);

/// May a device be bound to it at all? Half the internet is nobody's device: IPv4 up to /8, IPv6 up
/// to /32.
[[nodiscard]] bool may_bind(const proto::Network& network) noexcept;
/// More than a handful of devices speak from there: IPv4 wider than /28, IPv6 wider than one link
/// (/64).
[[nodiscard]] bool is_wide(const proto::Network& network) noexcept;

/// A device as the file has it.
struct StoredDevice {
    std::string account, credential, source, listener;
};
/// All devices of an accounts.db, read without the store's lock and without writing (for
/// `postern check`, beside a running relay); none where there is no file, or one of an older
/// schema. Blocks.
[[nodiscard]] result<std::vector<StoredDevice>> stored_devices(const std::filesystem::path& path);

}  // namespace postern::auth
