#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/system/result.hpp>

#include "policy/decide.hpp"
#include "policy/login_guard.hpp"
#include "proto/dkim.hpp"
#include "relay/admin/upstreams.hpp"
#include "relay/backup/backup.hpp"
#include "relay/spool/spool.hpp"

namespace postern::auth {
class AccountStore;
}
namespace postern::relay::event {
class Stream;
}
namespace postern::relay::dkim {
class KeyStore;
}
namespace postern::relay::suppression {
class Lists;
}

namespace postern::relay::admin {

class ImportDesk;

enum class Surface : std::uint8_t {
    socket,  ///< The Unix socket, or the CLI on a stopped relay: file rights have let it in.
    port,    ///< TCP: health and metrics alone, and those only from loopback or `metrics_from`.
};

/// Decoded names and values; a name that stands several times is ORed.
using Query = std::multimap<std::string, std::string, std::less<>>;

struct Request {
    std::string method;  ///< "GET"
    std::vector<std::string>
        segments;  ///< Of the path, each decoded: {"api", "v1", "account", "ann@example.net"}.
    Query query;
    std::string body;    ///< JSON, or empty.
    std::string reason;  ///< `--reason`: the header X-Reason.
    std::string who;     ///< "uid:1000"; of the port its source.
    Surface surface = Surface::socket;
    bool source_trusted = true;  ///< Of the port: loopback or `metrics_from`.

    /// Sets `segments` and `query` from a request target ("/api/v1/queue?limit=5"). False where it
    /// is malformed.
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
    std::string code;  ///< invalid unauthenticated forbidden not_found conflict rate_limited
                       ///< not_ready internal
    std::string detail;
    std::string field;  ///< The field that is wrong; may be empty.
    /// Of a file that was sent: the lines that are wrong, the first ones.
    struct Line {
        std::size_t line = 0;
        std::string what;
        std::string right;
    };
    std::vector<Line> lines;

    Problem() = default;
    // No aggregate: C++20 would make one of a lone number, and a result of a number would be
    // ambiguous.
    Problem(int with_status, std::string with_code, std::string with_detail,
            std::string with_field = "")
        : status(with_status),
          code(std::move(with_code)),
          detail(std::move(with_detail)),
          field(std::move(with_field)) {}
};
[[nodiscard]] Response problem(const Problem& p);

struct ReloadOutcome {
    bool ok = false;
    std::string error;                 ///< When not ok, the faults or the R keys, one a line.
    std::vector<std::string> changed;  ///< Keys that took effect.
};

/// What the API works on. What is null or empty is not there (a stopped relay): its endpoints
/// answer `not_ready`.
struct Ports {
    auth::AccountStore* accounts = nullptr;
    Spool* spool = nullptr;
    event::Stream* events = nullptr;
    policy::LoginGuard* guard = nullptr;
    std::function<void()> keep_guard;  ///< Writes down what the guard knows. Blocks.
    std::string journal;               ///< Folder of the journal, STATE/events.
    std::string tokens;                ///< Of the token map, STATE/trace; empty: none is known.
    std::function<void()>
        flush;  ///< What has happened is in the journal once it returns; empty: it always is.
    std::function<ReloadOutcome()> reload;
    std::function<std::string()> metrics;               ///< Prometheus text.
    std::function<std::vector<std::string>()> unready;  ///< What is not ready; empty: ready.
    /// The limits of a plan; unset where no plan has that name.
    std::function<std::optional<policy::PlanLimits>(const std::string& plan)> limits_of;
    /// The names of the listeners for devices; empty function: any name will do.
    std::function<std::vector<std::string>()> device_listeners;
    /// Between account and credential in a login name.
    std::function<char()> separator = [] { return '+'; };
    /// Drops entries that are not active and owes their senders a DSN; the last is told of each.
    /// Blocks.
    std::function<ChangeOutcome(const EntrySelector& which, const EntryChange& what,
                                const std::function<void(const EntryInfo&)>& dropped)>
        drop_with_dsn;
    /// The names of the upstreams; empty function: there are none.
    std::function<std::vector<std::string>()> upstream_names;
    suppression::Lists* suppression = nullptr;  ///< Recipients that are refused; with `accounts`.
    dkim::KeyStore* dkim = nullptr;             ///< Signing keys.
    /// What new keys are made of; goes with `dkim`.
    std::function<std::vector<proto::DkimAlgorithm>()> dkim_algorithms;
    /// How long a message's life may be looked up; empty: as long as the journal has it.
    std::function<std::chrono::milliseconds()> trace_retention;
    std::function<std::chrono::system_clock::time_point()> now = &std::chrono::system_clock::now;
    std::function<std::chrono::steady_clock::time_point()> steady = &std::chrono::steady_clock::now;
    std::string version, commit, built;
    /// Makes a backup in that folder; what the client is told. Blocks, for hours where the journal
    /// is long.
    std::function<relay::backup::Outcome(const std::string& to)> backup;
    UpstreamDesk upstreams;
    std::shared_ptr<ImportDesk> imports;  ///< Null: the API makes one.
    std::function<bool()> stopping;       ///< The process ends; empty: it does not.
};

/// The admin API, free of any transport. Synchronous; it may block on files: never call it on a
/// network thread. Thread-safe as far as its ports are.
class Api {
  public:
    explicit Api(Ports ports);
    /// Never throws.
    [[nodiscard]] Response handle(const Request& request) const noexcept;

  private:
    [[nodiscard]] Response route(const Request& request) const;
    Ports ports_;
};

}  // namespace postern::relay::admin
