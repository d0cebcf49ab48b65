#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "proto/envelope.hpp"
#include "proto/reply.hpp"
#include "proto/secret.hpp"

namespace postern::proto {

/// What an upstream said in EHLO (RFC 5321 4.1.1.1).
struct UpstreamOffer {
    bool esmtp = false;
    bool pipelining = false;
    bool eight_bit_mime = false;
    bool smtputf8 = false;
    bool dsn = false;
    bool starttls = false;
    bool size = false;
    std::uint64_t max_size = 0;     ///< 0: none named.
    std::vector<std::string> auth;  ///< Mechanisms, upper case.
    bool operator==(const UpstreamOffer&) const = default;
};

enum class UpstreamStage : std::uint8_t {
    connect,
    tls,
    greeting,
    ehlo,
    starttls,
    auth,
    mail,
    rcpt,
    data,
    dot,
    rset,
    quit,
    noop
};
[[nodiscard]] std::string_view name(UpstreamStage stage) noexcept;

/// The client side of one upstream connection, sans I/O (RFC 5321, 2920). Life: greeting, EHLO,
/// STARTTLS, EHLO, AUTH, then Ready; each send_message() ends in MessageDone and Ready again, or in
/// Failed. No clock, no socket, no threads. The caller loops over next(), carries the action out
/// and feeds the result back.
///
/// Commands go out in one write where PIPELINING is offered, in groups of at most 16 KiB, so that
/// neither side can block on the other's full buffers.
///
/// The body: SendBody, body_sent(), FinalDot, final_dot_allowed(), Send (the dot), sent(), Read.
/// None of these steps asks for a flush before Send: a small body may wait in the caller's writer
/// and leave in one write with the dot. A body too large for that is written meanwhile. An answer
/// that comes before the dot is no answer: feed() whatever the socket holds (a read that does not
/// block) right before final_dot_allowed(), and before send_message() on a connection that was
/// idle; the machine then ends in Failed instead of taking it for the answer.
///
/// When every recipient is settled and the connection breaks after that, MessageDone comes first
/// and Failed at the next next(). A 421 to the dot is an answer: MessageDone, then Failed.
class ClientSession {
  public:
    struct Settings {
        std::string hostname;
        bool want_starttls =
            false;  ///< Required: an upstream without it is Failed (stage starttls).
        bool starttls_if_offered =
            false;  ///< With want_starttls: without it goes on in the clear, unless there is a
                    ///< login to be said: that is Failed as above.
        bool implicit_tls = false;
        std::string username;  ///< Empty: no AUTH.
        Secret password;       ///< Of PLAIN and LOGIN.
        /// Those that may be used, best first, as EHLO writes them. All but PLAIN and LOGIN are
        /// carried out by the caller (Sasl).
        std::vector<std::string> mechanisms = {"PLAIN", "LOGIN"};
    };
    /// One message to be sent. What the upstream does not offer is not sent: a message that needs
    /// SMTPUTF8, 8BITMIME or more octets than SIZE allows, and texts with CR, LF or NUL, end in
    /// MessageDone with a 5xx of our own (stage mail) and nothing on the wire. Callers should
    /// choose another path before.
    struct Message {
        const Envelope* envelope = nullptr;   ///< Lives until MessageDone or Failed.
        std::vector<std::size_t> recipients;  ///< Which of the envelope's are to be sent now.
        std::uint64_t size = 0;               ///< For SIZE=, unstuffed octets.
        bool eight_bit_data =
            false;  ///< The data is not 7-bit: needs 8BITMIME, says BODY=8BITMIME.
        /// Said at MAIL instead of the envelope's sender; null: that one. Lives as `envelope`.
        const Address* return_path = nullptr;
    };

    struct Read {
        std::chrono::seconds deadline;  ///< RFC 5321 4.5.3.2
        UpstreamStage stage;
    };
    struct Send {};      ///< Write output(), then sent().
    struct StartTls {};  ///< Handshake as client, then tls_started().
    /// The caller's turn in an exchange that it carries out (RFC 4954 4): sasl_response() or
    /// sasl_failed(); at its end sasl_done() or sasl_failed().
    struct Sasl {
        enum class Turn : std::uint8_t {
            first,      ///< The initial response.
            challenge,  ///< Of a 334.
            end,        ///< 235 came: does the mechanism take the server for whom it was to be?
        };
        std::string mechanism;
        Turn turn = Turn::first;
        std::string challenge;  ///< Decoded; foreign octets.
    };
    /// 354 came: write (or buffer) the body, dot-stuffed, ended by CRLF, without the final dot
    /// (DotStuffer), then call body_sent().
    struct SendBody {};
    /// The next Send carries the final dot: from final_dot_allowed() on a lost answer means in
    /// doubt. Call it, or drop the connection.
    struct FinalDot {};
    /// Logged in and idle: send_message(), noop(), or quit(). What comes in while idle is fed, too:
    /// it ends the session.
    struct Ready {};
    struct RecipientResult {
        std::size_t index = 0;  ///< Into the envelope's recipients.
        Reply reply;  ///< Final for this recipient: of RCPT where refused, else of the dot (or
                      ///< MAIL, DATA).
        UpstreamStage stage = UpstreamStage::rcpt;
    };
    struct MessageDone {
        std::vector<RecipientResult> results;  ///< One per recipient asked for, in their order.
    };
    /// The connection is of no more use; last action, and the same again at each further next().
    /// `reply` where the upstream said something. Stage quit with kind eof is no fault: quit() is
    /// answered, or an idle connection was closed (with or without a 421).
    struct Failed {
        UpstreamStage stage;
        enum class Kind : std::uint8_t {
            refused,   ///< A 4xx/5xx that judges the path.
            protocol,  ///< Octets nobody asked for, over 64 KiB, or no SMTP.
            eof,
            timeout,
            no_tls,   ///< STARTTLS wanted and not offered.
            no_auth,  ///< No mechanism that both know; `reply.text` says what was offered.
            sasl,     ///< sasl_failed(); `reply.text` says why.
        } kind;
        Reply reply;
        bool dot_sent = false;                 ///< The message under way is in doubt.
        std::vector<RecipientResult> results;  ///< What was settled before, when not all was; empty
                                               ///< once MessageDone was given.
        std::string place{};  ///< Where it happened, in words: the caller's, who knows it.
    };
    using Action =
        std::variant<Read, Send, StartTls, Sasl, SendBody, FinalDot, Ready, MessageDone, Failed>;

    explicit ClientSession(Settings settings);
    ~ClientSession();
    ClientSession(ClientSession&&) noexcept;
    ClientSession& operator=(ClientSession&&) noexcept;

    [[nodiscard]] Action next();
    void feed(std::string_view bytes);  ///< Copied. Any time.
    void eof();  ///< The connection ended or broke, in whatever action. What was fed before still
                 ///< counts.
    void timed_out();  ///< The deadline of an action passed.
    void sent();
    void tls_started();
    void sasl_response(const Secret& octets);  ///< In Sasl only, as the two below.
    void sasl_done();
    void sasl_failed(std::string why);
    void body_sent();
    void final_dot_allowed();
    void send_message(Message message);  ///< In Ready only, as the two below.
    void noop();
    void quit();

    [[nodiscard]] std::string_view output() const noexcept;
    [[nodiscard]] const UpstreamOffer& offer() const noexcept;
    /// What AUTH was begun by; empty: nothing yet, or no login.
    [[nodiscard]] const std::string& mechanism() const noexcept;

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace postern::proto
