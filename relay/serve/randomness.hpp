#pragma once

#include <cstdint>
#include <string>

namespace postern::relay {

/// A reference of now. Thread-safe, as all of these.
[[nodiscard]] std::string make_ref();

/// A token for X-Abuse: 128 random bits as 32 hex digits. No key makes it, so that none can be lost
/// or has to be changed; what it stands for is in the token map.
[[nodiscard]] std::string make_token();

/// From 0 on, below 1.
[[nodiscard]] double random_share();

[[nodiscard]] std::uint64_t random_seed();

}  // namespace postern::relay
