#pragma once

#include <functional>
#include <vector>

#include "relay/config/check.hpp"
#include "relay/serve.hpp"
#include "relay/sink/sink.hpp"

namespace postern::relay::cli {

/// What the command line starts and does not hold itself; main fills it in.
struct Programs {
    std::function<int(ServeOptions)> serve;
    std::function<std::vector<config::Finding>(const config::Config&)> check_upstreams;
    std::function<std::vector<config::Finding>(const config::Config&)> check_listeners;
    std::function<std::vector<config::Finding>(const config::Config&)> check_accounts;
    std::function<std::vector<config::Finding>(const config::Config&, config::Reach)>
        check_token_keys;
    std::function<std::vector<config::Finding>(const config::Config&)> check_logins;
    std::function<int(const sink::SinkOptions&)> sink;
    std::function<std::vector<config::Finding>(const config::Config&, config::Reach)> check_backend;
};

/// The whole command line. Returns the exit code: 0 done; 1 refused, not found, or a fault found; 2
/// usage or configuration; 3 relay not reachable; 4 our own failure.
[[nodiscard]] int run(int argc, const char* const* argv, const Programs& programs);

}  // namespace postern::relay::cli
