#include "relay/delivery/retry.hpp"

#include <algorithm>
#include <cmath>

namespace postern::relay {

std::chrono::milliseconds retry_delay(const config::Retry& retry, std::uint32_t attempts,
                                      double random) noexcept {
    const double first = static_cast<double>(retry.first.count());
    const double max = static_cast<double>(retry.max.count());
    // The exponent is bounded, or pow() would overflow to infinity long before give_up.
    const double grown =
        std::min(max, first * std::pow(retry.factor, std::min(attempts, 64U) - 1.0));
    const double spread = 1.0 + retry.jitter * (2.0 * random - 1.0);
    return std::chrono::milliseconds(
        static_cast<std::int64_t>(std::clamp(grown * spread, 0.0, max)));
}

}  // namespace postern::relay
