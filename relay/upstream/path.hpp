#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/client_session.hpp"
#include "relay/config/config.hpp"
#include "relay/event/event.hpp"
#include "relay/net/tls.hpp"
#include "relay/upstream/breaker.hpp"

namespace postern::relay {

/// One `[[upstream]]`, ready for use.
struct PathSettings {
    config::Upstream upstream;
    net::TlsClientPtr tls;  ///< Null where upstream.tls is none.
    std::string hostname;   ///< Ours, for EHLO.
};

/// What one upstream is known to be and do now, shared by all threads: breaker, number of
/// connections, last EHLO. Thread-safe; locks are short.
class Path {
  public:
    Path(PathSettings settings, event::Stream& events);

    [[nodiscard]] const PathSettings& settings() const noexcept { return settings_; }
    [[nodiscard]] const std::string& name() const noexcept { return settings_.upstream.name; }

    /// A claim on one connection, given back on destruction. May be handed to another thread.
    class Slot {
      public:
        Slot() = default;
        explicit Slot(std::shared_ptr<Path> path) : path_(std::move(path)) {}
        Slot(Slot&&) noexcept = default;
        Slot& operator=(Slot&& other) noexcept;
        Slot(const Slot&) = delete;
        Slot& operator=(const Slot&) = delete;
        ~Slot();
        [[nodiscard]] explicit operator bool() const noexcept { return path_ != nullptr; }

      private:
        std::shared_ptr<Path> path_;
    };
    /// Empty: as many connections exist as may now.
    [[nodiscard]] static Slot try_slot(const std::shared_ptr<Path>& path, SteadyTime now);

    [[nodiscard]] bool open_breaker(SteadyTime now);  ///< No mail may go this way now.
    void succeeded(SteadyTime now);
    void failed(SteadyTime now, std::string_view stage, std::string_view error);
    void no_answer(SteadyTime now, std::string_view ref);
    void trip(SteadyTime now, std::string_view stage, std::string_view error);
    /// A synthetic probe is due and nobody else makes it: the caller must, and tell probed().
    [[nodiscard]] bool claim_probe(SteadyTime now);
    void probed(SteadyTime now, bool good, std::string_view error);

    void met(const proto::UpstreamOffer& offer);
    /// Of the last EHLO; unset: not yet met, counts as offering all.
    [[nodiscard]] std::optional<proto::UpstreamOffer> last_offer() const;

    struct View {
        Breaker::State breaker = Breaker::State::closed;
        int connections = 0;
        std::string error;
    };
    [[nodiscard]] View view();
    [[nodiscard]] int connections() const noexcept {
        return connections_.load(std::memory_order_relaxed);
    }

    /// No longer in the configuration: its idle connections go.
    std::atomic<bool> retired{false};
    /// Threads that wait for a slot: others then give idle connections up.
    std::atomic<int> waiting{0};
    /// Called (from any thread) when a slot came free while somebody waits, or the breaker let mail
    /// through again.
    std::function<void()> on_free;

  private:
    void tell(Breaker::State state, std::string_view stage, std::string_view error);
    void release_slot();

    PathSettings settings_;
    event::Stream& events_;
    std::atomic<int> connections_{0};
    mutable std::mutex mutex_;
    Breaker breaker_;
    bool probing_ = false;
    std::optional<proto::UpstreamOffer> offer_;
};

using PathPtr = std::shared_ptr<Path>;

/// The paths of one configuration, primaries first, each role in the order of the file. Immutable.
struct PathSet {
    std::vector<PathPtr> paths;

    struct Needs {
        std::uint64_t size = 0;
        bool eight_bit_mime = false;
        bool smtputf8 = false;
    };
    /// Paths that may take such a message now, best first.
    [[nodiscard]] std::vector<PathPtr> candidates(const Needs& needs, SteadyTime now) const;
    /// Some path (whatever its breaker says) offers what the message needs.
    [[nodiscard]] bool any_offers(const Needs& needs) const;
    /// The largest SIZE among the paths; 0: no path limits it.
    [[nodiscard]] std::uint64_t largest_size() const;
    [[nodiscard]] bool all_open(SteadyTime now) const;
    [[nodiscard]] PathPtr find(std::string_view name) const;
};

/// Whether what an EHLO offered is enough for a message.
[[nodiscard]] bool offers(const proto::UpstreamOffer& offer, const PathSet::Needs& needs);

}  // namespace postern::relay
