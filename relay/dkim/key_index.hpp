#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proto/dkim.hpp"
#include "relay/dkim/error.hpp"

namespace postern::relay::dkim {

enum class KeyState : std::uint8_t {
    fresh,    ///< Does not sign yet: its record has to be published first. Called "new".
    active,   ///< Signs.
    retired,  ///< Signs no more; its record stays for mail that is under way.
};
[[nodiscard]] std::string_view name(KeyState state) noexcept;

/// What a domain's file `keys` says of one key.
struct IndexedKey {
    std::string selector;
    proto::DkimAlgorithm algorithm = proto::DkimAlgorithm::rsa;
    KeyState state = KeyState::fresh;
    std::chrono::system_clock::time_point created;  ///< Whole milliseconds.
    std::string value;                              ///< Of its TXT record.
    bool operator==(const IndexedKey&) const = default;
};

/// More keys than this no domain has.
inline constexpr std::size_t most_keys = 16;
inline constexpr std::size_t longest_index = std::size_t{32} * 1024;

/// A line a key between a head and a foot that counts them: a file that was cut off is no shorter
/// list.
[[nodiscard]] std::string index_text(const std::vector<IndexedKey>& keys);
[[nodiscard]] result<std::vector<IndexedKey>> read_index(std::string_view text);

}  // namespace postern::relay::dkim
