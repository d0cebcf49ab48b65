#pragma once

#include <functional>
#include <string>
#include <utility>

#include "relay/config/config.hpp"
#include "relay/delivery/notice_desk.hpp"
#include "relay/dkim/signer.hpp"
#include "relay/event/event.hpp"
#include "relay/spool/spool.hpp"

namespace postern::relay {

/// An entry that nobody else takes for its lifetime. Empty: it is gone, or somebody has it.
class HeldBack {
  public:
    HeldBack(Spool& spool, std::string id)
        : spool_(spool), id_(std::move(id)), ours_(spool.hold_back(id_)) {}
    HeldBack(const HeldBack&) = delete;
    HeldBack& operator=(const HeldBack&) = delete;
    ~HeldBack() {
        if (ours_) spool_.let_go(id_);
    }
    [[nodiscard]] explicit operator bool() const noexcept { return ours_; }

  private:
    Spool& spool_;
    std::string id_;
    bool ours_;
};

/// Drops matching entries that no attempt holds (`what`: reason, limit, stop) and owes their
/// senders a notification, which `desk` writes and `signer` signs; `dropped` hears of each that is
/// gone. A hundred of them and their notifications are one batch. Blocks: call it off the network
/// threads.
[[nodiscard]] ChangeOutcome drop_with_notice(Spool& spool, NoticeDesk& desk,
                                             const config::Config& config, event::Stream& events,
                                             dkim::Signer& signer, const EntrySelector& which,
                                             const EntryChange& what,
                                             const std::function<void(const EntryInfo&)>& dropped);

}  // namespace postern::relay
