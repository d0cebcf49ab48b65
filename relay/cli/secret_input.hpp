#pragma once

#include <optional>
#include <string>

#include "proto/secret.hpp"

namespace postern::relay::cli {

/// One line of standard input; at a terminal it is asked for twice, without echo. Empty with the
/// reason in `error`.
[[nodiscard]] std::optional<proto::Secret> read_password(std::string& error);

}  // namespace postern::relay::cli
