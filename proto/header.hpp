#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proto/address.hpp"

namespace postern::proto {

/// What the relay must know of a message's header section (RFC 5322 2.1, RFC 6409 8).
struct HeaderFacts {
    struct Range {
        std::uint64_t offset = 0;  ///< Into the unstuffed message as the client sent it.
        std::uint64_t length = 0;  ///< Whole field with its line end.
        bool operator==(const Range&) const = default;
    };
    int from_fields = 0;
    bool from_parsed = true;            ///< False: a From or Sender that holds no mailbox list.
    std::vector<Address> from;          ///< Mailboxes of header From.
    std::vector<Address> sender;        ///< Mailbox of header Sender.
    bool has_date = false;
    std::string message_id;             ///< With its brackets, cleaned; empty where missing.
    std::string subject;                ///< Raw, unfolded, at most 998 octets.
    std::vector<Address> reply_to;
    bool list_unsubscribe = false;
    int received_fields = 0;
    bool loop = false;                  ///< One of our own Received fields stands there already.
    std::string shape;                  ///< Field names in their order, lower case, comma-separated, at most 512 octets.
    std::vector<Range> removals;        ///< Bcc, Resent-Bcc, Return-Path, X-Abuse, Feedback-ID; rising, disjoint.
    std::uint64_t header_bytes = 0;     ///< Length of the header section with the empty line.
    bool overlong_line = false;         ///< A field over 64 KiB.
};

/// Reads a header section piece by piece, however it is cut. Memory is bounded by 64 KiB + what it keeps.
/// No allocation a line; stops working once the empty line was seen. Content that does not start with a
/// header field is a body from its first octet on (header_bytes 0).
class HeaderScanner {
  public:
    /// `hostname`: "by <hostname>" with "from <hostname>" in a Received marks a loop.
    explicit HeaderScanner(std::string hostname);
    void feed(std::string_view octets);
    void finish();
    [[nodiscard]] const HeaderFacts& facts() const noexcept { return facts_; }

  private:
    void field_done();
    std::string hostname_;
    HeaderFacts facts_;
    std::string field_;            ///< The field being read, unfolded lazily.
    std::uint64_t field_start_ = 0;
    std::uint64_t offset_ = 0;
    int line_state_ = 0;
    bool done_ = false;
};

/// The fields put on top, each ended by CRLF, in the order a receiver expects: Received first, then Date
/// and Message-ID where missing.
struct AddedFields {
    std::string hostname;
    std::string ref;
    std::string client_ip;        ///< Empty: not told.
    bool smtputf8 = false;        ///< UTF8SMTPSA, RFC 6531 4.3
    bool date = false;
    bool message_id = false;
    std::int64_t unix_seconds = 0;
};
[[nodiscard]] std::string added_fields(const AddedFields& what);
[[nodiscard]] std::string rfc5322_date(std::int64_t unix_seconds);

}  // namespace postern::proto
