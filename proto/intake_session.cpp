#include "proto/intake_session.hpp"

#include <utility>

#include "proto/parameters.hpp"
#include "proto/path.hpp"
#include "proto/utf8.hpp"

namespace postern::proto {

namespace {

Say say_of_address(const boost::system::error_code& error) {
    if (error == AddressError::too_long) return Say::address_too_long;
    if (error == AddressError::bad_utf8) return Say::bad_utf8;
    return Say::bad_address;
}

/// What stands behind "FROM:" or "TO:"; false where the word is another.
bool skip_intake_word(std::string_view& text, std::string_view word) {
    if (!same_ignoring_case(text.substr(0, word.size()), word)) return false;
    text.remove_prefix(word.size());
    return true;
}

Say say_of_parameter(ParameterFault fault) {
    return fault == ParameterFault::unknown ? Say::unknown_parameter : Say::bad_parameter;
}

}  // namespace

IntakeSession::IntakeSession(IntakeSettings settings) : settings_(std::move(settings)) {}

IntakeSession::Action IntakeSession::next() {
    for (;;) {
        switch (phase_) {
            case Phase::greeting:
                say(Reply{.code = 220,
                          .enhanced = "",
                          .text = settings_.hostname +
                                  (settings_.lmtp ? " LMTP ready" : " ESMTP ready")});
                phase_ = Phase::command;
                break;
            case Phase::command:
                if (input_.empty()) return wait_or_send();
                read_command();
                break;
            case Phase::data:
                if (input_.empty()) return wait_or_send();
                read_mail_data();
                break;
            case Phase::take:
                return output_.empty() ? Action::take : Action::send;
            case Phase::closing:
                if (!output_.empty()) return Action::send;
                phase_ = Phase::finished;
                break;
            case Phase::finished:
                return Action::finish;
        }
    }
}

IntakeSession::Action IntakeSession::wait_or_send() {
    if (gone_) {
        phase_ = Phase::finished;
        return Action::finish;
    }
    if (stopping_) {
        say(Reply{.code = 421,
                  .enhanced = "4.3.2",
                  .text = "service shuts down, try again later",
                  .close_after = true});
    }
    return output_.empty() ? Action::read : Action::send;
}

void IntakeSession::feed(std::string_view octets) {
    input_ = octets;
}

void IntakeSession::sent() {
    output_.clear();
}

void IntakeSession::eof() {
    gone_ = true;
    input_ = {};
    output_.clear();
    if (phase_ != Phase::take) phase_ = Phase::finished;
}

void IntakeSession::timed_out() {
    say(Say::idle);
}

void IntakeSession::shut_down() {
    stopping_ = true;
}

void IntakeSession::refuse(const Reply& reply) {
    say(reply);
    phase_ = Phase::closing;
}

void IntakeSession::read_command() {
    const LineReader::Result read = lines_.read(input_, LineReader::Mode::command);
    switch (read.kind) {
        case LineReader::Kind::more:
            return;
        case LineReader::Kind::line:
            return on_line(read.line);
        case LineReader::Kind::bad_octets:
            return say(Say::bad_octets);
        case LineReader::Kind::too_long:
        case LineReader::Kind::auth_too_long:
            return say(Say::line_too_long);
        case LineReader::Kind::endless:
            return say(Say::endless_line);
    }
}

void IntakeSession::read_mail_data() {
    const BodyReader::Piece piece = body_.read(input_);
    switch (piece.kind) {
        case BodyReader::Kind::more:
            return;
        case BodyReader::Kind::octets:
            mail_.octets += piece.bytes;
            return;
        case BodyReader::Kind::end:
            return end_of_data();
    }
}

void IntakeSession::on_line(std::string_view line) {
    const std::string_view word = line.substr(0, line.find(' '));
    if (same_ignoring_case(word, "LHLO")) {
        line.remove_prefix(word.size());
        while (line.starts_with(' ')) line.remove_prefix(1);
        while (line.ends_with(' ')) line.remove_suffix(1);
        if (!settings_.lmtp) return say(Say::unknown_command);
        return greet(line, true);
    }
    act(parse_command(line));
}

void IntakeSession::act(const Command& command) {
    switch (command.rule->verb) {
        case Verb::ehlo:
        case Verb::helo:
            if (settings_.lmtp) {  // RFC 2033 4.1
                return wrong(
                    {.code = 500, .enhanced = "5.5.1", .text = "this is LMTP, begin with LHLO"});
            }
            return greet(command.arguments, command.rule->verb == Verb::ehlo);
        case Verb::mail:
            return on_mail(command.arguments);
        case Verb::rcpt:
            return on_rcpt(command.arguments);
        case Verb::data:
            return on_data(command.arguments);
        case Verb::rset:
            if (!command.arguments.empty()) return say(Say::no_arguments);
            forget_mail();
            return say(Say::reset_done);
        case Verb::noop:
            return say(Say::ok);
        case Verb::vrfy:
            return say(Say::cannot_verify);
        case Verb::expn:
            return say(Say::no_expn);
        case Verb::help:
            return say(Reply{.code = 214,
                             .enhanced = "2.0.0",
                             .text = "reports on mail are taken here, and nothing is relayed"});
        case Verb::quit:
            return say(Say::bye);
        case Verb::starttls:
        case Verb::auth:
        case Verb::not_offered:
            return say(Say::not_offered);
        case Verb::bdat: {
            // It was not offered, and its octets would be read as commands.
            Reply reply = reply_of(Say::not_offered);
            reply.close_after = true;
            return say(reply);
        }
        case Verb::http:
            return say(Say::garbage);
        case Verb::unknown:
            break;
    }
    say(Say::unknown_command);
}

void IntakeSession::greet(std::string_view arguments, bool extended) {
    if (arguments.empty()) return say(Say::argument_missing);
    forget_mail();
    greeted_ = true;
    Reply reply{.code = 250, .enhanced = "", .text = settings_.hostname};
    if (extended) {
        reply.text += "\nPIPELINING\n8BITMIME\nSMTPUTF8\nENHANCEDSTATUSCODES\nSIZE " +
                      std::to_string(settings_.max_size);
    }
    say(reply);
}

void IntakeSession::on_mail(std::string_view arguments) {
    if (!greeted_) return say(Say::ehlo_first);
    if (has_sender_) return say(Say::mail_twice);
    if (!skip_intake_word(arguments, "FROM:")) return say(Say::bad_arguments);
    const auto path = split_path(arguments);
    if (!path) return say(say_of_address(path.error()));
    Envelope envelope;
    if (!path->mailbox.empty()) {
        // Other servers' mailer daemons may have no domain.
        const auto sender = parse_mailbox(path->mailbox, true);
        if (!sender && sender.error() != AddressError::no_domain)
            return say(say_of_address(sender.error()));
    }
    const ParameterFault fault = read_mail_parameters(path->rest, envelope);
    if (fault != ParameterFault::none) return say(say_of_parameter(fault));
    if (envelope.declared_size > settings_.max_size) return say(Say::too_large);
    mail_.mail_from = path->mailbox;
    has_sender_ = true;
    say(Say::sender_ok);
}

void IntakeSession::on_rcpt(std::string_view arguments) {
    if (!has_sender_) return say(Say::mail_first);
    if (!skip_intake_word(arguments, "TO:")) return say(Say::bad_arguments);
    const auto path = split_path(arguments);
    if (!path) return say(say_of_address(path.error()));
    const auto address = parse_mailbox(path->mailbox, true);
    if (!address && (path->mailbox.empty() || address.error() != AddressError::no_domain))
        return say(say_of_address(address.error()));
    Recipient recipient;
    const ParameterFault fault = read_rcpt_parameters(path->rest, true, recipient);
    if (fault != ParameterFault::none) return say(say_of_parameter(fault));
    if (mail_.rcpts.size() >= settings_.max_recipients) return say(Say::too_many_recipients);
    mail_.rcpts.emplace_back(path->mailbox);
    say(Say::recipient_ok);
}

void IntakeSession::on_data(std::string_view arguments) {
    if (!arguments.empty()) return say(Say::no_arguments);
    if (!has_sender_) return say(Say::mail_first);
    if (mail_.rcpts.empty()) return say(Say::no_recipients);
    body_ = BodyReader(BodyReader::Framing::dots,
                       {.max_size = settings_.max_size, .normalize_newlines = true});
    phase_ = Phase::data;
    say(Say::data_go);
}

void IntakeSession::end_of_data() {
    phase_ = Phase::command;
    rcpts_ = mail_.rcpts.size();
    switch (body_.fault()) {
        case BodyReader::Fault::none:
            phase_ = Phase::take;
            return;
        case BodyReader::Fault::octets:
            say_of_mail({.code = 554, .enhanced = "5.6.0", .text = "lone CR or NUL in the mail"});
            break;
        case BodyReader::Fault::long_line:
            say_of_mail(reply_of(Say::long_line));
            break;
        case BodyReader::Fault::size:
            say_of_mail(reply_of(Say::too_large));
            break;
    }
    forget_mail();
}

IntakeMail IntakeSession::take_mail() {
    return std::exchange(mail_, {});
}

void IntakeSession::taken(Outcome outcome) {
    if (phase_ != Phase::take) return;
    phase_ = Phase::command;
    if (outcome == Outcome::safe) {
        errors_ = 0;
        say_of_mail({.code = 250, .enhanced = "2.0.0", .text = "taken"});
    } else {
        say_of_mail({.code = 451, .enhanced = "4.3.1", .text = "busy, try again later"});
    }
    forget_mail();
    if (gone_) {
        output_.clear();
        phase_ = Phase::finished;
    }
}

void IntakeSession::say(Say what) {
    if (is_protocol_error(what)) return wrong(reply_of(what));
    say(reply_of(what));
}

void IntakeSession::wrong(Reply reply) {
    if (++errors_ >= settings_.max_errors) reply = reply_of(Say::too_many_errors);
    say(reply);
}

void IntakeSession::say(const Reply& reply) {
    render(reply, output_);
    if (!reply.close_after) return;
    input_ = {};
    phase_ = Phase::closing;
}

void IntakeSession::say_of_mail(const Reply& reply) {
    const std::size_t times = settings_.lmtp ? rcpts_ : 1;
    for (std::size_t i = 0; i < times; ++i) render(reply, output_);
}

void IntakeSession::forget_mail() {
    mail_ = {};
    has_sender_ = false;
}

}  // namespace postern::proto
