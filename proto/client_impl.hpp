#pragma once

// Inside of ClientSession: included by client_*.cpp only.

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/client_session.hpp"
#include "proto/reply_reader.hpp"

namespace postern::proto {

/// Takes the lines of a positive EHLO reply (RFC 5321 4.1.1.1); unknown keywords are skipped.
[[nodiscard]] UpstreamOffer parse_ehlo(const std::vector<std::string>& lines);

/// `MAIL FROM:<...>` and `RCPT TO:<...>` with the parameters that were offered, ended by CRLF.
void append_mail(const ClientSession::Message& message, const UpstreamOffer& offer,
                 std::string& out);
void append_rcpt(const Recipient& recipient, const UpstreamOffer& offer, std::string& out);

/// Why a message must not be sent over this connection: a 5xx of our own. Unset: it may.
[[nodiscard]] std::optional<Reply> unfit(const ClientSession::Message& message,
                                         const UpstreamOffer& offer);

/// What the machine is about; `awaited_` says which replies are outstanding.
///
///   greeting -> ehlo [-> helo] [-> starttls -> tls -> ehlo] [-> auth [<-> sasl]] -> ready
///   ready -> envelope [-> body -> before_dot -> dot | -> stray_dot] -> ready
///   ready -> noop -> ready;  ready -> quit -> over;  any -> over
enum class ClientPhase : std::uint8_t {
    greeting,
    ehlo,
    helo,
    starttls,
    tls,
    auth,
    sasl,  ///< Sasl until sasl_response(), sasl_done() or sasl_failed().
    ready,
    envelope,
    body,        ///< 354 came; SendBody until body_sent().
    before_dot,  ///< FinalDot until final_dot_allowed().
    dot,
    stray_dot,  ///< 354 though no recipient was accepted: the data is ended at once (RFC 2920 3.1).
    noop,
    quit,
    over,
};

/// One send_message() under way.
struct ClientTransaction {
    ClientSession::Message message;
    std::vector<std::optional<ClientSession::RecipientResult>> results;  ///< By slot.
    std::size_t rcpts_sent = 0;
    std::size_t accepted = 0;
    bool mail_sent = false;
    bool mail_refused = false;
    bool rcpt_accepted_anyway = false;  ///< After a refused MAIL.
    bool dot_sent = false;

    void settle(std::size_t slot, const Reply& reply, UpstreamStage stage);
    void settle_rest(const Reply& reply, UpstreamStage stage);
    [[nodiscard]] bool settled() const noexcept;
    [[nodiscard]] std::vector<ClientSession::RecipientResult> take();
};

class ClientSession::Impl {
  public:
    explicit Impl(Settings settings);
    ~Impl();
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    [[nodiscard]] Action next();
    void feed(std::string_view bytes);
    void eof() noexcept { eof_ = true; }
    void timed_out() noexcept { timed_out_ = true; }
    void sent() noexcept;
    void tls_started();
    void sasl_response(const Secret& octets);
    void sasl_done();
    void sasl_failed(std::string why);
    void body_sent();
    void final_dot_allowed();
    void send_message(Message message);
    void noop() { begin(ClientPhase::noop); }
    void quit() { begin(ClientPhase::quit); }
    [[nodiscard]] std::string_view output() const noexcept { return output_; }
    [[nodiscard]] const UpstreamOffer& offer() const noexcept { return offer_; }
    [[nodiscard]] const std::string& mechanism() const noexcept { return mechanism_; }

  private:
    using Phase = ClientPhase;
    struct Awaited {
        UpstreamStage stage;
        std::size_t slot = 0;  ///< Of a RCPT: its place in Message::recipients.
    };

    // client_session.cpp: the loop and the ends of it
    void begin(Phase phase);
    [[nodiscard]] std::optional<Action> read_reply();
    [[nodiscard]] std::optional<Action> advance();
    void handle(Awaited awaited, const Reply& reply);
    void command(std::string_view line, UpstreamStage stage);
    void drop_output() noexcept;
    void fail(Failed::Kind kind, UpstreamStage stage, Reply reply = {});
    void unasked();
    [[nodiscard]] UpstreamStage stage() const noexcept;
    [[nodiscard]] std::string_view unread() const noexcept;

    // client_login.cpp
    void handle_greeting(const Reply& reply);
    void handle_ehlo(const Reply& reply);
    void handle_starttls(const Reply& reply);
    void handle_auth(const Reply& reply);
    void after_ehlo();
    void begin_auth();
    void begin_plain();
    void handle_sasl(const Reply& reply);
    void take_turn(Sasl::Turn turn, std::string challenge);
    void send_secret(std::string_view prefix, std::string_view octets);
    void send_plain(std::string_view prefix);

    // client_message.cpp
    void send_envelope();
    void handle_mail(const Reply& reply);
    void handle_rcpt(std::size_t slot, const Reply& reply);
    void handle_data(const Reply& reply);
    void handle_dot(const Reply& reply);
    void message_done();

    Settings settings_;
    Phase phase_ = Phase::greeting;
    UpstreamOffer offer_;
    ReplyReader reader_;
    std::string input_;
    std::size_t input_used_ = 0;
    std::string output_;
    bool output_secret_ = false;
    std::deque<Awaited> awaited_;
    std::optional<ClientTransaction> transaction_;
    std::optional<Action> due_;  ///< MessageDone that goes before what follows.
    std::optional<Failed> failed_;
    bool secure_ = false;
    bool rset_due_ = false;  ///< The upstream still holds a transaction that we gave up.
    bool untouched_ =
        false;  ///< A new exchange of which nothing was sent yet: the connection counts as idle.
    bool eof_ = false;
    bool timed_out_ = false;
    std::string mechanism_;  ///< Of the exchange under way.
    int auth_answers_ = 0;
    Sasl turn_;                       ///< What the caller is asked in Phase::sasl.
    std::optional<Secret> too_long_;  ///< An initial response that waits for its 334.
};

}  // namespace postern::proto
