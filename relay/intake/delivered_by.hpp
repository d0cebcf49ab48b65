#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "relay/event/event.hpp"

namespace postern::relay::intake {

/// Which upstream had a message: of the latest quarter of a million in memory, two MiB of it. A
/// reader of the stream; asked on any thread.
class DeliveredBy final : public event::Reader {
  public:
    DeliveredBy();
    void on_event(const event::Event& e) noexcept override;
    /// Empty: not known (any more).
    [[nodiscard]] std::string find(std::string_view ref) const;

  private:
    static constexpr std::size_t slots = std::size_t{1} << 18U;
    static constexpr std::uint64_t name_bits = 0xff;

    [[nodiscard]] std::uint64_t number_of(const std::string& upstream);

    std::unique_ptr<std::array<std::atomic<std::uint64_t>, slots>> seen_;
    mutable std::shared_mutex mutex_;
    std::vector<std::string> names_;  ///< At most 255: of later ones nothing is kept.
};

/// The same from the journal, of its first files from the message's day on only: a message that
/// was queued for longer, or of a very busy day, is not found. Blocks.
[[nodiscard]] std::string delivered_by_journal(const std::string& folder, const std::string& ref,
                                               std::string_view rcpt);

}  // namespace postern::relay::intake
