#pragma once

#include <span>
#include <string>

#include "auth/account.hpp"
#include "relay/admin/json.hpp"

namespace postern::relay::admin {

/// What /api/v1/account/A/credential answers.
[[nodiscard]] Checked<Answer> credential_endpoint(const Ports& ports, const Request& request,
                                                  const std::string& account,
                                                  std::span<const std::string> rest);
/// All credentials of an account, as lists show them.
[[nodiscard]] Json credentials_of(const Ports& ports, const auth::AccountView& view);

}  // namespace postern::relay::admin
