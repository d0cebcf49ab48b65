#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proto/header.hpp"
#include "proto/session.hpp"
#include "relay/asio.hpp"
#include "relay/body.hpp"
#include "relay/message.hpp"
#include "relay/net/listener.hpp"
#include "relay/net/stream.hpp"
#include "relay/session/services.hpp"

namespace postern::relay {

/// One connection from its accept to its end: one coroutine that turns each action of the machine
/// into one await and feeds the result back. Nothing else in a session awaits. Lives on one thread.
class SessionDriver {
  public:
    SessionDriver(Services& services, Lane& lane, net::Accepted accepted);
    SessionDriver(const SessionDriver&) = delete;
    SessionDriver& operator=(const SessionDriver&) = delete;
    ~SessionDriver();

    [[nodiscard]] awaitable<void> run();

    /// Ends the session with `reply` as soon as the protocol allows (at once when idle).
    void end(proto::Reply reply);
    /// The account may send no more: as end(), and a message that is being sent is cut off.
    void revoke(proto::Reply reply);
    /// Something about the account's credentials has changed: revoke(), unless its login stands.
    void recheck(proto::Reply reply);
    /// Closes it without a word: the time to drain is over.
    void abort();
    /// Normalised; empty before login.
    [[nodiscard]] const std::string& account() const noexcept { return account_name_; }

  private:
    struct Transaction;

    // driver.cpp: the loop, reading and writing
    [[nodiscard]] awaitable<bool> admit();
    [[nodiscard]] awaitable<void> converse();
    [[nodiscard]] awaitable<void> read(proto::Session::Read what);
    [[nodiscard]] awaitable<void> write();
    [[nodiscard]] awaitable<void> start_tls(net::TlsStart start);
    [[nodiscard]] awaitable<bool> pause(std::chrono::milliseconds time);
    [[nodiscard]] bool too_slow();
    void drain_notes();
    void offer();
    void offer_mechanisms();
    [[nodiscard]] std::vector<std::string> own_mechanisms() const;

    // login.cpp: who are you
    [[nodiscard]] awaitable<void> authenticate(proto::Session::Auth what);
    [[nodiscard]] awaitable<bool> pass_guard(const std::optional<proto::Secret>& response);
    [[nodiscard]] awaitable<bool> have_keys(const std::optional<proto::Secret>& response);
    [[nodiscard]] std::function<void(const auth::Failure&)> late_failure() const;
    [[nodiscard]] policy::Verdict admit_account();
    [[nodiscard]] awaitable<std::optional<auth::StepResult>> step(
        std::optional<proto::Secret> response);
    [[nodiscard]] awaitable<void> logged_in(auth::Success success);
    [[nodiscard]] awaitable<void> login_failed(auth::Failure failure);
    [[nodiscard]] awaitable<bool> on_auth_pool(auth::AuthPool::Priority priority,
                                               std::function<void()> work);
    [[nodiscard]] awaitable<bool> refresh_account();
    [[nodiscard]] bool still_stands(const auth::AccountRecord* now) const;
    [[nodiscard]] awaitable<result<auth::AccountPtr>> look_up(std::string name);
    [[nodiscard]] std::chrono::milliseconds rest_of_floor() const;
    void login_unavailable(std::string_view why);
    void tell_login(bool ok, std::string result, const auth::Failure* failure);

    // login_alerts.cpp: what a right login has to tell
    void watch_login(const policy::LoginGuard::SuccessAnswer& guard);

    // device.cpp: who are you, by your address
    [[nodiscard]] awaitable<bool> enter_as_device();

    // transaction.cpp: may you, and whither
    [[nodiscard]] awaitable<void> judge(proto::Session::Stage stage);
    [[nodiscard]] awaitable<bool> may_still_send();
    void tell_refused(const policy::Verdict& verdict);
    [[nodiscard]] awaitable<void> commit();
    void begin_transaction();
    void remember_refusal(proto::Session::Stage stage, policy::Verdict verdict);
    void take_chunk(const proto::Session::BodyChunk& chunk);
    [[nodiscard]] policy::Facts facts() const;
    [[nodiscard]] policy::Verdict ask_policy(policy::Stage stage, const policy::Facts& facts);
    void tell_message(const policy::Verdict& verdict);
    [[nodiscard]] std::shared_ptr<Message> make_message();
    [[nodiscard]] policy::Owned owned() const;
    [[nodiscard]] std::optional<suppression::Suppressed> suppressed(
        const policy::Facts& known) const;
    [[nodiscard]] dkim::Wanted wanted_signatures(const std::string& ref) const;

    Services& services_;
    Lane& lane_;
    net::Stream stream_;
    SnapshotPtr snapshot_;  ///< Of this connection's start: what `C` keys are read from.
    std::size_t listener_;
    net::SessionToken token_;
    std::string id_;  ///< "s41"
    std::string source_;
    std::string client_ip_;
    std::optional<proto::Session> machine_;
    bool scram_withheld_ = false;
    /// As shown, where it may log in.
    std::unique_ptr<const auth::ClientCertificate> certificate_;
    std::optional<std::string> tls_version_;

    net::BlockPtr block_;  ///< Being read into; shared with the body's slices.
    std::size_t block_used_ = 0;
    SteadyTime command_deadline_;
    SteadyTime started_;
    std::size_t unbroken_ =
        0;  ///< Octets read, and what work counts as, since others had their turn.
    bool command_open_ = false;
    int discarded_ = 0;  ///< Transactions without an end of their own since the last that had one.

    Counts::Token by_source_;
    Counts::Token by_network_;
    Counts::Token by_account_;
    bool counted_ = false;

    std::shared_ptr<auth::Exchange>
        exchange_;  ///< Shared with a question to another back-end that may outlive the session.
    std::string_view unanswered_ = "overload";  ///< Why the last step came to nothing.
    std::unique_ptr<proto::Reply>
        farewell_;  ///< Of an AUTH that has failed: waits for the client's word to the challenge.
    std::string mechanism_;
    SteadyTime check_began_;  ///< Of the login that is being judged.
    policy::LoginGuard::Attempt attempt_;
    std::string attempt_name_;
    bool guarded_ = false;
    int login_failures_ = 0;
    auth::AccountPtr account_;
    std::string account_name_;
    auth::AccountPtr proved_;  ///< The account as it stood at the login.
    std::string credential_;
    auth::Identity::RestsOn rests_on_ = auth::Identity::RestsOn::credential;
    std::string acting_as_;  ///< The account whose addresses it sends from; empty: its own.
    auth::AccountPtr acting_account_;
    std::uint64_t account_generation_ = 0;

    std::unique_ptr<Transaction> transaction_;
    /// What policy said to the command whose reply comes next.
    struct Refusal {
        policy::Verdict verdict;
        std::string mail_from, rcpt;
    };
    std::unique_ptr<Refusal> refusal_;  ///< Few sessions have one: thousands may be idle.
    policy::LoginGuard::Place penalty_place_;

    std::unique_ptr<proto::Reply> ending_;
    asio::steady_timer pause_;
    bool aborted_ = false;
    bool revoked_ = false;
    std::string end_reason_;
};

}  // namespace postern::relay
