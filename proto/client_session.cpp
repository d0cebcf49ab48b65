#include "proto/client_session.hpp"

#include <utility>

#include "proto/client_impl.hpp"
#include "proto/wipe.hpp"

namespace postern::proto {

std::string_view name(UpstreamStage stage) noexcept {
    switch (stage) {
        case UpstreamStage::connect:
            return "connect";
        case UpstreamStage::tls:
            return "tls";
        case UpstreamStage::greeting:
            return "greeting";
        case UpstreamStage::ehlo:
            return "ehlo";
        case UpstreamStage::starttls:
            return "starttls";
        case UpstreamStage::auth:
            return "auth";
        case UpstreamStage::mail:
            return "mail";
        case UpstreamStage::rcpt:
            return "rcpt";
        case UpstreamStage::data:
            return "data";
        case UpstreamStage::dot:
            return "dot";
        case UpstreamStage::rset:
            return "rset";
        case UpstreamStage::quit:
            return "quit";
        case UpstreamStage::noop:
            return "noop";
    }
    return "?";
}

namespace {

/// RFC 5321 4.5.3.2
std::chrono::seconds deadline(UpstreamStage stage) noexcept {
    using std::chrono::minutes;
    switch (stage) {
        case UpstreamStage::data:
            return minutes{2};
        case UpstreamStage::dot:
            return minutes{10};
        default:
            return minutes{5};
    }
}

}  // namespace

ClientSession::Impl::Impl(Settings settings)
    : settings_(std::move(settings)), secure_(settings_.implicit_tls) {
    awaited_.push_back({.stage = UpstreamStage::greeting});
}

ClientSession::Impl::~Impl() {
    drop_output();
}

ClientSession::Action ClientSession::Impl::next() {
    while (true) {
        if (due_) return *std::exchange(due_, std::nullopt);
        if (phase_ == Phase::over) return *failed_;
        // A connection that broke while we wrote may still have said why.
        const bool broken = eof_ || timed_out_;
        if (!output_.empty() && !broken) return Send{};
        if (!awaited_.empty()) {
            if (auto action = read_reply()) return std::move(*action);
        } else if (!unread().empty() || reader_.partial()) {
            unasked();
        } else if (broken) {
            const bool idle = phase_ == Phase::ready || untouched_;
            fail(eof_ ? Failed::Kind::eof : Failed::Kind::timeout,
                 idle ? UpstreamStage::quit : stage());
        } else if (auto action = advance()) {
            return std::move(*action);
        }
    }
}

std::optional<ClientSession::Action> ClientSession::Impl::read_reply() {
    std::string_view rest = unread();
    const auto status = reader_.read(rest);
    input_used_ = input_.size() - rest.size();
    const Awaited awaited = awaited_.front();
    switch (status) {
        case ReplyReader::Status::need_more:
            if (eof_ || timed_out_) {
                fail(eof_ ? Failed::Kind::eof : Failed::Kind::timeout, awaited.stage);
                return std::nullopt;
            }
            return Read{.deadline = deadline(awaited.stage), .stage = awaited.stage};
        case ReplyReader::Status::done:
            awaited_.pop_front();
            handle(awaited, reader_.reply());
            return std::nullopt;
        case ReplyReader::Status::too_long:
        case ReplyReader::Status::bad:
            break;
    }
    fail(Failed::Kind::protocol, awaited.stage);
    return std::nullopt;
}

/// Nothing is outstanding: what to do next. Commands put into output() give no action of their own.
std::optional<ClientSession::Action> ClientSession::Impl::advance() {
    untouched_ = false;
    switch (phase_) {
        case Phase::ehlo:
            command("EHLO " + settings_.hostname, UpstreamStage::ehlo);
            return std::nullopt;
        case Phase::helo:
            command("HELO " + settings_.hostname, UpstreamStage::ehlo);
            return std::nullopt;
        case Phase::starttls:
            command("STARTTLS", UpstreamStage::starttls);
            return std::nullopt;
        case Phase::tls:
            return StartTls{};
        case Phase::auth:
            begin_auth();
            return std::nullopt;
        case Phase::sasl:
            return turn_;
        case Phase::envelope:
            send_envelope();
            return std::nullopt;
        case Phase::body:
            return SendBody{};
        case Phase::before_dot:
            return FinalDot{};
        case Phase::dot:
            transaction_->dot_sent = true;
            [[fallthrough]];
        case Phase::stray_dot:
            command(".", UpstreamStage::dot);
            return std::nullopt;
        case Phase::noop:
            command("NOOP", UpstreamStage::noop);
            return std::nullopt;
        case Phase::quit:
            command("QUIT", UpstreamStage::quit);
            return std::nullopt;
        case Phase::greeting:
        case Phase::ready:
        case Phase::over:
            break;
    }
    return Ready{};
}

void ClientSession::Impl::handle(Awaited awaited, const Reply& reply) {
    // 421 ends the session whatever it answers (RFC 5321 3.8); only to the dot it is an answer,
    // too.
    if (reply.code == 421 && awaited.stage != UpstreamStage::dot &&
        awaited.stage != UpstreamStage::quit) {
        return fail(Failed::Kind::refused, awaited.stage, reply);
    }
    switch (awaited.stage) {
        case UpstreamStage::greeting:
            return handle_greeting(reply);
        case UpstreamStage::ehlo:
            return handle_ehlo(reply);
        case UpstreamStage::starttls:
            return handle_starttls(reply);
        case UpstreamStage::auth:
            return handle_auth(reply);
        case UpstreamStage::mail:
            return handle_mail(reply);
        case UpstreamStage::rcpt:
            return handle_rcpt(awaited.slot, reply);
        case UpstreamStage::data:
            return handle_data(reply);
        case UpstreamStage::dot:
            return handle_dot(reply);
        case UpstreamStage::quit:
            return fail(Failed::Kind::eof, UpstreamStage::quit, reply);
        case UpstreamStage::rset:
        case UpstreamStage::noop:
            if (reply.code / 100 == 3) return fail(Failed::Kind::protocol, awaited.stage, reply);
            if (!reply.positive()) return fail(Failed::Kind::refused, awaited.stage, reply);
            if (awaited.stage == UpstreamStage::noop) phase_ = Phase::ready;
            return;
        case UpstreamStage::connect:
        case UpstreamStage::tls:
            break;
    }
}

void ClientSession::Impl::begin(Phase phase) {
    if (phase_ != Phase::ready) return;
    phase_ = phase;
    untouched_ = true;
}

void ClientSession::Impl::command(std::string_view line, UpstreamStage stage) {
    output_.append(line).append("\r\n");
    awaited_.push_back({.stage = stage});
}

/// Ends the session. A message whose recipients are all settled is told first.
void ClientSession::Impl::fail(Failed::Kind kind, UpstreamStage stage, Reply reply) {
    Failed failed{
        .stage = stage, .kind = kind, .reply = std::move(reply), .dot_sent = false, .results = {}};
    if (transaction_) {
        if (transaction_->settled()) {
            due_ = MessageDone{transaction_->take()};
        } else {
            failed.dot_sent = transaction_->dot_sent;
            failed.results = transaction_->take();
        }
        transaction_.reset();
    }
    drop_output();
    awaited_.clear();
    failed_ = std::move(failed);
    phase_ = Phase::over;
}

/// Octets that no command asked for. On an idle connection that is most often a 421 before the
/// upstream closes: no fault; judged by the first octet, so that it does not matter how much of it
/// has arrived.
void ClientSession::Impl::unasked() {
    const bool idle = phase_ == Phase::ready || untouched_;
    const bool farewell = unread().starts_with('4');
    Reply reply;
    std::string_view rest = unread();
    if (!reader_.partial() && reader_.read(rest) == ReplyReader::Status::done) {
        reply = reader_.reply();
    }
    if (idle) {
        return fail(farewell ? Failed::Kind::eof : Failed::Kind::protocol, UpstreamStage::quit,
                    std::move(reply));
    }
    const bool refused = reply.code == 421;
    const UpstreamStage at = phase_ == Phase::tls ? UpstreamStage::starttls : stage();
    fail(refused ? Failed::Kind::refused : Failed::Kind::protocol, at,
         refused ? std::move(reply) : Reply{});
}

UpstreamStage ClientSession::Impl::stage() const noexcept {
    if (!awaited_.empty()) return awaited_.front().stage;
    switch (phase_) {
        case Phase::greeting:
            return UpstreamStage::greeting;
        case Phase::ehlo:
        case Phase::helo:
            return UpstreamStage::ehlo;
        case Phase::starttls:
            return UpstreamStage::starttls;
        case Phase::tls:
            return UpstreamStage::tls;
        case Phase::auth:
        case Phase::sasl:
            return UpstreamStage::auth;
        case Phase::envelope:
            if (!transaction_ || !transaction_->mail_sent) return UpstreamStage::mail;
            return transaction_->rcpts_sent < transaction_->results.size() ? UpstreamStage::rcpt
                                                                           : UpstreamStage::data;
        case Phase::body:
        case Phase::before_dot:
        case Phase::stray_dot:
        case Phase::dot:
            return UpstreamStage::data;
        case Phase::noop:
            return UpstreamStage::noop;
        case Phase::ready:
        case Phase::quit:
        case Phase::over:
            break;
    }
    return UpstreamStage::quit;
}

std::string_view ClientSession::Impl::unread() const noexcept {
    return std::string_view(input_).substr(input_used_);
}

void ClientSession::Impl::feed(std::string_view bytes) {
    if (phase_ == Phase::over) return;
    if (input_used_ == input_.size()) {
        input_.clear();
        input_used_ = 0;
    }
    input_.append(bytes);
}

void ClientSession::Impl::sent() noexcept {
    drop_output();
}

void ClientSession::Impl::drop_output() noexcept {
    if (output_secret_) wipe(output_);
    output_secret_ = false;
    output_.clear();
}

void ClientSession::Impl::tls_started() {
    if (phase_ != Phase::tls) return;
    secure_ = true;
    phase_ = Phase::ehlo;
}

ClientSession::ClientSession(Settings settings)
    : impl_(std::make_unique<Impl>(std::move(settings))) {}
ClientSession::~ClientSession() = default;
ClientSession::ClientSession(ClientSession&&) noexcept = default;
ClientSession& ClientSession::operator=(ClientSession&&) noexcept = default;

ClientSession::Action ClientSession::next() {
    return impl_->next();
}
void ClientSession::feed(std::string_view bytes) {
    impl_->feed(bytes);
}
void ClientSession::eof() {
    impl_->eof();
}
void ClientSession::timed_out() {
    impl_->timed_out();
}
void ClientSession::sent() {
    impl_->sent();
}
void ClientSession::tls_started() {
    impl_->tls_started();
}
void ClientSession::sasl_response(const Secret& octets) {
    impl_->sasl_response(octets);
}
void ClientSession::sasl_done() {
    impl_->sasl_done();
}
void ClientSession::sasl_failed(std::string why) {
    impl_->sasl_failed(std::move(why));
}
void ClientSession::body_sent() {
    impl_->body_sent();
}
void ClientSession::final_dot_allowed() {
    impl_->final_dot_allowed();
}
void ClientSession::send_message(Message message) {
    impl_->send_message(std::move(message));
}
void ClientSession::noop() {
    impl_->noop();
}
void ClientSession::quit() {
    impl_->quit();
}
std::string_view ClientSession::output() const noexcept {
    return impl_->output();
}
const UpstreamOffer& ClientSession::offer() const noexcept {
    return impl_->offer();
}
const std::string& ClientSession::mechanism() const noexcept {
    return impl_->mechanism();
}

}  // namespace postern::proto
