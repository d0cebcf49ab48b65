#pragma once

#include <span>
#include <string>

#include "relay/admin/json.hpp"

namespace postern::relay::admin {

/// What stands behind /api/v1/NOUN; `rest` is what follows the noun. Each answers for its own
/// methods.
[[nodiscard]] Checked<Answer> account_endpoint(const Ports& ports, const Request& request,
                                               std::span<const std::string> rest);
/// POST /account/import
[[nodiscard]] Checked<Answer> import_endpoint(const Ports& ports, const Request& request);
[[nodiscard]] Checked<Answer> customer_endpoint(const Ports& ports, const Request& request,
                                                std::span<const std::string> rest);
[[nodiscard]] Checked<Answer> dkim_endpoint(const Ports& ports, const Request& request,
                                            std::span<const std::string> rest);
[[nodiscard]] Checked<Answer> login_endpoint(const Ports& ports, const Request& request,
                                             std::span<const std::string> rest);
[[nodiscard]] Checked<Answer> queue_endpoint(const Ports& ports, const Request& request,
                                             std::span<const std::string> rest);
[[nodiscard]] Checked<Answer> suppression_endpoint(const Ports& ports, const Request& request,
                                                   std::span<const std::string> rest);
[[nodiscard]] Checked<Answer> upstream_endpoint(const Ports& ports, const Request& request,
                                                std::span<const std::string> rest);
[[nodiscard]] Checked<Answer> trace_endpoint(const Ports& ports, const Request& request,
                                             std::span<const std::string> rest);
[[nodiscard]] Checked<Answer> events_endpoint(const Ports& ports, const Request& request);

/// Emits event `admin`: every change tells who made it and why.
void tell(const Ports& ports, const Request& request, std::string what, std::string subject,
          std::vector<std::pair<std::string, std::string>> fields = {});

[[nodiscard]] Problem no_such_method(const Request& request);
[[nodiscard]] Problem no_such_path();

}  // namespace postern::relay::admin
