#pragma once

#include <atomic>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/thread_pool.hpp>

#include "relay/asio.hpp"
#include "relay/dkim/signer.hpp"

namespace postern::relay::dkim {

/// Where sessions and deliveries have messages signed: on the compute pool, never on their own
/// thread. Thread-safe.
class SigningDesk {
  public:
    /// A second or two of work for a small machine; who comes then is to try again.
    static constexpr std::size_t most_waiting = 2000;

    /// Both outlive every call.
    SigningDesk(Signer& signer, asio::thread_pool& pool) : signer_(signer), pool_(pool) {}

    /// As Signer::sign. Unset: too many wait. What `pieces` views lives until it answers.
    [[nodiscard]] awaitable<std::optional<std::string>> sign(Wanted wanted,
                                                             std::vector<std::string_view> pieces);
    [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.load(); }

  private:
    Signer& signer_;
    asio::thread_pool& pool_;
    std::atomic<std::size_t> waiting_{0};
};

}  // namespace postern::relay::dkim
