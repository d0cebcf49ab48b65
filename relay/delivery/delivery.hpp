#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/thread_pool.hpp>

#include "proto/reply.hpp"
#include "relay/asio.hpp"
#include "relay/config/config.hpp"
#include "relay/delivery/notice_desk.hpp"
#include "relay/delivery/notices.hpp"
#include "relay/delivery/tally.hpp"
#include "relay/dkim/signing_desk.hpp"
#include "relay/event/event.hpp"
#include "relay/message.hpp"
#include "relay/net/task_group.hpp"
#include "relay/spool/spool.hpp"
#include "relay/suppression/book.hpp"
#include "relay/upstream/choice.hpp"
#include "relay/upstream/pool.hpp"

namespace postern::relay {

/// What the client is told once policy said yes.
struct ClientWord {
    proto::Reply reply;
    bool accepted = false;  ///< We, or the upstream, took responsibility.
    bool queued = false;    ///< Something of it is in the spool.
};

/// What is known now of an account whose mail is queued.
struct Standing {
    std::string plan = "transactional";
    bool good = true;  ///< Its mail may warm a standby: it is not suspended.
};

/// From an accepted message to a final word, in both modes; and the retries of what is queued. One
/// object for all threads, without state of its own but how many notifications there were: what a
/// thread needs comes as its UpstreamPool and TaskGroup.
class Delivery {
  public:
    struct Ports {
        std::function<config::ConfigPtr()> config;
        std::function<PathSetPtr()> paths;
        std::function<std::string()> make_ref;  ///< Thread-safe.
        std::function<double()> random;         ///< Uniform in [0, 1); thread-safe.
        /// May block: called on the offload pool. Null: nothing is known.
        std::function<boost::system::result<Standing>(const std::string& account)> standing =
            nullptr;
        /// Signs notifications; null: they go unsigned. Messages come signed.
        dkim::SigningDesk* signing = nullptr;
        /// As NoticeDesk has it.
        std::function<bool(const std::string& account, const proto::Address& sender)> may_tell =
            nullptr;
        /// Hears of recipients that an upstream says do not exist; null: nobody does.
        suppression::Book* suppression = nullptr;
    };
    Delivery(Ports ports, Spool& spool, asio::thread_pool& offload, event::Stream& events);

    /// Takes responsibility for the message, or says why not: never neither. `end_of_data` starts
    /// the deadline.
    [[nodiscard]] awaitable<ClientWord> take(UpstreamPool& pool, net::TaskGroup& tasks,
                                             MessagePtr message, SteadyTime end_of_data);

    /// One attempt of an entry that take_due() handed out; ends with its outcome recorded.
    [[nodiscard]] awaitable<void> run_entry(UpstreamPool& pool, std::string id);

    /// While no path takes mail: sends the delay notices that are owed, and gives up what is too
    /// old. Looks at a page of the entries after `after` and changes `most` of them at most; says
    /// where to go on, empty: they were the last.
    [[nodiscard]] awaitable<std::string> age_waiting(std::string after);

    /// Where notifications are written, for operators, too.
    [[nodiscard]] NoticeDesk& notices() noexcept { return desk_; }

  private:
    struct Wait;  // what one waiting client's message went through
    /// What becomes of an entry, to be recorded and then told.
    struct Step {
        EntryUpdate update;
        std::vector<Notice> notices;
        bool attempted = false;
    };

    struct Trial;  // what one attempt of a queued entry went through

    [[nodiscard]] awaitable<ClientWord> store_first(MessagePtr message);
    [[nodiscard]] awaitable<ClientWord> cut_through(UpstreamPool& pool, net::TaskGroup& tasks,
                                                    MessagePtr message, SteadyTime end_of_data);
    [[nodiscard]] awaitable<void> try_paths(UpstreamPool& pool, Wait& wait, SteadyTime deadline);
    [[nodiscard]] awaitable<ClientWord> conclude(UpstreamPool& pool, net::TaskGroup& tasks,
                                                 Wait& wait);
    [[nodiscard]] awaitable<void> settle_late(UpstreamPool& pool, AttemptPtr attempt,
                                              MessagePtr message, std::string id,
                                              std::vector<std::size_t> recipients);

    [[nodiscard]] awaitable<void> load_and_attempt(UpstreamPool& pool, std::string id);
    [[nodiscard]] awaitable<void> attempt_entry(UpstreamPool& pool,
                                                std::shared_ptr<LoadedEntry> shared,
                                                Standing standing);
    /// Tries the ways of an entry one after the other.
    [[nodiscard]] awaitable<void> try_entry(UpstreamPool& pool, std::shared_ptr<LoadedEntry> shared,
                                            Ways& ways, Trial& trial);
    struct Tried {
        bool attempted = false;
        bool may_give_up = true;  ///< It is not our own turn that it waits for.
    };
    [[nodiscard]] Step next_step(const config::Config& config, const LoadedEntry& loaded,
                                 const Tally& tally, Tried tried);
    /// Records it with its notices as one batch, and tells of it then.
    [[nodiscard]] awaitable<result<void>> commit_step(const NoticeSource& source, Step step);
    /// Records it with its notices, or `alone`: what there is of it without them. Until it is
    /// recorded nobody else has the entry, for a while.
    [[nodiscard]] awaitable<void> settle(UpstreamPool& pool, NoticeSource source, Step step,
                                         EntryUpdate alone);
    void tell_results(const std::string& ref, const std::string& id,
                      const proto::Envelope& envelope, const AttemptResult& result,
                      const Path& path, std::uint64_t bytes);
    /// Of a notification that cannot be delivered: it causes no other, and an operator is told.
    void tell_undeliverable(const NoticeSource& source, const EntryUpdate& update);
    /// Writes and signs the notification that carries them; its id. Empty: there is none.
    [[nodiscard]] awaitable<std::string> add_notices(SpoolBatch& batch, const NoticeSource& source,
                                                     const std::vector<Notice>& notices);
    /// What of that says that a recipient does not exist.
    void tell_bounces(const suppression::Owner& owner, const std::string& ref,
                      const proto::Envelope& envelope, const AttemptResult& result,
                      const Path& path);

    Ports ports_;
    Spool& spool_;
    asio::thread_pool& offload_;
    event::Stream& events_;
    NoticeDesk desk_;
};

}  // namespace postern::relay
