#include "proto/report.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <string>

#include "proto/report_impl.hpp"

namespace postern::proto {
namespace {

using reports::Part;

constexpr auto status_types =
    std::to_array<std::string_view>({"message/delivery-status", "message/global-delivery-status"});
constexpr auto feedback_types = std::to_array<std::string_view>({"message/feedback-report"});
constexpr auto receipt_types = std::to_array<std::string_view>(
    {"message/disposition-notification", "message/global-disposition-notification"});
constexpr auto mail_types = std::to_array<std::string_view>(
    {"message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers",
     "text/rfc822-header", "message/rfc822-headers"});
constexpr auto text_types = std::to_array<std::string_view>({"text/plain", "text/html"});

/// The first leaf of one of the types; null: there is none.
const Part* first_of(const std::vector<Part>& leaves, std::span<const std::string_view> types) {
    const auto found = std::ranges::find_if(leaves, [types](const Part& part) {
        return std::ranges::find(types, part.type) != types.end();
    });
    return found == leaves.end() ? nullptr : &*found;
}

void skip_empty_lines(std::string_view& text) noexcept {
    std::string_view rest = text;
    while (!rest.empty() && reports::take_line(rest).empty()) text = rest;
}

void read_returned_part(const std::vector<Part>& leaves, const ReportLimits& limits,
                        Report& report) {
    const Part* const part = first_of(leaves, mail_types);
    if (part == nullptr) return;
    std::string room;
    std::string_view text = reports::decoded(*part, room);
    skip_empty_lines(text);
    reports::read_returned(reports::take_block(text), limits, report);
}

bool read_text_part(const std::vector<Part>& leaves, const reports::ReportHeader& header,
                    const ReportLimits& limits, Report& report) {
    // One that stands in two forms is read in the first, which is the plain one.
    const Part* const part = first_of(leaves, text_types);
    if (part == nullptr) return false;
    std::string room;
    const std::string_view text = reports::decoded(*part, room);
    if (part->type == "text/plain") return reports::read_bounce_text(text, header, limits, report);
    return reports::read_bounce_text(reports::text_of_html(text), header, limits, report);
}

/// Whether any recipient is told of, by the fields for programs or by the text.
bool read_delivery(const std::vector<Part>& leaves, const reports::ReportHeader& header,
                   const ReportLimits& limits, Report& report) {
    bool for_programs = false;
    if (const Part* const part = first_of(leaves, status_types)) {
        std::string room;
        for_programs = reports::read_delivery_status(reports::decoded(*part, room), limits, report);
    }
    // What the fields say of a recipient, the text does not say otherwise.
    if (!for_programs && !read_text_part(leaves, header, limits, report)) return false;
    return !report.recipients.empty();
}

}  // namespace

Report read_report(std::string_view mail, const ReportLimits& limits) {
    mail = mail.substr(0, limits.max_octets);
    skip_empty_lines(mail);
    const std::string_view header = reports::take_block(mail);
    const reports::Parts parts = reports::take_apart(header, mail, limits);
    const std::vector<Part>& leaves = parts.leaves;

    Report report;
    if (first_of(leaves, receipt_types) != nullptr) return {};
    const Part* const feedback = first_of(leaves, feedback_types);
    const bool is_feedback = feedback != nullptr && (parts.report_type == "feedback-report" ||
                                                     first_of(leaves, status_types) == nullptr);
    if (is_feedback) {
        std::string room;
        if (!reports::read_feedback(reports::decoded(*feedback, room), limits, report)) return {};
        report.kind = ReportKind::feedback;
        read_returned_part(leaves, limits, report);
        return report;
    }
    const reports::ReportHeader facts = reports::read_report_header(header, limits);
    // The part goes before what the text quotes.
    read_returned_part(leaves, limits, report);
    if (!read_delivery(leaves, facts, limits, report)) return {};
    report.kind = ReportKind::delivery;
    if (report.message_id.empty()) report.message_id = facts.in_reply_to;
    return report;
}

}  // namespace postern::proto
