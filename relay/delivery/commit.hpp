#pragma once

#include "relay/asio.hpp"
#include "relay/spool/spool.hpp"

namespace postern::relay {

/// Commits a batch and resumes on the caller's own executor once it is on stable storage, or is
/// not.
[[nodiscard]] awaitable<result<void>> commit(Spool& spool, SpoolBatch batch);

/// Whether the spool may take the same batch later.
[[nodiscard]] bool may_pass(const boost::system::error_code& error) noexcept;

}  // namespace postern::relay
