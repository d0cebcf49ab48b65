#pragma once

#include "proto/network.hpp"

namespace postern::relay::config {

using proto::canonical_address;
using proto::is_loopback;
using proto::is_private;
using proto::Network;

}  // namespace postern::relay::config
