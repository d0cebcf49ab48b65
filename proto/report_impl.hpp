#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "proto/address.hpp"
#include "proto/report.hpp"

/// The parts of read_report(); nothing here is for others.
namespace postern::proto::reports {

[[nodiscard]] std::string_view trimmed(std::string_view text) noexcept;

/// White space between words is one space; words keep their case.
[[nodiscard]] std::string squeezed(std::string_view text);

/// local@domain with the domain in lower case; empty without a domain or with what is not clean.
[[nodiscard]] std::string mailbox_text(const Address& address);

/// Takes the next line off `text`; without its LF and the CRs before it.
[[nodiscard]] std::string_view take_line(std::string_view& text) noexcept;

/// Takes what stands before the next empty line off `text`, and that line, too.
[[nodiscard]] std::string_view take_block(std::string_view& text) noexcept;

/// The fields of one block (RFC 5322 2.2, RFC 3464 2.1.1), unfolded. Lines that are no field are
/// passed over.
class FieldReader {
  public:
    explicit FieldReader(std::string_view block) noexcept : rest_(block) {}
    [[nodiscard]] bool next();
    [[nodiscard]] std::string_view name() const noexcept { return name_; }  ///< Lower case.
    [[nodiscard]] std::string_view value() const noexcept { return trimmed(value_); }

  private:
    std::string_view rest_;
    std::string name_;
    std::string value_;
};

/// What of a Content-Type is asked for (RFC 2045 5.1), in lower case but for the boundary.
struct ContentType {
    std::string type;  ///< "text/plain"; empty: cannot be read.
    std::string boundary;
    std::string report_type;
};
[[nodiscard]] ContentType read_content_type(std::string_view value);

/// A part that is no multipart.
struct Part {
    std::string type;      ///< "text/plain" where nothing is said.
    std::string encoding;  ///< Content-Transfer-Encoding, lower case.
    std::string_view body;
};

struct Parts {
    std::vector<Part> leaves;  ///< In their order. A mail inside of the mail is one leaf.
    std::string report_type;   ///< Of the outermost multipart that says it.
};

/// Takes a mail or part into its leaves (RFC 2046 5.1). A part without its end boundary ends with
/// what surrounds it.
[[nodiscard]] Parts take_apart(std::string_view header, std::string_view body,
                               const ReportLimits& limits);

/// The body of a part with its transfer encoding undone; `room` holds what had to be copied. What
/// is called base64 and is none stays as it is.
[[nodiscard]] std::string_view decoded(const Part& part, std::string& room);

/// Whether a message/delivery-status named any recipient, taken or not.
[[nodiscard]] bool read_delivery_status(std::string_view text, const ReportLimits& limits,
                                        Report& report);

/// False where a message/feedback-report says no Feedback-Type.
[[nodiscard]] bool read_feedback(std::string_view text, const ReportLimits& limits, Report& report);

/// Header of the mail that is returned; what is known already stays.
void read_returned(std::string_view header, const ReportLimits& limits, Report& report);

/// What the header of the report itself says.
struct ReportHeader {
    bool from_daemon = false;      ///< From is a mail system's.
    bool failure_subject = false;  ///< Subject is one of the usual ones of mail systems.
    bool vacation = false;  ///< Fields or subject of programs that answer for somebody absent.
    std::vector<std::string> failed;  ///< X-Failed-Recipients
    std::vector<std::string> to;
    std::string in_reply_to;
};
[[nodiscard]] ReportHeader read_report_header(std::string_view header, const ReportLimits& limits);

/// Reads the text of a server that writes no RFC 3464; false where it is none.
[[nodiscard]] bool read_bounce_text(std::string_view text, const ReportHeader& header,
                                    const ReportLimits& limits, Report& report);

/// The words of an HTML text, with line breaks where its blocks end.
[[nodiscard]] std::string text_of_html(std::string_view html);

/// Adds a recipient unless there are enough, or the same was told of the same already.
void add_recipient(ReportedRecipient recipient, const ReportLimits& limits, Report& report);

/// Class digits that may stand for an action.
[[nodiscard]] std::string_view classes_of(ReportAction action) noexcept;

}  // namespace postern::proto::reports
