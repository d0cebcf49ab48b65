#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "relay/config/config.hpp"

namespace postern::relay::config {

/// "embedded", "saslauthd" ...
[[nodiscard]] std::string_view name(AuthBackend backend) noexcept;

/// The mechanisms of passwords that a back-end serves where none are named, best first.
[[nodiscard]] std::vector<std::string> mechanisms_of(AuthBackend backend);

/// What finish() knows of the keys: whether one was given, and how to find fault with one, or to
/// have something said of it.
struct KeysGiven {
    std::function<bool(std::string_view key)> given;
    std::function<void(std::string key, std::string text)> fault;
    std::function<void(std::string key, std::string text)> notice;
    bool strict = true;  ///< Whether what is missing is a fault.
};

/// Of [auth]: mechanisms that the back-end serves where none are named, and faults of those that it
/// cannot, at a listener, too; options that are missing or wrong, and notices of those that are
/// another back-end's.
void finish_backend(Auth& auth, const std::vector<Listen>& listeners, const KeysGiven& keys);

}  // namespace postern::relay::config
