#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern::relay::config {

/// An IPv4 or IPv6 network, "192.0.2.0/24", "::1". IPv4 is kept as IPv4-mapped IPv6, so that a
/// mapped peer address of a dual-stack listener matches too.
class Network {
  public:
    /// Empty where `text` is no address or network, or where bits behind the mask are set.
    [[nodiscard]] static std::optional<Network> parse(std::string_view text);

    /// `address` is an IP literal; false where it is none.
    [[nodiscard]] bool contains(std::string_view address) const;
    [[nodiscard]] std::string text() const;
    bool operator==(const Network&) const = default;

  private:
    std::array<std::uint8_t, 16> bytes_{};
    unsigned bits_ = 128;  ///< Of the mapped form.
};

/// An IP literal without brackets, in its canonical text; empty where it is none. IPv4-mapped IPv6
/// becomes IPv4.
[[nodiscard]] std::optional<std::string> canonical_address(std::string_view text);
/// Loopback, of either family.
[[nodiscard]] bool is_loopback(std::string_view address);
/// Loopback, RFC 1918, unique local (RFC 4193) or link-local.
[[nodiscard]] bool is_private(std::string_view address);

}  // namespace postern::relay::config
