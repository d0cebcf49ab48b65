#include "relay/serve.hpp"

#include <cstdio>
#include <exception>

#include <fmt/format.h>

#include "relay/process/systemd.hpp"
#include "relay/serve/server.hpp"

namespace postern::relay {

int serve(ServeOptions options) {
    try {
        auto server =
            std::make_unique<Server>(std::move(options), process::Notifier::from_environment());
        if (const auto started = server->start(); !started) {
            fmt::print(stderr, "postern: {}\n", started.error());
            return 1;
        }
        return server->run();
    } catch (const std::exception& bug) {
        fmt::print(stderr, "postern: internal error: {}\n", bug.what());
        return 4;
    }
}

}  // namespace postern::relay
