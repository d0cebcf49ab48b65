#include <algorithm>
#include <utility>

#include "proto/parameters.hpp"
#include "proto/session_impl.hpp"
#include "proto/utf8.hpp"

namespace postern::proto {

namespace {

constexpr std::chrono::seconds command_deadline{300};  // RFC 5321 4.5.3.2.7
constexpr std::size_t max_ehlo = 255;  // of the client's name for itself, kept for the log

/// What no line of SMTP begins with: a TLS record, a null, other noise. An empty line is merely
/// wrong.
bool is_noise(char c) noexcept {
    return c != '\r' && c != '\n' && (is_control(c) || static_cast<unsigned char>(c) >= 0x80);
}

Say objection_to(AddressError error) noexcept {
    switch (error) {
        case AddressError::syntax:
            return Say::bad_address;
        case AddressError::too_long:
            return Say::address_too_long;
        case AddressError::no_domain:
            return Say::no_domain;
        case AddressError::needs_smtputf8:
            return Say::needs_smtputf8;
        case AddressError::bad_utf8:
            return Say::bad_utf8;
    }
    return Say::bad_address;
}

Say objection_to(const boost::system::error_code& error) noexcept {
    return objection_to(static_cast<AddressError>(error.value()));
}

/// Behind `FROM:` or `TO:`.
std::optional<std::string_view> behind(std::string_view word, std::string_view arguments) noexcept {
    if (!same_ignoring_case(arguments.substr(0, word.size()), word)) return std::nullopt;
    return arguments.substr(word.size());
}

std::optional<Say> objection_to(ParameterFault fault) noexcept {
    switch (fault) {
        case ParameterFault::none:
            return std::nullopt;
        case ParameterFault::unknown:
            return Say::unknown_parameter;
        case ParameterFault::bad:
            return Say::bad_parameter;
    }
    return std::nullopt;
}

/// Reads what stands behind `MAIL FROM:` into `envelope`.
std::optional<Say> read_mail(std::string_view text, Envelope& envelope) {
    const auto path = split_path(text);
    if (!path) return objection_to(path.error());
    if (const auto wrong = objection_to(read_mail_parameters(path->rest, envelope))) return wrong;
    if (path->mailbox.empty()) return std::nullopt;  // the null reverse-path
    auto address = parse_mailbox(path->mailbox, envelope.smtputf8);
    if (!address) {
        // 554 5.1.2 speaks of recipients.
        const bool bare = address.error() == AddressError::no_domain;
        return bare ? Say::bad_address : objection_to(address.error());
    }
    envelope.mail_from = *std::move(address);
    return std::nullopt;
}

std::optional<Say> read_rcpt(std::string_view text, bool smtputf8, Recipient& recipient) {
    const auto path = split_path(text);
    if (!path) return objection_to(path.error());
    if (const auto wrong = objection_to(read_rcpt_parameters(path->rest, smtputf8, recipient)))
        return wrong;
    auto address = parse_forward_path(path->mailbox, smtputf8);
    if (!address) return objection_to(address.error());
    recipient.address = *std::move(address);
    return std::nullopt;
}

}  // namespace

Session::Impl::MaybeAction Session::Impl::next_command() {
    if (parting_) {
        command_ = "connect";
        answer(*std::exchange(parting_, nullptr));
        return std::nullopt;
    }
    if (gone_) {
        finish();
        return std::nullopt;
    }
    if (!heard_ && lines_.at_start() && !input_.empty() && is_noise(input_.front())) {
        command_ = "?";
        say(Say::garbage);
        return std::nullopt;
    }
    const LineReader::Result read = lines_.read(input_, LineReader::Mode::command);
    switch (read.kind) {
        case LineReader::Kind::more:
            return read_or_send(command_deadline, false);
        case LineReader::Kind::line:
            on_line(read.line);
            break;
        case LineReader::Kind::bad_octets:
            on_bad_line(read.line);
            break;
        case LineReader::Kind::too_long:
            command_ = "?";
            say(Say::line_too_long);
            break;
        case LineReader::Kind::auth_too_long:
            command_ = "AUTH";
            say(Say::auth_line_too_long);
            break;
        case LineReader::Kind::endless:
            command_ = "?";
            say(Say::endless_line);
            break;
    }
    heard_ = true;
    return std::nullopt;
}

void Session::Impl::on_bad_line(std::string_view line) {
    const Verb verb = parse_command(line).rule->verb;
    command_ = "?";
    if (verb == Verb::http) {
        say(Say::not_smtp);
    } else if (verb == Verb::bdat) {
        say(Say::bad_bdat);  // octets follow, and nobody knows how many
    } else if (verb == Verb::unknown && !heard_) {
        say(Say::garbage);
    } else {
        say(Say::bad_octets);
    }
    lines_.wipe_line();
}

void Session::Impl::on_line(std::string_view line) {
    if (has_control(line)) {
        on_bad_line(line);
        return;
    }
    const Command command = parse_command(line);
    const Verb verb = command.rule->verb;
    command_ = command.rule->name;
    if (verb == Verb::mail && !in_transaction) ref = make_ref_();
    if (verb == Verb::http) {
        say(Say::not_smtp);
    } else if (verb == Verb::unknown && !heard_ && !is_ascii(line)) {
        say(Say::garbage);
    } else if (const auto wrong = objection(command); wrong && verb == Verb::bdat) {
        refuse_bdat(command.arguments, *wrong);
    } else if (wrong) {
        say(*wrong);
    } else {
        carry_out(command);
    }
    if (verb == Verb::auth) lines_.wipe_line();
}

std::optional<Say> Session::Impl::objection(const Command& command) const {
    const CommandRule& rule = *command.rule;
    const bool open = settings_->devices;  // TLS by choice; who it is, is asked at MAIL
    if (rule.tls == CommandRule::Tls::needed && !tls && !open) return Say::tls_first;
    if (rule.verb == Verb::unknown) return Say::unknown_command;
    if (rule.verb == Verb::not_offered) return Say::not_offered;
    if (rule.login == CommandRule::Login::needed && !authenticated && !open)
        return Say::login_first;
    if (rule.transaction == CommandRule::Transaction::none && in_transaction)
        return Say::mail_twice;
    if (rule.transaction == CommandRule::Transaction::open && !in_transaction)
        return Say::mail_first;
    if (rule.arguments == CommandRule::Arguments::some && command.arguments.empty())
        return Say::argument_missing;
    if (rule.arguments == CommandRule::Arguments::none && !command.arguments.empty())
        return Say::no_arguments;
    return std::nullopt;
}

void Session::Impl::carry_out(const Command& command) {
    switch (command.rule->verb) {
        case Verb::ehlo:
            on_hello(command.arguments, true);
            break;
        case Verb::helo:
            on_hello(command.arguments, false);
            break;
        case Verb::starttls:
            on_starttls();
            break;
        case Verb::auth:
            on_auth(command.arguments);
            break;
        case Verb::mail:
            on_mail(command.arguments);
            break;
        case Verb::rcpt:
            on_rcpt(command.arguments);
            break;
        case Verb::data:
            on_data();
            break;
        case Verb::bdat:
            on_bdat(command.arguments);
            break;
        case Verb::rset:
            end_transaction();
            ref.clear();
            say(Say::reset_done);
            break;
        case Verb::noop:
            say(Say::ok);
            break;
        case Verb::vrfy:
            say(Say::cannot_verify);
            break;
        case Verb::expn:
            say(Say::no_expn);
            break;
        case Verb::help:
            answer({.code = 214,
                    .enhanced = "2.0.0",
                    .text = settings_->contact.empty()
                                ? "mail submission for those who log in (RFC 6409)"
                                : "mail submission, help at " + settings_->contact});
            break;
        case Verb::quit:
            say(Say::bye);
            break;
        case Verb::not_offered:
        case Verb::http:
        case Verb::unknown:
            break;  // objected to before
    }
}

void Session::Impl::on_hello(std::string_view name, bool extended) {
    end_transaction();  // RFC 5321 4.1.4
    ref.clear();
    ehlo = clean_text(name, max_ehlo);
    esmtp = extended;
    if (next_mechanisms) mechanisms = *std::exchange(next_mechanisms, std::nullopt);
    Reply reply{.code = 250, .enhanced = {}, .text = settings_->hostname};
    if (extended) {
        reply.text += "\nPIPELINING\nSIZE";
        if (offer.max_size != 0) reply.text += " " + std::to_string(offer.max_size);
        reply.text += "\n8BITMIME\nSMTPUTF8\nENHANCEDSTATUSCODES\nDSN\nCHUNKING";
        if (!tls) {
            reply.text += "\nSTARTTLS";
        } else if (!settings_->devices) {
            if (!mechanisms.empty()) reply.text += "\nAUTH";
            for (const std::string& mechanism : mechanisms) reply.text += " " + mechanism;
        }
        if (tls || settings_->devices)
            reply.text += "\nLIMITS RCPTMAX=" + std::to_string(settings_->max_recipients);
    }
    answer(std::move(reply));
}

void Session::Impl::on_starttls() {
    if (tls) {
        say(Say::tls_already);
    } else if (!input_.empty()) {
        close();  // what stands behind STARTTLS in clear is never a command
    } else {
        say(Say::tls_ready);
        phase_ = Phase::tls;
    }
}

void Session::Impl::on_mail(std::string_view arguments) {
    envelope = {};
    const auto path = behind("FROM:", arguments);
    auto wrong = path ? read_mail(*path, envelope) : Say::bad_arguments;
    if (!wrong && offer.max_size != 0 && envelope.declared_size > offer.max_size)
        wrong = Say::too_large;
    if (!wrong && envelope.body == Body::eight_bit_mime && !offer.eight_bit_mime)
        wrong = Say::no_8bit;
    if (!wrong && envelope.smtputf8 && !offer.smtputf8) wrong = Say::no_smtputf8;
    if (wrong) {
        envelope = {};
        say(*wrong);
        return;
    }
    max_size_ = offer.max_size;
    phase_ = Phase::ask_mail;
}

void Session::Impl::on_rcpt(std::string_view arguments) {
    const auto path = behind("TO:", arguments);
    Recipient recipient;
    auto wrong = path ? read_rcpt(*path, envelope.smtputf8, recipient) : Say::bad_arguments;
    if (!wrong && in_bdat_) wrong = Say::in_bdat;  // RFC 3030 2
    if (!wrong && envelope.recipients.size() >= settings_->max_recipients)
        wrong = Say::too_many_recipients;
    if (wrong) {
        say(*wrong);
        return;
    }
    envelope.recipients.push_back(std::move(recipient));
    phase_ = Phase::ask_rcpt;
}

void Session::Impl::on_data() {
    if (in_bdat_) {
        say(Say::in_bdat);  // RFC 3030 3: the two do not mix
    } else if (envelope.recipients.empty()) {
        say(Say::no_recipients);
    } else {
        begin_body(BodyReader::Framing::dots);
        phase_ = Phase::data;
        say(Say::data_go);
    }
}

}  // namespace postern::proto
