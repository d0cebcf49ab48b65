#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proto/body_reader.hpp"
#include "proto/command.hpp"
#include "proto/line_reader.hpp"
#include "proto/replies.hpp"
#include "proto/reply.hpp"

namespace postern::proto {

struct IntakeSettings {
    std::string hostname;
    bool lmtp = false;                     ///< LHLO, and a reply a recipient (RFC 2033); else SMTP.
    std::uint64_t max_size = 1ULL << 20U;  ///< Octets of a mail. Stops a peer that fills memory.
    std::size_t max_recipients = 100;      ///< Of a mail. Likewise.
    int max_errors = 20;  ///< Wrong commands without a mail between them. Stops a peer that tries.
};

/// A mail as it was taken.
struct IntakeMail {
    std::string mail_from;           ///< Without angle brackets; empty: the null reverse-path.
    std::vector<std::string> rcpts;  ///< As given.
    std::string octets;              ///< Unstuffed, CRLF line ends.
};

/// The server side of a session that takes reports on mail, LMTP (RFC 2033) or SMTP, sans I/O. It
/// takes any recipient and relays to none: each mail is handed to the caller. No AUTH, no STARTTLS.
/// CRLF.CRLF alone ends a mail; a lone LF in it becomes CRLF, for strange servers write reports.
///
/// The caller loops on next() and carries out what it says. Replies pile up in output(), and `send`
/// comes only when nothing more can be done without the peer, or before `take`.
class IntakeSession {
  public:
    enum class Action : std::uint8_t {
        read,    ///< feed(), eof(), timed_out() or shut_down(); all octets fed are consumed.
        send,    ///< Write output() whole, then sent(); or eof().
        take,    ///< take_mail(), make it safe, then taken().
        finish,  ///< Close. Last action.
    };
    enum class Outcome : std::uint8_t {
        safe,   ///< 250
        later,  ///< 451 4.3.1: it is not taken, and may be sent again.
    };

    explicit IntakeSession(IntakeSettings settings);

    [[nodiscard]] Action next();
    void feed(std::string_view octets);  ///< At `read`. Must live until the next `read`.
    void sent();
    void eof();        ///< The peer is gone; a mail whose end was read is still to be taken.
    void timed_out();  ///< At `read`: 421 4.4.2, then `finish`.
    /// 421 4.3.2 at the next `read`, in the midst of a mail too: nothing was promised for it yet.
    void shut_down();
    /// In place of the greeting, before the first next().
    void refuse(const Reply& reply);
    [[nodiscard]] IntakeMail take_mail();
    void taken(Outcome outcome);

    [[nodiscard]] std::string_view output() const noexcept { return output_; }
    [[nodiscard]] bool in_mail() const noexcept { return phase_ == Phase::data; }

  private:
    enum class Phase : std::uint8_t {
        greeting,  ///< -> command
        command,   ///< a line -> any below
        data,      ///< octets -> take, command (a fault)
        take,      ///< taken() -> command
        closing,   ///< send -> finished
        finished,
    };

    [[nodiscard]] Action wait_or_send();
    void read_command();
    void read_mail_data();
    void on_line(std::string_view line);
    void act(const Command& command);
    void greet(std::string_view arguments, bool extended);
    void on_mail(std::string_view arguments);
    void on_rcpt(std::string_view arguments);
    void on_data(std::string_view arguments);
    void end_of_data();
    void say(Say what);
    void say(const Reply& reply);
    void wrong(Reply reply);  ///< Counted.
    /// Once a recipient (LMTP), or once.
    void say_of_mail(const Reply& reply);
    void forget_mail();

    IntakeSettings settings_;
    LineReader lines_;
    BodyReader body_;
    Phase phase_ = Phase::greeting;
    std::string_view input_;
    std::string output_;
    IntakeMail mail_;
    std::size_t rcpts_ = 0;  ///< Of the mail that is being taken.
    int errors_ = 0;
    bool greeted_ = false;
    bool has_sender_ = false;
    bool stopping_ = false;
    bool gone_ = false;
};

}  // namespace postern::proto
