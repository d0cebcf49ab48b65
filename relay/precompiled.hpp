#pragma once

// What nearly every file of relay/ includes, read by the compiler once a build (CMake precompiles
// it; no file includes it itself).

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>
#include <boost/asio/ip/tcp.hpp>

#include "relay/asio.hpp"
