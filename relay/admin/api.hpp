#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::auth {
class AccountStore;
}
namespace postern::relay {
class Spool;
}
namespace postern::relay::event {
class Journal;
class Stream;
}  // namespace postern::relay::event

namespace postern::relay::admin {

enum class Surface : std::uint8_t {
    socket,  ///< The Unix socket, or the CLI on a stopped relay: file rights have let it in.
    port,    ///< TCP: health and metrics alone, and those only from loopback or `metrics_from`.
};

struct Request {
    std::string method;  ///< "GET"
    std::string path;    ///< Percent-decoded by segment: "/api/v1/account/ann@example.net".
    std::vector<std::string> segments;                       ///< Of `path`, each decoded.
    std::multimap<std::string, std::string> query;           ///< Decoded; a repeated one is ORed.
    std::string body;                                        ///< JSON or empty
    std::string reason;                                      ///< `--reason`: header X-Reason.
    std::string who;                                         ///< "uid:1000", "cli:uid:0"; of the port its source.
    Surface surface = Surface::socket;
    bool source_trusted = true;  ///< Of the port: loopback or `metrics_from`.

    /// Sets `path`, `segments` and `query` from a request target. False where it is malformed.
    [[nodiscard]] bool set_target(std::string_view target);
};

struct Response {
    int status = 200;
    std::string content_type = "application/json";
    std::string body;
};

/// RFC 9457.
struct Problem {
    int status = 500;
    std::string code;    ///< invalid unauthenticated forbidden not_found conflict rate_limited not_ready internal
    std::string detail;
    std::string field;   ///< The field that is wrong; may be empty.
};
[[nodiscard]] Response problem(const Problem& p);

struct ReloadOutcome {
    bool ok = false;
    std::string error;                  ///< When not ok, the faults or the R keys, one a line.
    std::vector<std::string> changed;   ///< Keys that took effect.
};

/// What the API works on. What is null or empty is not there (a stopped relay): its endpoints answer `not_ready`.
struct Ports {
    auth::AccountStore* accounts = nullptr;
    Spool* spool = nullptr;
    event::Journal* journal = nullptr;
    event::Stream* events = nullptr;
    std::function<ReloadOutcome()> reload;
    std::function<std::string()> metrics;               ///< Prometheus text.
    std::function<std::vector<std::string>()> unready;  ///< What is not ready; empty: ready.
    /// An account's connections end within 5 s when it is suspended, removed or its credential changes.
    std::function<void(const std::string& account)> account_changed;
    std::function<bool(const std::string& plan)> plan_exists;
    std::uint32_t scram_iterations = 4096;
    std::function<std::chrono::system_clock::time_point()> now;
    std::string version, commit, built;
};

/// The admin API, free of any transport. Synchronous; it may block on files: never call it on a network thread.
/// Thread-safe as far as its ports are.
class Api {
  public:
    explicit Api(Ports ports) : ports_(std::move(ports)) {}
    /// Never throws.
    [[nodiscard]] Response handle(const Request& request) const noexcept;

  private:
    [[nodiscard]] Response route(const Request& request) const;
    Ports ports_;
};

}  // namespace postern::relay::admin
