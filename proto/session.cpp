#include "proto/session.hpp"

#include "proto/session_impl.hpp"

namespace postern::proto {

Session::Session(std::shared_ptr<const SessionSettings> settings,
                 std::function<std::string()> make_ref)
    : impl_(std::make_unique<Impl>(std::move(settings), std::move(make_ref))) {
    static_assert(sizeof(Impl) <= 1024, "thousands of sessions are idle at a time");
}

Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

Session::Action Session::next() {
    return impl_->next();
}
void Session::feed(std::string_view bytes) {
    impl_->feed(bytes);
}
void Session::eof() {
    impl_->eof();
}
void Session::timed_out() {
    impl_->timed_out();
}
void Session::sent() {
    impl_->sent();
}
void Session::tls_started(std::vector<std::string> mechanisms) {
    impl_->tls_started(std::move(mechanisms));
}
void Session::change_mechanisms(std::vector<std::string> mechanisms) {
    impl_->next_mechanisms = std::move(mechanisms);
}
void Session::auth_challenge(std::string_view octets) {
    impl_->auth_challenge(octets);
}
void Session::auth_succeeded() {
    impl_->auth_succeeded();
}
void Session::auth_failed(Reply reply) {
    impl_->auth_failed(std::move(reply));
}
void Session::identified() {
    impl_->identified();
}
void Session::accept() {
    impl_->accept();
}
void Session::refuse(Reply reply) {
    impl_->refuse(std::move(reply));
}
void Session::committed(Reply reply) {
    impl_->committed(std::move(reply));
}
void Session::cut_off(Reply reply) {
    impl_->cut_off(std::move(reply));
}

void Session::shut_down(Reply reply) {
    impl_->shut_down(std::move(reply));
}
void Session::refuse_connection(Reply reply) {
    impl_->refuse_connection(std::move(reply));
}
void Session::offer(Offer offer) {
    impl_->offer = offer;
}

const std::vector<std::string>& Session::mechanisms() const noexcept {
    return impl_->mechanisms;
}

std::string_view Session::output() const noexcept {
    return impl_->output;
}
const Envelope& Session::envelope() const noexcept {
    return impl_->envelope;
}
const std::string& Session::ref() const noexcept {
    return impl_->ref;
}
const std::string& Session::ehlo() const noexcept {
    return impl_->ehlo;
}
bool Session::esmtp() const noexcept {
    return impl_->esmtp;
}
bool Session::tls() const noexcept {
    return impl_->tls;
}
bool Session::authenticated() const noexcept {
    return impl_->authenticated;
}
std::uint64_t Session::body_bytes() const noexcept {
    return impl_->body.size();
}
bool Session::body_refused() const noexcept {
    return impl_->body.fault() != BodyReader::Fault::none;
}
bool Session::in_transaction() const noexcept {
    return impl_->in_transaction;
}
std::vector<Session::Note> Session::take_notes() {
    return std::exchange(impl_->notes, {});
}

}  // namespace postern::proto
