#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "proto/envelope.hpp"
#include "proto/reply.hpp"
#include "proto/secret.hpp"

namespace postern::proto {

/// What a submission session may do; a connection keeps the value it began with.
struct SessionSettings {
    std::string hostname;
    bool implicit_tls = false;  ///< TLS came first (465): no STARTTLS, AUTH at once.
    bool devices = false;  ///< For those that cannot log in: TLS by choice, no AUTH. Whoever is
                           ///< asked at MAIL says by identified() who it is, or refuses.
    bool normalize_newlines = false;  ///< bare_newline = "normalize"
    std::size_t max_recipients = 100;
    std::string contact;  ///< For 525 and help texts.
    int max_errors =
        20;  ///< Wrong commands (not refusals) without an accepted message between them.
    int max_refusals = 1000;  ///< Likewise, refused MAIL, RCPT and messages of who is logged in.
};

/// The server side of one submission session (RFC 6409), sans I/O: bytes and answers in, one action
/// at a time out. No clock, no socket, no threads. The caller loops
///     for (;;) switch (next()) { ... carry it out, feed the result back ... }
/// Replies pile up in output() and a Send action comes only when nothing more can be done without
/// the peer, or before an action that may wait long (Auth, StartTls, Ask{data}, Commit): replies to
/// pipelined commands leave in one write (RFC 2920). A caller that has to wait at Ask{mail} or
/// Ask{rcpt} may write a non-empty output() first and call sent(). After an action that waits for
/// an answer, give it before the next call of next(); an answer to what was not asked is passed
/// over.
///
/// Every Ask{mail} is followed, sooner or later, by exactly one Commit or one Discard (also after
/// refuse()). With implicit_tls the first action is StartTls, unless tls_started() was called
/// before.
class Session {
  public:
    enum class Stage : std::uint8_t {
        mail,
        rcpt,
        data
    };  ///< `data`: the end of data has been read.

    /// More octets are needed: call feed(), or eof(), or timed_out(). All octets fed before are
    /// consumed.
    struct Read {
        std::chrono::seconds deadline;  ///< RFC 5321 4.5.3.2.7
        bool in_data =
            false;  ///< A message body is under way: read in large blocks, police the rate.
        std::size_t want = 0;  ///< BDAT octets outstanding; 0: unknown.
    };
    /// Write output() whole, then sent().
    struct Send {};
    /// Do the TLS handshake as server; then tls_started() or eof(). The 220 has been sent before.
    struct StartTls {};
    /// A SASL exchange begins or goes on; answer by auth_challenge(), auth_succeeded() or
    /// auth_failed().
    struct Auth {
        std::string mechanism;           ///< Upper case; set on the first step only.
        std::optional<Secret> response;  ///< Decoded. Unset: no initial response was given.
    };
    /// The client gave up or broke the exchange in progress: forget it. No answer.
    struct AuthAborted {};
    /// May this go on? Answer by accept() or refuse(). At `rcpt` the recipient in question is the
    /// last of envelope().recipients (removed again when refused).
    struct Ask {
        Stage stage;
    };
    /// Octets of the message, unstuffed, CRLF line ends; a view into what was fed, or (is_static)
    /// into constant text. Valid until the next call of feed(). No answer.
    struct BodyChunk {
        std::string_view bytes;
        bool is_static = false;
    };
    /// The message is complete and policy said yes: take responsibility for it and answer by
    /// committed().
    struct Commit {};
    /// The transaction ended without commit (RSET, EHLO, refusal, error in the data, disconnect):
    /// forget body and reservations. envelope() and ref() may be those of the transaction no
    /// longer. No answer.
    struct Discard {};
    /// Close the connection. `output()` has been sent. Last action.
    struct Finish {
        bool clean = false;  ///< By QUIT.
    };
    using Action = std::variant<Read, Send, StartTls, Auth, AuthAborted, Ask, BodyChunk, Commit,
                                Discard, Finish>;

    /// What was answered to a command, for counting and for the events: drained by take_notes().
    struct Note {
        /// Upper case, from a closed set; "?" for what is none; "connect" for greetings and unasked
        /// replies; "end-of-data" (of a BDAT LAST too).
        std::string_view command;
        int code = 0;
        std::string enhanced;
        std::string ref;   ///< Of the message refused, from MAIL on; else empty.
        std::string text;  ///< Only where refused (code >= 400).
    };

    /// `make_ref` yields a new ULID for each transaction.
    Session(std::shared_ptr<const SessionSettings> settings, std::function<std::string()> make_ref);

    // --- the caller's side ---
    [[nodiscard]] Action next();
    /// At Read only. The view must live until next() yields Read again. Octets that hold an AUTH
    /// exchange are the caller's to wipe: the machine wipes its own copies. Called before the
    /// greeting is out, it makes the machine refuse a client that speaks first (554 5.5.1, Finish);
    /// called between STARTTLS and tls_started(), it drops the connection.
    void feed(std::string_view bytes);
    /// The peer is gone (end of file, reset, or a write that failed): nothing more is sent or
    /// read. A message whose end of data has been fed is finished first (Ask{data}, Commit); any
    /// other transaction ends in Discard, an exchange under way in AuthAborted. Then Finish.
    void eof();
    void timed_out();  ///< 421 4.4.2, then Finish.
    void sent();
    void tls_started(
        std::vector<std::string> mechanisms);  ///< Those to be offered, upper case, in that order.
    /// As tls_started() says them, from the next EHLO on: what the last one named still holds.
    void change_mechanisms(std::vector<std::string> mechanisms);
    void auth_challenge(std::string_view octets);
    void auth_succeeded();
    void auth_failed(
        Reply reply);  ///< 535, 454, 525 ... as the verifier says; close_after is kept.
    /// With `devices`, at Ask{mail}, before accept(): the client is known by its address. Without
    /// it accept() refuses.
    void identified();
    void accept();
    void refuse(Reply reply);     ///< [REF] is added here, once.
    void committed(Reply reply);  ///< 250, or what the upstream said; [REF] is added to refusals.
    /// End as soon as the protocol allows: at once when idle, else after the answer to what is
    /// under way.
    void shut_down(Reply reply);
    /// End at once, in the midst of a message too: what had not reached its end is forgotten. At
    /// Read only.
    void cut_off(Reply reply);
    /// Instead of the 220 greeting: refuse the connection.
    void refuse_connection(Reply reply);

    /// What MAIL may ask for now; the value last set counts at each EHLO and MAIL. 0 size: no
    /// limit.
    struct Offer {
        std::uint64_t max_size = 0;
        bool eight_bit_mime = true;  ///< False: 554 5.6.3 for BODY=8BITMIME.
        bool smtputf8 = true;        ///< False: 550 5.6.9 for SMTPUTF8.
    };
    void offer(Offer offer);

    // --- what is known ---
    [[nodiscard]] std::string_view output() const noexcept;
    [[nodiscard]] const Envelope& envelope() const noexcept;
    [[nodiscard]] const std::string& ref() const noexcept;   ///< Of the transaction under way.
    [[nodiscard]] const std::string& ehlo() const noexcept;  ///< The client's own name for itself.
    [[nodiscard]] bool esmtp() const noexcept;
    [[nodiscard]] bool tls() const noexcept;
    [[nodiscard]] bool authenticated() const noexcept;
    /// Those that EHLO named, or would name.
    [[nodiscard]] const std::vector<std::string>& mechanisms() const noexcept;
    [[nodiscard]] std::uint64_t body_bytes() const noexcept;
    [[nodiscard]] bool in_transaction() const noexcept;
    /// The body that is being read will be refused at its end: nothing more of it is handed out.
    [[nodiscard]] bool body_refused() const noexcept;
    [[nodiscard]] std::vector<Note> take_notes();

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;

  public:
    ~Session();
    Session(Session&&) noexcept;
    Session& operator=(Session&&) noexcept;
};

}  // namespace postern::proto
