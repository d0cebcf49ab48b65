#pragma once

#include <optional>

#include "proto/body_reader.hpp"
#include "proto/command.hpp"
#include "proto/line_reader.hpp"
#include "proto/path.hpp"
#include "proto/replies.hpp"
#include "proto/session.hpp"

namespace postern::proto {

/// Where the machine stands, and what leaves each place.
enum class Phase : std::uint8_t {
    tls_first,     ///< implicit TLS: StartTls        -> greeting (tls_started)
    greeting,      ///< nothing said                  -> greeting_out
    greeting_out,  ///< Send                          -> command (sent)
    command,       ///< Read: a command line          -> any below
    tls,           ///< Send, StartTls                -> command (tls_started)
    verify,        ///< Auth                          -> exchange (auth_challenge), command
                   ///< (auth_succeeded, auth_failed)
    exchange,      ///< Read: a line of the exchange  -> verify, command (*, bad base64)
    ask_mail,      ///< Ask                           -> command
    ask_rcpt,      ///< Ask                           -> command
    data,          ///< Read, BodyChunk               -> ask_data, command (error in the data)
    bdat,          ///< Read, BodyChunk: one chunk    -> command, bdat_end (LAST)
    bdat_end,      ///< BodyChunk: a missing CRLF     -> ask_data, command
    swallow,       ///< Read: a refused BDAT's octets -> command
    ask_data,      ///< Ask                           -> commit, command
    commit,        ///< Commit                        -> command (committed)
    closing,       ///< Send                          -> finished
    finished,      ///< Finish
};

class Session::Impl {
  public:
    Impl(std::shared_ptr<const SessionSettings> settings, std::function<std::string()> make_ref);

    [[nodiscard]] Action next();
    void feed(std::string_view bytes);
    void eof();
    void timed_out();
    void sent();
    void tls_started(std::vector<std::string> offered);
    void auth_challenge(std::string_view octets);
    void auth_succeeded();
    void auth_failed(Reply reply);
    void identified();
    void accept();
    void refuse(Reply reply);
    void committed(Reply reply);
    void shut_down(Reply reply);
    void cut_off(Reply reply);
    void refuse_connection(Reply reply);

    Offer offer;
    std::vector<std::string> mechanisms;
    std::optional<std::vector<std::string>> next_mechanisms;  ///< From the next EHLO on.
    std::string output;
    std::vector<Note> notes;
    Envelope envelope;
    std::string ref;
    std::string ehlo;
    BodyReader body;
    bool esmtp = false;
    bool tls = false;
    bool authenticated = false;
    bool in_transaction = false;

  private:
    using MaybeAction = std::optional<Action>;  // Unset: look again.

    // session_machine.cpp: phases, replies, the ends
    [[nodiscard]] MaybeAction step();
    [[nodiscard]] MaybeAction read_or_send(std::chrono::seconds deadline, bool in_data,
                                           std::uint64_t want = 0);
    [[nodiscard]] MaybeAction flushed(Action action);
    void greet();
    void say(Say what);
    void answer(Reply reply);
    void end_transaction();
    void close();   ///< Once output is sent.
    void finish();  ///< At once.

    // session_commands.cpp
    [[nodiscard]] MaybeAction next_command();
    void on_line(std::string_view line);
    void on_bad_line(std::string_view line);
    [[nodiscard]] std::optional<Say> objection(const Command& command) const;
    void carry_out(const Command& command);
    void on_hello(std::string_view name, bool extended);
    void on_starttls();
    void on_mail(std::string_view arguments);
    void on_rcpt(std::string_view arguments);
    void on_data();

    // session_auth.cpp
    void on_auth(std::string_view arguments);
    [[nodiscard]] MaybeAction next_exchange_line();
    void on_exchange_line(std::string_view line);
    void abort_exchange(Say why);

    // session_body.cpp
    void begin_body(BodyReader::Framing framing);
    void on_bdat(std::string_view arguments);
    void refuse_bdat(std::string_view arguments, Say why);
    [[nodiscard]] MaybeAction next_data();
    [[nodiscard]] MaybeAction next_bdat();
    [[nodiscard]] MaybeAction next_bdat_end();
    [[nodiscard]] MaybeAction next_swallow();
    void end_of_chunk();
    void end_of_data();
    void refuse_body();

    std::shared_ptr<const SessionSettings> settings_;
    std::function<std::string()> make_ref_;
    LineReader lines_;
    std::string_view input_;  ///< Fed and not consumed yet.
    std::string_view command_ = "connect";
    std::string mechanism_;  ///< Of the exchange that begins.
    std::optional<Secret> response_;
    std::unique_ptr<Reply>
        parting_;  ///< From shut_down() or refuse_connection(), said as soon as may be.
    std::uint64_t max_size_ = 0;  ///< Of this message, from the offer at MAIL.
    std::uint64_t chunk_left_ = 0;
    std::uint64_t chunk_size_ = 0;
    int errors_ = 0;
    int refusals_ = 0;  ///< Of those logged in.
    Phase phase_ = Phase::greeting;
    bool chunk_last_ = false;
    bool in_bdat_ = false;        ///< This transaction's body comes by BDAT.
    bool promised_ = false;       ///< Ask{mail} was yielded, and neither Commit nor Discard since.
    bool discard_ = false;        ///< To be yielded.
    bool exchange_open_ = false;  ///< Auth was yielded and its exchange is not over.
    bool exchange_aborted_ = false;  ///< To be yielded.
    bool heard_ = false;             ///< A command line came.
    bool spoke_first_ = false;
    bool gone_ = false;  ///< The peer; nothing is sent or read any more.
    bool clean_ = false;
};

}  // namespace postern::proto
