#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "relay/spool/ledger.hpp"
#include "relay/spool/recovery.hpp"
#include "relay/spool/spool.hpp"

namespace postern::relay::spool {

/// What the parts of an open spool share.
struct Shared {
    FileSystem& fs;
    const Spool::Settings settings;
    const Spool::Observer observer;
    const Layout layout;

    std::mutex
        mutex;  ///< Of the ledger. Held for memory work only, never over a call of the file port.
    Ledger ledger;

    std::atomic<std::uint64_t> reserve{settings.reserve};  ///< Free space that is kept.
    std::atomic<std::uint64_t> free_bytes{0};              ///< As last seen.
    /// Octets promised by reservations. Outlives the spool, as they may.
    std::shared_ptr<std::atomic<std::uint64_t>> reserved =
        std::make_shared<std::atomic<std::uint64_t>>(0);
    std::atomic<bool> writable{false};
    std::atomic<bool> full{false};  ///< Why it is not writable: space, or something else.
};

}  // namespace postern::relay::spool
