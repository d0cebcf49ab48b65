#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "proto/envelope.hpp"
#include "relay/asio.hpp"
#include "relay/delivery/tally.hpp"
#include "relay/spool/spool.hpp"
#include "relay/upstream/choice.hpp"
#include "relay/upstream/pool.hpp"

namespace postern::relay {

/// By what mail is routed: from the envelope and who sent it, whether it has just come or was kept.
[[nodiscard]] Sender sender_of(const proto::Envelope& envelope, const std::string& account,
                               const std::string& customer, const std::string& plan);

/// As whom it counts among a standby's warm mail: its customer, or the account of none.
[[nodiscard]] const std::string& warms_as(const Sender& sender);

/// On whose account its connections and its part of a path's rate go: its customer's, or those of
/// the account of none. No customer is called as an account is.
[[nodiscard]] std::string shares_as(const Sender& sender);

/// What a warm mail may wait for a connection: nobody waits in a row for the sake of a standby's
/// fame, but one that another thread keeps is given up within it.
constexpr std::chrono::milliseconds warm_slot_patience{250};

enum class Waited : std::uint8_t {
    finished,
    passed_on,  ///< It warms a standby that has kept us waiting: given up, the next path has it.
    overdue,    ///< The deadline came, or we are shutting down.
};
/// Waits for an attempt until `deadline`; with `warm` for as long as a standby may keep mail from
/// those that would have had it, unless its final dot has gone.
[[nodiscard]] awaitable<Waited> wait_for(AttemptPtr attempt, SteadyTime deadline, bool warm,
                                         const UpstreamPool& pool);

/// A standby's word on a warm mail: what it left for later is for the next path now.
void settle_warm(Ways& ways, Tally& tally, const AttemptResult& result);

/// What is said where no path offers what the message needs.
[[nodiscard]] proto::Reply unfit_reply(const PathSet& paths, const PathSet::Needs& needs);

/// Where a queued entry is to go.
struct Choice {
    Ways ways;  ///< That it may go now, best first.
    /// The one way that it is to go is there, whether it takes mail now or not.
    bool own_way = false;
};
/// `all` paths there are; `routed`: those of its sender; `dsn_upstream`: the one of notifications,
/// empty: as other mail. `random` is uniform in [0, 1).
[[nodiscard]] Choice ways_of(const PathSet& all, const PathSet& routed, const LoadedEntry& loaded,
                             const Sender& sender, const PathSet::Needs& needs,
                             std::string_view dsn_upstream, const std::function<double()>& random);

}  // namespace postern::relay
