#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "proto/dsn.hpp"
#include "relay/config/config.hpp"
#include "relay/delivery/tally.hpp"
#include "relay/event/event.hpp"
#include "relay/spool/spool.hpp"

namespace postern::relay {

/// The message that a notification tells of, from wherever it is at hand.
struct NoticeSource {
    std::string ref, account, customer;
    const proto::Envelope* envelope = nullptr;
    std::vector<std::string_view> pieces;
    WallTime received;
    bool dsn = false;  ///< It is a notification itself: it causes none, whatever its envelope says.
};

/// A recipient to be told of, with what became of it.
struct Notice {
    std::size_t recipient = 0;  ///< Into the envelope's.
    proto::DsnAction action = proto::DsnAction::failed;
    proto::Reply reply;
    std::string remote;  ///< The path that said it; empty: we ourselves.
    std::string reason;
};

/// A reply as the queue shows it.
[[nodiscard]] std::string last_word(const proto::Reply& reply);

/// The notices owed for what an attempt settled (RFC 3461 4.1): `failed` for refusals, `relayed`
/// for deliveries to a path without DSN where SUCCESS was asked for. None for the null
/// reverse-path.
[[nodiscard]] std::vector<Notice> owed_notices(const proto::Envelope& envelope, const Tally& tally);

/// Tells of each notice: what became of it is `result`, the entry that carries it `id`.
void tell_notices(event::Stream& events, const std::string& ref, const proto::Envelope& envelope,
                  const std::vector<Notice>& notices, const std::string& id,
                  std::string_view result);

/// An action as events name it.
[[nodiscard]] std::string_view name(proto::DsnAction action) noexcept;
/// The action that a notification of ours was about; `failed` where it does not say.
[[nodiscard]] std::string_view action_told(const std::vector<std::string_view>& pieces) noexcept;

/// As which a notification goes upstream: `delivery.dsn_envelope` for the null reverse-path, which
/// it keeps for us.
[[nodiscard]] proto::Envelope as_sent(const config::Config& config,
                                      const proto::Envelope& notification);

/// What can be recorded where there is no room for the notices: who is owed one of a failure stays
/// open, for the next attempt to hear it again; what was delivered is settled, or it would be sent
/// again.
[[nodiscard]] EntryUpdate without_notices(EntryUpdate update, const std::vector<Notice>& notices);

/// Whose mail a notification is: the domain of its From.
[[nodiscard]] std::string notice_domain(const config::Config& config);

/// One queue entry that carries all notices, due now. `id` and `random` are fresh references.
[[nodiscard]] NewEntry make_notice_entry(const config::Config& config, const NoticeSource& source,
                                         const std::vector<Notice>& notices, const std::string& id,
                                         const std::string& random, WallTime now);
/// Fields on top of an entry's message.
void put_on_top(NewEntry& entry, std::string fields);

}  // namespace postern::relay
