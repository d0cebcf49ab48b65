// Carries out what the machine of LMTP and SMTP says.

#include <utility>
#include <vector>

#include <boost/asio/error.hpp>

#include "relay/intake/ask_desk.hpp"
#include "relay/intake/hall.hpp"

namespace postern::relay::intake {
namespace {

using proto::IntakeSession;

constexpr std::size_t mail_read_size = std::size_t{16} * 1024;

/// Reads what is there into `buffer` and feeds it.
awaitable<void> read_mail(Hall& hall, Guest& guest, IntakeSession& session,
                          std::vector<char>& buffer) {
    guest.waiting = true;
    const error_code error = co_await guest.stream.wait_readable();
    guest.waiting = false;
    if (hall.stopping) {
        session.shut_down();
        co_return;
    }
    if (error) {
        if (error == asio::error::timed_out) {
            session.timed_out();
        } else {
            session.eof();
        }
        co_return;
    }
    // Not before there is something: an idle connection holds no buffer.
    buffer.resize(mail_read_size);
    const auto got = co_await guest.stream.read_some(buffer);
    if (!got && got.error() == asio::error::timed_out) {
        session.timed_out();
    } else if (!got || *got == 0) {
        session.eof();
    } else {
        session.feed({buffer.data(), *got});
    }
}

}  // namespace

awaitable<void> serve_mail(Hall& hall, Guest& guest, IntakeSession session) {
    std::vector<char> buffer;
    for (;;) {
        switch (session.next()) {
            case IntakeSession::Action::read:
                if (hall.stopping) {
                    session.shut_down();
                } else {
                    co_await read_mail(hall, guest, session, buffer);
                }
                break;
            case IntakeSession::Action::send: {
                // All that is asked of the peer until the next reply has this time: octets that
                // drop in one by one do not extend it.
                guest.stream.set_deadline(hall.limits.mail_patience);
                const error_code error = co_await guest.stream.write(session.output());
                if (error) {
                    session.eof();
                } else {
                    session.sent();
                }
                break;
            }
            case IntakeSession::Action::take: {
                proto::IntakeMail got = session.take_mail();
                guest.stream.clear_deadline();
                Mail mail{.mail_from = std::move(got.mail_from),
                          .rcpts = std::move(got.rcpts),
                          .octets = std::move(got.octets)};
                const Taken taken = co_await ask_desk(hall.ports.desk, std::move(mail));
                session.taken(taken == Taken::overloaded ? IntakeSession::Outcome::later
                                                         : IntakeSession::Outcome::safe);
                break;
            }
            case IntakeSession::Action::finish:
                co_await guest.stream.shutdown();
                co_return;
        }
    }
}

}  // namespace postern::relay::intake
