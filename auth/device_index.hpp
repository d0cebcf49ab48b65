#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "auth/account.hpp"

namespace postern::auth {

/// So many devices all accounts may have together: they are kept in memory.
inline constexpr std::size_t max_devices = 65'536;

/// Whose device a connection is.
struct BoundDevice {
    std::string account;     ///< Normalised.
    std::string credential;  ///< Its name.
    bool operator==(const BoundDevice&) const = default;
};

/// Which device speaks from an address at a listener: in memory, so that a network thread may ask.
/// Thread-safe, one short lock. Who adds devices keeps to max_devices.
class DeviceIndex {
  public:
    /// The account as it stands now, or null where it is gone: its devices take the place of those
    /// that it had.
    void changed(std::string_view account, const AccountRecord* now);
    void add(std::string_view account, const Credential& device);

    /// The device with the narrowest network around `address` (an IP literal).
    [[nodiscard]] std::optional<BoundDevice> find(std::string_view listener,
                                                  std::string_view address) const;
    /// The device that is bound to that very network ("192.0.2.8/32").
    [[nodiscard]] std::optional<BoundDevice> exactly(std::string_view listener,
                                                     std::string_view network) const;
    [[nodiscard]] std::size_t size() const;

  private:
    struct Place {
        std::string listener, network;
    };
    struct Listener {
        std::unordered_map<std::string, BoundDevice> by_network;
        std::map<unsigned, std::size_t, std::greater<>> v4, v6;  ///< How many of each prefix.
    };

    void insert(std::string_view account, const Credential& device);
    void erase(const Place& place);

    mutable std::mutex mutex_;
    std::map<std::string, Listener, std::less<>> listeners_;
    std::map<std::string, std::vector<Place>, std::less<>> of_account_;
    std::size_t size_ = 0;
};

}  // namespace postern::auth
