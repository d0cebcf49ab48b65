#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "relay/config/config.hpp"
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

/// Drops matching entries that no attempt holds and owes their senders a notification with the
/// reason. What was dropped, also when the spool fails on the way; error: nothing was. Blocks: call
/// it off the network threads.
[[nodiscard]] boost::system::result<std::vector<EntryInfo>> drop_with_notice(
    Spool& spool, const config::Config& config, const std::function<std::string()>& make_ref,
    event::Stream& events, const EntrySelector& which, const std::string& reason);

}  // namespace postern::relay
