// The session's phases, its replies and its ends. The transitions stand as data at Phase
// (session_impl.hpp), the order of commands in the rules of command.cpp, what is said in the table
// of replies.cpp.

#include <algorithm>
#include <array>
#include <utility>

#include "proto/session_impl.hpp"

namespace postern::proto {

namespace {

constexpr std::size_t output_limit = 8192;                // then it goes out before more is read
constexpr std::size_t idle_output = 512;                  // more is given back once it is sent
constexpr std::chrono::seconds data_block_deadline{180};  // RFC 5321 4.5.3.2.5

/// Those whose refusals name the message even where no transaction is open.
bool is_of_message(std::string_view command) noexcept {
    constexpr std::array<std::string_view, 5> commands{"MAIL", "RCPT", "DATA", "BDAT",
                                                       "end-of-data"};
    return std::ranges::find(commands, command) != commands.end();
}

Reply as_refusal(Reply reply) {
    if (reply.positive())
        return {.code = 451, .enhanced = "4.3.0", .text = "internal error", .close_after = false};
    complete_enhanced(reply);
    return reply;
}

}  // namespace

Session::Impl::Impl(std::shared_ptr<const SessionSettings> settings,
                    std::function<std::string()> make_ref)
    : settings_(std::move(settings)),
      make_ref_(std::move(make_ref)),
      phase_(settings_->implicit_tls ? Phase::tls_first : Phase::greeting) {}

Session::Action Session::Impl::next() {
    while (true) {
        if (std::exchange(exchange_aborted_, false)) return AuthAborted{};
        if (std::exchange(discard_, false)) return Discard{};
        if (MaybeAction action = step()) return *std::move(action);
    }
}

Session::Impl::MaybeAction Session::Impl::step() {
    switch (phase_) {
        case Phase::tls_first:
            return StartTls{};
        case Phase::greeting:
            greet();
            return std::nullopt;
        case Phase::greeting_out:
            return Send{};
        case Phase::command:
            // A client that asks and asks and never reads must not fill the memory with answers.
            if (output.size() >= output_limit) return Send{};
            return next_command();
        case Phase::tls:
            return flushed(StartTls{});
        case Phase::verify:
            if (!output.empty()) return Send{};
            exchange_open_ = true;
            return Auth{std::exchange(mechanism_, {}), std::exchange(response_, std::nullopt)};
        case Phase::exchange:
            return next_exchange_line();
        case Phase::ask_mail:
            promised_ = true;
            return Ask{Stage::mail};
        case Phase::ask_rcpt:
            return Ask{Stage::rcpt};
        case Phase::data:
            return next_data();
        case Phase::bdat:
            return next_bdat();
        case Phase::bdat_end:
            return next_bdat_end();
        case Phase::swallow:
            return next_swallow();
        case Phase::ask_data:
            return flushed(Ask{Stage::data});
        case Phase::commit:
            promised_ = promised_ && !output.empty();
            return flushed(Commit{});
        case Phase::closing:
            if (!output.empty()) return Send{};
            phase_ = Phase::finished;
            return std::nullopt;
        case Phase::finished:
            return Finish{clean_};
    }
    return Finish{};
}

Session::Impl::MaybeAction Session::Impl::flushed(Action action) {
    if (!output.empty()) return Send{};
    return action;
}

Session::Impl::MaybeAction Session::Impl::read_or_send(std::chrono::seconds deadline, bool in_data,
                                                       std::uint64_t want) {
    if (!output.empty()) return Send{};
    if (gone_) {
        finish();
        return std::nullopt;
    }
    return Read{.deadline = in_data ? data_block_deadline : deadline,
                .in_data = in_data,
                .want = static_cast<std::size_t>(want)};
}

void Session::Impl::greet() {
    command_ = "connect";
    if (spoke_first_) {
        say(Say::spoke_first);
    } else if (parting_) {
        answer(*std::exchange(parting_, nullptr));
    } else {
        answer({.code = 220, .enhanced = {}, .text = settings_->hostname + " ESMTP ready"});
        phase_ = Phase::greeting_out;
    }
}

void Session::Impl::say(Say what) {
    if (is_protocol_error(what) && ++errors_ >= settings_->max_errors) what = Say::too_many_errors;
    answer(reply_of(what));
}

void Session::Impl::answer(Reply reply) {
    if (reply.code == 421) reply.close_after = true;
    const bool refused = !reply.positive();
    bool refers = refused && reply.code != 421 && !ref.empty() &&
                  (is_of_message(command_) || (in_transaction && command_ != "AUTH"));
    // Each is told in the journal: they must not be had without end.
    if (refers && authenticated && ++refusals_ >= settings_->max_refusals) {
        reply = reply_of(Say::too_many_errors);
        refers = false;
    }
    if (refers) append_ref(reply, ref);
    notes.push_back({.command = command_,
                     .code = reply.code,
                     .enhanced = reply.enhanced,
                     .ref = refers ? ref : std::string{},
                     .text = refused ? clean_text(reply.text) : std::string{}});
    if (!gone_) render(reply, output);
    if (reply.close_after) {
        clean_ = reply.positive();
        close();
    }
}

void Session::Impl::end_transaction() {
    if (std::exchange(promised_, false)) discard_ = true;
    in_transaction = false;
    in_bdat_ = false;
    envelope = {};
    body = {};
}

void Session::Impl::close() {
    end_transaction();
    if (std::exchange(exchange_open_, false)) exchange_aborted_ = true;
    input_ = {};
    phase_ = Phase::closing;
}

void Session::Impl::finish() {
    close();
    output.clear();
    phase_ = Phase::finished;
}

void Session::Impl::feed(std::string_view bytes) {
    switch (phase_) {
        case Phase::greeting:
        case Phase::greeting_out:
            spoke_first_ = true;
            break;
        case Phase::tls_first:
        case Phase::tls:
            finish();
            break;  // octets in clear behind STARTTLS: CVE-2011-0411 and its kin
        case Phase::closing:
        case Phase::finished:
            break;
        default:
            input_ = bytes;
            break;
    }
}

void Session::Impl::eof() {
    gone_ = true;
    output.clear();
    const bool has_end_of_data = phase_ == Phase::ask_data || phase_ == Phase::commit;
    const bool may_have_it =
        phase_ == Phase::data || phase_ == Phase::bdat || phase_ == Phase::bdat_end;
    if (!has_end_of_data && !may_have_it) finish();
}

void Session::Impl::timed_out() {
    if (phase_ == Phase::ask_data || phase_ == Phase::commit || phase_ == Phase::closing ||
        phase_ == Phase::finished) {
        return;
    }
    command_ = "connect";
    say(Say::idle);
}

void Session::Impl::sent() {
    output.clear();
    if (output.capacity() > idle_output) output = {};
    if (phase_ != Phase::greeting_out) return;
    phase_ = Phase::command;
    if (spoke_first_) say(Say::spoke_first);
}

void Session::Impl::tls_started(std::vector<std::string> offered) {
    if (phase_ != Phase::tls && phase_ != Phase::tls_first) return;
    // What was said in clear counts no more (RFC 3207 4.2).
    end_transaction();
    ref.clear();
    ehlo.clear();
    esmtp = false;
    authenticated = false;
    tls = true;
    mechanisms = std::move(offered);
    next_mechanisms.reset();
    phase_ = phase_ == Phase::tls ? Phase::command : Phase::greeting;
}

void Session::Impl::accept() {
    switch (phase_) {
        case Phase::ask_mail:
            // Whatever the caller forgot: nobody sends who is not known.
            if (!authenticated) return refuse(reply_of(Say::login_first));
            in_transaction = true;
            phase_ = Phase::command;
            say(Say::sender_ok);
            break;
        case Phase::ask_rcpt:
            phase_ = Phase::command;
            say(Say::recipient_ok);
            break;
        case Phase::ask_data:
            phase_ = Phase::commit;
            break;
        default:
            break;
    }
}

void Session::Impl::refuse(Reply reply) {
    const Phase asked = phase_;
    if (asked != Phase::ask_mail && asked != Phase::ask_rcpt && asked != Phase::ask_data) return;
    phase_ = Phase::command;
    if (asked == Phase::ask_rcpt) envelope.recipients.pop_back();
    // It costs a stranger no token of any limit: it must not be had without end.
    if (!authenticated && ++errors_ >= settings_->max_errors)
        reply = reply_of(Say::too_many_errors);
    answer(as_refusal(std::move(reply)));
    if (asked != Phase::ask_rcpt) end_transaction();
}

void Session::Impl::committed(Reply reply) {
    if (phase_ != Phase::commit) return;
    phase_ = Phase::command;
    complete_enhanced(reply);
    if (reply.positive()) errors_ = refusals_ = 0;
    answer(std::move(reply));
    end_transaction();
    ref.clear();
}

void Session::Impl::shut_down(Reply reply) {
    reply.close_after = true;
    parting_ = std::make_unique<Reply>(std::move(reply));
}

void Session::Impl::cut_off(Reply reply) {
    if (phase_ == Phase::ask_data || phase_ == Phase::commit || phase_ == Phase::closing ||
        phase_ == Phase::finished) {
        return;
    }
    command_ = "connect";
    reply.close_after = true;
    answer(std::move(reply));
}

void Session::Impl::refuse_connection(Reply reply) {
    shut_down(std::move(reply));
}

}  // namespace postern::proto
