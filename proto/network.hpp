#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern::proto {

/// An IPv4 or IPv6 network, "192.0.2.0/24", "::1". IPv4 is kept as IPv4-mapped IPv6, so that a
/// mapped peer address of a dual-stack listener matches too.
class Network {
  public:
    /// Empty where `text` is no address or network, or where bits behind the mask are set.
    [[nodiscard]] static std::optional<Network> parse(std::string_view text);

    /// The network of so many bits (0 to 32, or to 128) that holds the address, an IP literal;
    /// empty where it is none. Behind the count of its family: the address alone.
    [[nodiscard]] static std::optional<Network> around(std::string_view address, unsigned prefix);

    /// `address` is an IP literal; false where it is none.
    [[nodiscard]] bool contains(std::string_view address) const;
    /// "192.0.2.0/24"; of a single host "192.0.2.7".
    [[nodiscard]] std::string text() const;
    /// With its count in any case: "192.0.2.7/32".
    [[nodiscard]] std::string cidr() const;
    [[nodiscard]] bool is_v4() const noexcept;
    /// What stands behind the slash: 0 to 32, or to 128.
    [[nodiscard]] unsigned prefix() const noexcept;
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

}  // namespace postern::proto
