#pragma once

#include <map>
#include <string>
#include <vector>

#include "relay/admin/json.hpp"

namespace postern::relay::admin {

// What accounts, credentials and customers share.

/// What the client is told of an error of the account store.
[[nodiscard]] Problem from_store(const boost::system::error_code& error);
/// A plan that the configuration knows; empty: none is named.
[[nodiscard]] Checked<void> check_plan(const Ports& ports, const std::string& plan);
/// Known rules in known modes; an empty mode takes an exception back.
[[nodiscard]] Checked<void> check_rules(const std::map<std::string, std::string>& rules);
/// With spaces between.
[[nodiscard]] std::string joined(const std::vector<std::string>& texts);
/// "rule=mode rule=mode".
[[nodiscard]] std::string joined(const std::map<std::string, std::string>& rules);

}  // namespace postern::relay::admin
