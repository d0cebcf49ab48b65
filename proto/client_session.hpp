#pragma once

#include <chrono>
#include <cstdint>
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

/// What an upstream said in EHLO (RFC 5321 4.1.1.1).
struct UpstreamOffer {
    bool esmtp = false;
    bool pipelining = false;
    bool eight_bit_mime = false;
    bool smtputf8 = false;
    bool dsn = false;
    bool starttls = false;
    bool size = false;
    std::uint64_t max_size = 0;  ///< 0: none named.
    std::vector<std::string> auth;  ///< Mechanisms, upper case.
    bool operator==(const UpstreamOffer&) const = default;
};

enum class UpstreamStage : std::uint8_t { connect, tls, greeting, ehlo, starttls, auth, mail, rcpt, data, dot, rset, quit, noop };
[[nodiscard]] std::string_view name(UpstreamStage stage) noexcept;

/// The client side of one upstream connection, sans I/O. Life: greeting, EHLO, STARTTLS, EHLO, AUTH, then
/// Ready; each send_message() ends in MessageDone and Ready again, or in Failed.
class ClientSession {
  public:
    struct Settings {
        std::string hostname;
        bool want_starttls = false;  ///< Required: an upstream without it is Failed (stage starttls).
        bool implicit_tls = false;
        std::string username;        ///< Empty: no AUTH.
        Secret password;
    };
    /// What goes with the body: who may know what of the message.
    struct Message {
        const Envelope* envelope = nullptr;      ///< Lives until MessageDone or Failed.
        std::vector<std::size_t> recipients;     ///< Which of the envelope's are to be sent now.
        std::uint64_t size = 0;                  ///< For SIZE=, unstuffed octets.
        bool eight_bit_data = false;             ///< BODY=8BITMIME is to be named where offered.
    };

    struct Read {
        std::chrono::seconds deadline;  ///< RFC 5321 4.5.3.2
        UpstreamStage stage;
    };
    struct Send {};      ///< Write output(), then sent().
    struct StartTls {};  ///< Handshake as client, then tls_started().
    /// 354 came (or BODY may go): write the body, dot-stuffed, then call body_sent(). The machine itself adds
    /// the final dot to output() (so that a caller knows the instant after which the mail is in doubt: FinalDot).
    struct SendBody {};
    /// The next Send carries the final dot: from here on a lost answer means in doubt. Call final_dot_allowed() to go on, or drop the connection.
    struct FinalDot {};
    struct Ready {};     ///< Logged in and idle: send_message(), noop(), or quit().
    struct RecipientResult {
        std::size_t index = 0;  ///< Into the envelope's recipients.
        Reply reply;            ///< Final for this recipient: of RCPT where refused, else of the dot (or MAIL, DATA).
        UpstreamStage stage = UpstreamStage::rcpt;
    };
    struct MessageDone {
        std::vector<RecipientResult> results;  ///< One per recipient asked for.
    };
    /// The path's fault: the connection is of no more use. `reply` where the upstream said something.
    struct Failed {
        UpstreamStage stage;
        enum class Kind : std::uint8_t {
            refused,   ///< A 4xx/5xx that judges the path.
            protocol,  ///< Octets nobody asked for, over 64 KiB, or no SMTP.
            eof,
            timeout,
            no_tls,    ///< STARTTLS wanted and not offered.
            no_auth,   ///< No mechanism that both know.
        } kind;
        Reply reply;
        bool dot_sent = false;  ///< The message under way is in doubt.
        std::vector<RecipientResult> results;  ///< What was settled before.
    };
    using Action = std::variant<Read, Send, StartTls, SendBody, FinalDot, Ready, MessageDone, Failed>;

    explicit ClientSession(Settings settings);
    ~ClientSession();
    ClientSession(ClientSession&&) noexcept;
    ClientSession& operator=(ClientSession&&) noexcept;

    [[nodiscard]] Action next();
    void feed(std::string_view bytes);
    void eof();
    void timed_out();
    void sent();
    void tls_started();
    void body_sent();
    void final_dot_allowed();
    void send_message(Message message);
    void noop();
    void quit();

    [[nodiscard]] std::string_view output() const noexcept;
    [[nodiscard]] const UpstreamOffer& offer() const noexcept;

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace postern::proto
