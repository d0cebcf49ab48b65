#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/system/result.hpp>

#include "proto/envelope.hpp"
#include "proto/network.hpp"
#include "proto/reply.hpp"

namespace postern::relay {

class FileSystem;  // relay/spool/file.hpp

using WallTime = std::chrono::system_clock::time_point;

enum class EntryState : std::uint8_t { ready, active, deferred, in_doubt, held, frozen, damaged };
[[nodiscard]] std::string_view name(EntryState s) noexcept;

/// One queued message (or DSN of ours) as it is to be stored.
struct NewEntry {
    std::string id;   ///< ULID of its own; of a message: its ref. 1 to 31 of A-Z a-z 0-9 - _
    std::string ref;  ///< Of the message; of a DSN: the one it tells of.
    std::string account;
    std::string customer;
    std::string source;        ///< The address it came from; of a DSN of ours: empty.
    proto::Envelope envelope;  ///< Recipients: those still to be delivered.
    std::string message_id;
    bool dsn = false;
    EntryState state = EntryState::ready;  ///< ready, deferred, or in_doubt; of a loaded one: as
                                           ///< recorded (never active, nor held)
    WallTime created;
    WallTime next_attempt;
    std::uint32_t attempts = 0;
    std::string upstream;  ///< Last tried; of in_doubt: the only one it may go to.
    std::string last_reply;
    std::vector<std::string_view> pieces;  ///< The message as it goes out, unstuffed.
    std::shared_ptr<const void> keep;      ///< Keeps `pieces` alive until the callback ran.
};

enum class Settled : std::uint8_t { delivered, refused, dropped, expired };

/// A change of one entry, recorded durably.
struct EntryUpdate {
    std::string id;
    struct RecipientDone {
        std::uint32_t index = 0;  ///< Into the entry's recipients as stored.
        Settled how = Settled::delivered;
    };
    std::vector<RecipientDone> done;  ///< When none is left open, the entry is gone.
    /// What it is from now on. `active` keeps an active entry active (it is found ready after a
    /// restart). A held entry stays held, and a rerouted one rerouted, whatever this says; only
    /// mail in doubt belongs to `upstream`, and to no other.
    EntryState state = EntryState::deferred;
    WallTime next_attempt;
    std::uint32_t attempts = 0;
    std::string upstream;
    std::string last_reply;
    bool delay_notified = false;
};

/// All of a batch becomes durable, or (after a crash at any instant) none of it is found.
/// An entry may be in a batch once. Notifications beside an update are taken below the reserve and
/// by a full queue, as the update is; on a disk without any space left they are refused with it.
struct SpoolBatch {
    std::vector<NewEntry> add;
    std::vector<EntryUpdate> update;
};

enum class SpoolError : std::uint8_t {
    full = 1,   ///< No space (or below the reserve): 452 4.3.1
    write,      ///< 452 4.3.1 and an alert
    sync,       ///< 452 4.3.1 and an alert; that segment is never trusted again
    damaged,    ///< Checksum or format; of a batch: an id that is none, no recipients, over 1 GiB
    not_found,  ///< No such entry, or (of an update) no such recipient: nothing of the batch is
                ///< written
    busy,    ///< The writer's queue is full (batches that add mail; outcomes are taken): 452 4.3.1
    newer,   ///< A format of a later version: refused by name
    exists,  ///< An entry with that id is queued already
};
[[nodiscard]] const boost::system::error_category& spool_category() noexcept;
[[nodiscard]] boost::system::error_code make_error_code(SpoolError e) noexcept;

/// What is known of an entry without reading its body.
struct EntryInfo {
    std::string id, ref, account, customer, source, mail_from, upstream, last_reply, reason;
    std::vector<std::string> open_rcpts;
    EntryState state = EntryState::ready;
    bool dsn = false;
    bool delay_notified = false;
    bool rerouted = false;  ///< An operator sent it by `upstream`.
    std::uint64_t bytes = 0;
    WallTime created, next_attempt;
    std::uint32_t attempts = 0;
};

/// An entry with its body, read back for an attempt.
struct LoadedEntry {
    NewEntry entry;                   ///< `pieces` point into `keep`; recipients as stored.
    std::vector<std::uint32_t> open;  ///< Indices of recipients not yet settled.
    bool delay_notified = false;
    bool held = false;      ///< An operator has stopped it; its state is what it is beneath.
    bool rerouted = false;  ///< It is to go by entry.upstream, as an operator said.
};

/// ANDed; each repeated one ORed. Empty: everything.
struct EntrySelector {
    std::vector<std::string> ids, accounts, customers, mail_from, rcpts,
        upstreams;  ///< addresses or @DOMAIN
    std::vector<proto::Network> sources;
    std::vector<EntryState>
        states;  ///< As shown; `held` also finds what is frozen or active besides.
    std::optional<WallTime> since, until;
};

/// What an operator does to entries.
struct EntryChange {
    enum class Kind : std::uint8_t {
        hold,     ///< Nothing tries it, tells of its delay or gives it up, until its release.
        release,  ///< Ends a hold; it is due now.
        reroute,  ///< It goes by `upstream`, whatever would be chosen, and is due now.
        retry,    ///< It is due now. In memory alone: nothing to record.
        drop,     ///< It is gone.
    };
    Kind kind = Kind::retry;
    std::string reason;    ///< Of hold and drop.
    std::string upstream;  ///< Of reroute.
    WallTime now;
    std::size_t limit = 0;  ///< At most so many entries; 0: all.
    /// Asked between two pages whether to end early; unset: never.
    std::function<bool()> stop;
};

/// What became of it. An entry that was already as asked is neither changed nor failed.
struct ChangeOutcome {
    std::size_t matched = 0;
    std::size_t changed = 0;
    std::size_t failed = 0;
    struct Failure {
        std::string id;
        std::string why;
    };
    std::vector<Failure> failures;  ///< The first ones.
    /// What ended it early (what was changed until then is changed); busy also where `stop` did.
    boost::system::error_code error;

    static constexpr std::size_t failures_kept = 20;
    void fail(const std::string& id, std::string why) {
        ++failed;
        if (failures.size() < failures_kept) failures.push_back({id, std::move(why)});
    }
};

/// The durable queue: append-only segments, one writer thread, group commit. Thread-safe. Callbacks
/// run on the writer's thread: hand over and return.
class Spool {
  public:
    struct Settings {
        std::string path;
        std::uint64_t reserve = 64U << 20U;  ///< Free space below it: nothing new is taken.
        std::uint64_t segment_size = 64U << 20U;
        std::uint64_t inline_limit =
            256U << 10U;  ///< Larger bodies are files of their own under bodies/.
        std::size_t max_queued_batches = 4096;
        std::function<std::uint64_t()>
            random;  ///< Makes segments unforgeable from inside a body. Unset: the system's.
    };
    /// What the spool tells of itself; called from its own thread.
    struct Observer {
        std::function<void(std::string_view kind, const std::string& path,
                           const std::string& error)>
            failed;                       ///< kind: write sync full
        std::function<void()> recovered;  ///< Writing works again.
        std::function<void(const std::string& id, const std::string& where, const std::string& why)>
            damaged;
        std::function<void(std::size_t entries, double seconds)> batch_committed;
        std::function<void()> due_changed;  ///< next_due() may have become earlier.
    };

    /// Opens or makes the spool and recovers: every batch whose commit was answered is found again;
    /// what is damaged is set aside under damaged/ and reported. Entries that were active are ready
    /// again; in_doubt ones are due again to their own upstream.
    [[nodiscard]] static boost::system::result<std::unique_ptr<Spool>> open(FileSystem& fs,
                                                                            Settings settings,
                                                                            Observer observer);
    virtual ~Spool() = default;

    using Callback = std::move_only_function<void(boost::system::result<void>)>;
    /// When the callback says success, the batch is on stable storage. Runs inside the call only
    /// where the batch is refused at once (busy, stopped).
    virtual void commit(SpoolBatch batch, Callback done) = 0;

    /// A claim on disk space for a message and its outcomes, given back on destruction.
    class Reservation {
      public:
        Reservation() = default;
        Reservation(std::shared_ptr<void> token) : token_(std::move(token)) {}

      private:
        std::shared_ptr<void> token_;
    };
    /// Never blocks: counted against the free space last seen. Error: full (or write, while the
    /// spool is failing).
    [[nodiscard]] virtual boost::system::result<Reservation> reserve(std::uint64_t bytes) = 0;

    /// What reserve() keeps free from now on; Settings::reserve at first.
    virtual void set_reserve(std::uint64_t bytes) = 0;

    /// Reads an entry back. Blocks: call it on the offload pool. A damaged one is set aside: error
    /// damaged.
    [[nodiscard]] virtual boost::system::result<LoadedEntry> load(const std::string& id) = 0;

    /// Up to `max` due entries, fairly by customer, then account (deficit round robin); each
    /// becomes active.
    [[nodiscard]] virtual std::vector<std::string> take_due(WallTime now, std::size_t max) = 0;
    /// Puts an active entry back unrecorded, due at `when` (no path was free).
    virtual void put_back(const std::string& id, WallTime when) = 0;
    [[nodiscard]] virtual std::optional<WallTime> next_due() const = 0;
    /// Nobody takes the entry until let_go(), or until it is gone. False: there is none, it is
    /// active, or somebody else holds it back.
    [[nodiscard]] virtual bool hold_back(const std::string& id) = 0;
    virtual void let_go(const std::string& id) = 0;

    [[nodiscard]] virtual std::vector<EntryInfo> list(
        const EntrySelector& which, std::size_t limit,
        const std::string& after_id) const = 0;  ///< In order of id. May read files: offload.
    /// Calls `see` with every matching entry in order of id, until it says false. However many
    /// there are, a few of them are in memory. Reads files, and runs `see` here: offload.
    virtual void visit(const EntrySelector& which,
                       const std::function<bool(const EntryInfo&)>& see) const = 0;
    /// Changes matching entries in order of id, a page at a time, each durable before the next
    /// begins; `changed` (may be unset) hears of each that is. Blocks, and reads files: offload,
    /// never from a callback of the spool.
    ///
    /// Left alone, and told why: of hold, release and reroute what is damaged; of release what is
    /// frozen, and not held; of reroute what is in doubt; of drop what is active; of retry what is
    /// active, held, frozen, damaged, or in doubt (its answer may still come). An attempt in hand
    /// ends as it does; what then is left is held, or goes by its new way.
    virtual ChangeOutcome change(const EntrySelector& which, const EntryChange& what,
                                 const std::function<void(const EntryInfo&)>& changed) = 0;
    /// Freezes (or thaws) an account's entries, those it has and those to come: in memory at once,
    /// and recorded.
    virtual void freeze(const std::string& account, bool frozen, Callback done) = 0;
    /// Whether what is frozen now is recorded, told once it is; freezes and thaws nothing.
    virtual void record_frozen(Callback done) = 0;
    /// Accounts that are frozen now.
    [[nodiscard]] virtual std::vector<std::string> frozen_accounts() const = 0;

    struct Stats {
        std::size_t entries[7] = {};  ///< By EntryState.
        std::uint64_t bytes[7] = {};
        std::optional<WallTime> oldest[7];
        std::uint64_t free_bytes = 0;
        bool writable = true;
    };
    [[nodiscard]] virtual Stats stats() const = 0;
    /// Finishes what is queued, syncs, ends the thread.
    virtual void stop() = 0;
};

}  // namespace postern::relay

template <>
struct boost::system::is_error_code_enum<postern::relay::SpoolError> : std::true_type {};
