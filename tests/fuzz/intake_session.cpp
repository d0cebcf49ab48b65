// Any octets at the machine that takes reports. Property: what is said and taken does not depend on
// how the octets were cut; bounds hold; a mail is lines; output is lines.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "proto/intake_session.hpp"

using postern::proto::IntakeMail;
using postern::proto::IntakeSession;
using postern::proto::IntakeSettings;
using Action = IntakeSession::Action;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

constexpr std::size_t max_size = 300;

struct Run {
    IntakeSession session;
    IntakeSession::Outcome outcome;
    std::string out;

    /// False: it has ended.
    bool go_on() {
        for (;;) {
            switch (session.next()) {
                case Action::read:
                    return true;
                case Action::send:
                    require(session.output().ends_with("\r\n"));
                    out += session.output();
                    session.sent();
                    break;
                case Action::take:
                    take(session.take_mail());
                    break;
                case Action::finish:
                    out += "finish\n";
                    return false;
            }
        }
    }
    void take(const IntakeMail& mail) {
        require(mail.octets.size() <= max_size);
        require(!mail.rcpts.empty() && mail.rcpts.size() <= 3);
        for (std::size_t i = 0; i < mail.octets.size(); ++i) {
            require(mail.octets[i] != '\0');
            if (mail.octets[i] == '\n') require(i > 0 && mail.octets[i - 1] == '\r');
            if (mail.octets[i] == '\r')
                require(i + 1 < mail.octets.size() && mail.octets[i + 1] == '\n');
        }
        out += "mail " + mail.mail_from + '\n' + mail.octets;
        session.taken(outcome);
    }
};

std::string transcript(std::uint8_t how, std::string_view octets, std::size_t cut) {
    IntakeSettings settings{.hostname = "mx.example.net",
                            .lmtp = (how & 1U) != 0,
                            .max_size = max_size,
                            .max_recipients = 3};
    Run run{
        .session = IntakeSession(std::move(settings)),
        .outcome = (how & 2U) != 0 ? IntakeSession::Outcome::safe : IntakeSession::Outcome::later,
        .out = {}};
    bool open = run.go_on();
    while (open && !octets.empty()) {
        run.session.feed(octets.substr(0, cut));
        octets.remove_prefix(std::min(cut, octets.size()));
        open = run.go_on();
    }
    if (open) {
        if ((how & 4U) != 0) {
            run.session.shut_down();
        } else {
            run.session.eof();
        }
        require(!run.go_on());
    }
    return run.out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view octets(reinterpret_cast<const char*>(data + 1), size - 1);
    const std::string whole = transcript(data[0], octets, size);
    for (const std::size_t cut : {std::size_t{1}, std::size_t{7}, std::size_t{64}}) {
        require(transcript(data[0], octets, cut) == whole);
    }
    return 0;
}
