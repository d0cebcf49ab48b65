#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <variant>
#include <vector>

#include "relay/config/config.hpp"
#include "relay/event/event.hpp"
#include "relay/event/token_index.hpp"
#include "relay/intake/attribution.hpp"
#include "relay/intake/complaint_notices.hpp"
#include "relay/intake/desk.hpp"
#include "relay/spool/spool.hpp"
#include "relay/suppression/book.hpp"

namespace postern::relay::intake {

/// Attributes, counts and sends on, on a thread of its own: it reads files and waits for the spool.
/// `counted` is answered once the event is in the files of journal and token map, as far as the
/// recorder can promise that (they are not synced: a killed process loses nothing of it, power
/// may); what is sent on is answered once it is in the spool.
class ReportDesk final : public Desk {
  public:
    struct Settings {
        event::TokenIndex::Settings index;
        std::size_t max_jobs = 1000;          ///< Beyond it: overloaded.
        std::size_t max_octets = 64U << 20U;  ///< Of mails that wait.
        std::size_t max_return_paths = 10;    ///< Of one mail that are looked at.
        std::chrono::seconds journal_every{
            2};  ///< Least time between two searches for an upstream.
    };
    /// All outlive the desk; functions are called on its thread and may block.
    struct Ports {
        Spool& spool;
        event::Stream& events;
        std::function<config::ConfigPtr()> config;
        std::function<std::string()> make_ref;
        /// DKIM fields for a mail of ours; null: none.
        std::function<std::string(const std::string& id, std::span<const std::string_view>)> sign =
            nullptr;
        /// Who answers for a customer's mail; empty: nobody is known.
        std::function<std::string(const std::string& customer)> abuse_contact = nullptr;
        /// Until what was emitted is in the files; null: there are none.
        std::function<void()> flush = nullptr;
        /// Which upstream had a message, from memory; null: nothing is known.
        std::function<std::string(const std::string& ref)> delivered_by = nullptr;
        /// The same from files; dear.
        std::function<std::string(const std::string& ref, const std::string& rcpt)>
            delivered_by_journal = nullptr;
        suppression::Book* book = nullptr;
    };

    ReportDesk(Settings settings, Ports ports);
    ~ReportDesk() override;
    ReportDesk(const ReportDesk&) = delete;
    ReportDesk& operator=(const ReportDesk&) = delete;

    void take(Mail mail, Done done) override;
    void take(std::vector<Word> words, Done done) override;

    /// Ends the one in hand, answers the others that they may come again, and stores the complaint
    /// mails that wait for their hour. Before the spool stops. Idempotent.
    void stop();
    [[nodiscard]] std::size_t waiting() const;

  private:
    struct Job {
        std::variant<Mail, std::vector<Word>> what;
        Done done;
        std::size_t octets = 0;
    };

    void put(Job job);
    void run();
    [[nodiscard]] bool idle(std::unique_lock<std::mutex>& lock);
    void handle(Job job);

    [[nodiscard]] Taken handle_mail(const Mail& mail);
    [[nodiscard]] Taken handle_return(const Mail& mail, const std::string& token,
                                      const std::vector<Saying>& sayings);
    [[nodiscard]] Taken handle_words(const std::vector<Word>& words);
    /// Whose mail it is, by token or Message-ID; of several with one Message-ID the latest with
    /// that recipient.
    [[nodiscard]] Taken judge(const std::string& token, const std::string& message_id,
                              const Saying& saying, std::string& rcpt);
    [[nodiscard]] std::optional<event::MappedMessage> find(const std::string& token);
    [[nodiscard]] Taken count(const Saying& saying, const event::MappedMessage& message,
                              std::string& rcpt);
    [[nodiscard]] std::string upstream_of(const event::MappedMessage& message,
                                          const std::string& rcpt);
    void tell(WordKind kind, Taken taken);

    struct Forward {
        const event::MappedMessage& message;
        std::string action;  ///< Of event `dsn`.
        std::string rcpt;    ///< Told of; may be empty.
    };
    /// Sends a mail that came to a return path on to its sender. Unset: it does not go on.
    [[nodiscard]] std::optional<Taken> send_on(const Mail& mail, const Forward& forward);
    void send_complaints(const ComplaintNotices::Batch& batch);
    [[nodiscard]] boost::system::result<void> store(NewEntry entry);

    Settings settings_;
    Ports ports_;
    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Job> jobs_;
    std::size_t octets_ = 0;
    bool stopping_ = false;
    // The thread's own.
    event::TokenIndex index_;
    bool indexed_ = false;
    bool emitted_ = false;  ///< By the job in hand.
    Once once_;
    ForwardLimit forwarded_;
    ComplaintNotices complaints_;
    std::optional<std::chrono::steady_clock::time_point> searched_journal_;
    std::thread thread_;
};

}  // namespace postern::relay::intake
