#pragma once

#include <chrono>
#include <cstdint>

#include "relay/config/config.hpp"

namespace postern::relay {

/// How long after failed attempt number `attempts` (from 1 on) the next one comes: exponential,
/// bounded, with jitter. `random` is uniform in [0, 1).
[[nodiscard]] std::chrono::milliseconds retry_delay(const config::Retry& retry,
                                                    std::uint32_t attempts, double random) noexcept;

}  // namespace postern::relay
