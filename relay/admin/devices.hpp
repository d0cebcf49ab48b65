#pragma once

#include <string>

#include "auth/device.hpp"
#include "relay/admin/json.hpp"

namespace postern::relay::admin {

/// The rest of a body with kind `device`: source, listener, rcpts, plan; nothing else may stand
/// there.
[[nodiscard]] Checked<auth::NewDevice> device_in(const Ports& ports, Fields& fields,
                                                 std::string name);
/// What the client is told where the store refuses it.
[[nodiscard]] Problem from_device(const boost::system::error_code& error);

}  // namespace postern::relay::admin
