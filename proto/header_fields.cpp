#include <algorithm>
#include <array>
#include <chrono>
#include <string_view>

#include <fmt/format.h>

#include "proto/header.hpp"

namespace postern::proto {
namespace {

constexpr std::size_t fold_beyond = 78;  // RFC 5322 2.1.1

/// Appends words to a field, folding before a word that would make the line too long.
class Folder {
  public:
    Folder(std::string_view name, std::string& out) : out_(out), line_(out.size()) { out_ += name; }
    void word(std::string_view text) {
        if (out_.size() - line_ + 1 + text.size() > fold_beyond) {
            out_ += "\r\n";
            line_ = out_.size();
        }
        out_ += ' ';
        out_ += text;
    }

  private:
    std::string& out_;
    std::size_t line_;
};

std::string protocol(const AddedFields& what) {
    if (!what.ehlo) return "SMTP";
    std::string out = what.smtputf8 ? "UTF8SMTP" : "ESMTP";
    if (what.tls) out += 'S';
    if (what.auth) out += 'A';
    return out;
}

}  // namespace

std::string rfc5322_date(std::int64_t unix_seconds) {
    using namespace std::chrono;
    static constexpr std::array<std::string_view, 7> days = {"Sun", "Mon", "Tue", "Wed",
                                                             "Thu", "Fri", "Sat"};
    static constexpr std::array<std::string_view, 12> months = {
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    constexpr std::int64_t last = 253402300799;  // The end of the year 9999.
    const sys_seconds time{seconds{std::clamp<std::int64_t>(unix_seconds, 0, last)}};
    const auto day = floor<std::chrono::days>(time);
    const year_month_day date{day};
    const hh_mm_ss clock{time - day};
    return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} +0000",
                       days[weekday{day}.c_encoding()], static_cast<unsigned>(date.day()),
                       months[static_cast<unsigned>(date.month()) - 1],
                       static_cast<int>(date.year()), clock.hours().count(),
                       clock.minutes().count(), clock.seconds().count());
}

std::string added_fields(const AddedFields& what) {
    const std::string date = rfc5322_date(what.unix_seconds);
    std::string out;
    out.reserve(512);
    Folder received("Received:", out);
    received.word("from " + what.hostname);
    if (!what.client_ip.empty()) {
        const bool v6 = what.client_ip.find(':') != std::string::npos;
        received.word((v6 ? "([IPv6:" : "([") + what.client_ip + "])");
    }
    received.word("by " + what.hostname);
    received.word("with " + protocol(what));
    received.word("id " + what.ref + ";");
    received.word(date);
    out += "\r\n";
    if (what.date) out.append("Date: ").append(date).append("\r\n");
    if (what.message_id) {  // Not folded, however long: not all readers unfold it.
        out.append("Message-ID: <").append(what.ref).append("@");
        out.append(what.hostname).append(">\r\n");
    }
    if (!what.token.empty()) {
        Folder abuse("X-Abuse:", out);
        abuse.word("report to");
        abuse.word(what.abuse_contact + ";");
        abuse.word("ref=" + what.token);
        out += "\r\n";
    }
    if (!what.pseudonym.empty()) {  // Not folded either: its readers split it at the colons.
        out.append("Feedback-ID: ").append(what.pseudonym).append(":::");
        out.append(what.hostname).append("\r\n");
    }
    return out;
}

}  // namespace postern::proto
