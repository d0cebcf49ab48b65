#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "relay/config/config.hpp"
#include "relay/dkim/key_store.hpp"
#include "relay/event/event.hpp"

namespace postern::relay::dkim {

/// Whose keys are to sign a message, and how.
struct Wanted {
    std::string ref;             ///< For the log.
    std::string from_domain;     ///< In its form; empty: none that may.
    std::string default_domain;  ///< Signs where that one has no key; empty: none.
    std::vector<proto::DkimAlgorithm> algorithms;
    std::int64_t unix_seconds = 0;
};
/// As the configuration has it. `from_domain`: as it stands in From, or empty.
[[nodiscard]] Wanted wanted_by(const config::Config& config, std::string ref,
                               std::string_view from_domain);

/// Writes DKIM-Signature fields. Thread-safe.
class Signer {
  public:
    /// What became of a message, by algorithm; the last two are of whole messages.
    enum class Outcome : std::uint8_t { ok, failed, no_key, overload };
    static constexpr std::size_t outcomes = 4;
    [[nodiscard]] static std::string_view name(Outcome outcome) noexcept;

    Signer(KeyStore& keys, event::Stream& events) : keys_(keys), events_(events) {}

    /// False: memory knows that no key would sign it; that is counted then. Never blocks.
    [[nodiscard]] bool may_sign(const Wanted& wanted);
    /// The fields for the message that `pieces` are as it goes out; to be put on top of it, and
    /// nothing may change then. Empty: it goes without, which is counted, and logged unless there
    /// is just no key. Reads files, and takes a millisecond and more: on a pool.
    [[nodiscard]] std::string sign(const Wanted& wanted, std::span<const std::string_view> pieces);

    void count(Outcome outcome) noexcept;
    void count(Outcome outcome, proto::DkimAlgorithm algorithm) noexcept;
    [[nodiscard]] std::uint64_t counted(Outcome outcome) const noexcept;
    [[nodiscard]] std::uint64_t counted(Outcome outcome,
                                        proto::DkimAlgorithm algorithm) const noexcept;

  private:
    using Counts = std::array<std::atomic<std::uint64_t>, outcomes>;

    [[nodiscard]] DomainKeysPtr keys_for(const Wanted& wanted);
    [[nodiscard]] std::string fail(const Wanted& wanted, const DomainKeys& keys,
                                   std::string_view why);

    KeyStore& keys_;
    event::Stream& events_;
    std::array<Counts, proto::dkim_algorithms> by_algorithm_{};
    Counts whole_{};
};

}  // namespace postern::relay::dkim
