#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::relay::admin {

/// One upstream as operators see it.
struct UpstreamView {
    std::string upstream;
    std::string role;     ///< As it counts now.
    std::string address;  ///< As configured: HOST:PORT, mx:DOMAIN, srv:DOMAIN
    std::string breaker;  ///< closed open half_open
    bool paused = false;
    bool promoted = false;
    /// When the pause or the promotion ends by itself, whichever comes first.
    std::optional<std::chrono::system_clock::time_point> until;
    int connections = 0;
    std::uint64_t messages_today = 0;
    double share = 0;                 ///< Of today's mail, 0 to 1.
    std::optional<double> latency_s;  ///< Of the last messages; unset: there was none.
};

enum class UpstreamVerb : std::uint8_t { pause, resume, promote, demote };
[[nodiscard]] std::string_view name(UpstreamVerb verb) noexcept;

enum class UpstreamSaid : std::uint8_t {
    done,
    unknown,  ///< No upstream has that name.
    nothing,  ///< It is not paused, not promoted; or a primary that is to be promoted.
};

/// What a running relay offers of its upstreams.
struct UpstreamDesk {
    std::function<std::vector<UpstreamView>()> list;
    /// `for_long` unset: until it is undone.
    std::function<UpstreamSaid(const std::string& upstream, UpstreamVerb verb,
                               std::optional<std::chrono::seconds> for_long)>
        change;
};

}  // namespace postern::relay::admin
