#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <variant>
#include <vector>

#include "relay/spool/frame.hpp"
#include "relay/spool/ledger.hpp"
#include "relay/spool/segment_log.hpp"
#include "relay/spool/spool.hpp"

namespace postern::relay::spool {

/// An entry that is to be changed, as it was when it was looked at.
struct ChangeItem {
    std::string id;
    Place state;  ///< Its state record then: what only that knows stands below.
    std::string last_reply;
    bool delay_notified = false;
};

/// What the writer made of one, by the ledger of that moment.
enum class ChangeResult : std::uint8_t {
    changed,
    already,  ///< It is as asked.
    stale,    ///< It has another state record by now: it has to be looked at again.
    gone,
    active,
    frozen,
    damaged,
    in_doubt,
};

/// One thing for the writer to make durable, whole or not at all.
struct Operation {
    SpoolBatch batch;
    std::vector<BodyPlace> bodies;    ///< Of batch.add, in that order.
    std::vector<StateRecord> states;  ///< Recorded as they are.
    std::vector<ChangeItem> changes;  ///< By an operator, of those that it may be done to.
    std::shared_ptr<const EntryChange> change;           ///< What is done to them.
    std::shared_ptr<std::vector<ChangeResult>> results;  ///< Gets one each.
    bool freezing = false;  ///< Record which accounts are frozen by now.
    Spool::Callback done;
    std::optional<Failure> failed;  ///< Already: its body could not be written.

    /// It adds entries: the room that a full disk keeps for outcomes is not for them.
    [[nodiscard]] bool adds() const noexcept { return !batch.add.empty(); }
    /// It brings something new, which is refused below the reserve and when too much waits. A
    /// notification in one batch with the outcome that owes it does not: refused, it would take
    /// the outcome with it, and what was delivered would go out again.
    [[nodiscard]] bool adds_mail() const noexcept;
    [[nodiscard]] std::uint64_t octets() const noexcept;  ///< Of the bodies.
};

/// What a durable record means for the ledger.
struct Effect {
    struct Added {
        const NewEntry* entry;
        const BodyPlace* body;
    };
    struct StateSet {
        StateRecord state;
    };
    struct Changed {  ///< By an operator: an attempt that is under way goes on.
        StateRecord state;
    };
    struct Ended {
        std::string id;
    };
    struct Moved {
        std::string id;
        BodyPlace::Kind body;
    };
    struct StateMoved {
        std::string id;
    };
    struct EndCopied {
        std::uint32_t origin;
    };
    std::size_t record = 0;  ///< Into the frame.
    std::variant<Added, StateSet, Changed, Ended, Moved, StateMoved, EndCopied> what;
};

/// A frame that is ready to be written, and what it means.
struct Prepared {
    FrameBuilder frame;
    std::vector<Effect> effects;
    std::shared_ptr<const std::string> body;    ///< Of a moved entry; the frame refers to it.
    std::vector<std::string_view> body_pieces;  ///< Likewise.
};

/// Makes the frame of an operation. The operation must outlive it. Error: not_found, exists,
/// damaged (an id that is none, no recipients, too long).
[[nodiscard]] boost::system::result<std::unique_ptr<Prepared>> prepare(const Ledger& ledger,
                                                                       Operation& operation);

/// The state record of an entry as the ledger has it.
[[nodiscard]] StateRecord state_of(const Ledger& ledger, Handle h);

/// Tells the ledger that the frame is durable, at `offset` of `segment`. Appends to `body_files`
/// the ids of entries that ended and whose body is a file.
void apply(Ledger& ledger, const Prepared& prepared, std::uint32_t segment, std::uint64_t offset,
           std::vector<std::string>& body_files);

/// Adds the ids that an operation touches; false (and nothing added): one of them is there already.
[[nodiscard]] bool claim_ids(const Operation& operation,
                             std::unordered_set<std::string_view>& claimed);
void release_ids(const Operation& operation, std::unordered_set<std::string_view>& claimed);

}  // namespace postern::relay::spool
