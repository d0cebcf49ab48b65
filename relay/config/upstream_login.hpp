#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "relay/config/config.hpp"

namespace postern::relay::config {

/// How the keys of one upstream are asked for and faulted.
struct UpstreamLoginKeys {
    std::function<bool(std::string_view key)> given;
    std::function<void(std::string key, std::string text)> fault;
    bool strict = true;  ///< What is missing is a fault.
};

/// Refuses a login that lacks something or contradicts itself: user name, password, `mechanism`,
/// `oauth`. `path`: "upstream.0".
void finish_upstream_login(const std::string& path, const Upstream& upstream,
                           const UpstreamLoginKeys& keys);

}  // namespace postern::relay::config
