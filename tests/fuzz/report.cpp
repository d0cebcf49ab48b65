// Reports: whatever the mail, what is read is clean, bounded, and the same with other line ends.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "proto/reply.hpp"
#include "proto/report.hpp"
#include "proto/report_words.hpp"

namespace {

using namespace postern::proto;

void require(bool holds) {
    if (!holds) std::abort();
}

void require_clean(std::string_view text, std::size_t limit) {
    require(text.size() <= limit && clean_text(text, limit) == text);
}

void check(const Report& report, const ReportLimits& limits) {
    require(report.recipients.size() <= limits.max_recipients);
    require(report.original_rcpts.size() <= limits.max_recipients);
    require(report.returned_to.size() <= limits.max_recipients);
    require((report.kind == ReportKind::delivery) == !report.recipients.empty());
    require((report.kind == ReportKind::feedback) == !report.feedback_type.empty());
    for (const ReportedRecipient& one : report.recipients) {
        require(foreign_mailbox(one.rcpt) == one.rcpt && !one.rcpt.empty());
        require_clean(one.rcpt, 1024);
        require_clean(one.final_rcpt, 1024);
        require(enhanced_code_in(one.status, "245") == one.status);
        require_clean(one.diagnostic, 510);
    }
    for (const std::string& rcpt : report.original_rcpts) require_clean(rcpt, 1024);
    for (const std::string& rcpt : report.returned_to) require_clean(rcpt, 1024);
    require(report.token.empty() || report_token(report.token) == report.token);
    require_clean(report.message_id, 998);
    require_clean(report.original_envelope_id, 100);
    require_clean(report.feedback_type, 64);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view mail(reinterpret_cast<const char*>(data), size);
    const Report report = read_report(mail);
    check(report, {});
    ReportLimits small;
    small.max_octets = 4096;
    small.max_parts = 3;
    small.max_depth = 2;
    small.max_recipients = 2;
    small.max_header = 512;
    check(read_report(mail, small), small);

    std::string again;
    for (const char c : mail) {
        if (c == '\n') again += '\r';
        again += c;
    }
    // CRs before an LF are of the line end, however many; encoded parts may hold line ends of their
    // own.
    if (again.size() < ReportLimits{}.max_header && !mail.contains('='))
        require(read_report(again).recipients.size() == report.recipients.size());
    return 0;
}
