#pragma once

#include <array>
#include <cstddef>
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
    /// False: a From or Sender that is no list of mailboxes, that names nobody, or more than 100
    /// mailboxes.
    bool from_parsed = true;
    std::vector<Address> from;    ///< Mailboxes of all From fields.
    std::vector<Address> sender;  ///< Mailboxes of all Sender fields.
    bool has_date = false;
    std::string message_id;  ///< With its brackets, cleaned; empty where missing or blank.
    std::string subject;     ///< Raw, unfolded, at most 998 octets.
    std::vector<Address> reply_to;
    bool list_unsubscribe = false;
    int received_fields = 0;
    bool loop = false;  ///< One of our own Received fields stands there already.
    std::string
        shape;  ///< Field names in their order, lower case, comma-separated, at most 512 octets.
    /// Bcc, Resent-Bcc, Return-Path, X-Abuse, Feedback-ID, and a blank Message-ID, each with its
    /// folded lines; rising, disjoint, neighbours joined.
    std::vector<Range> removals;
    std::uint64_t header_bytes = 0;  ///< Length of the header section with the empty line.
    /// A field over 64 KiB, more than 1000 separate removals, or more than 1 MiB of them all:
    /// refuse.
    bool overlong_line = false;
    /// A line that is no field, but begins with the name of one that is judged or removed: refuse.
    bool disguised_field = false;
};

/// Reads a header section piece by piece, however it is cut (RFC 5322 2.2, 3.6). Memory is bounded
/// by 64 KiB + what it keeps. No allocation a line; stops working once the empty line was seen.
/// Content that does not start with a header field is a body from its first octet on (header_bytes
/// 0). Inside of the section a line that is neither a field nor a continuation is passed over, so
/// that no reader of the message can find a From or Bcc that was not seen here.
class HeaderScanner {
  public:
    /// `hostname`: "from <hostname> by <hostname>" in a Received marks a loop.
    explicit HeaderScanner(std::string hostname);
    void feed(std::string_view octets);
    void finish();  ///< The message is at its end; needed where it may have no body.
    [[nodiscard]] bool done() const noexcept { return state_ == State::body; }
    [[nodiscard]] const HeaderFacts& facts() const noexcept { return facts_; }

  private:
    enum class State : std::uint8_t { line_start, line_start_cr, name, name_space, value, body };
    /// Fields that are looked at; `none`: no field is open.
    enum class Field : std::uint8_t {
        none,
        other,
        from,
        sender,
        reply_to,
        date,
        message_id,
        subject,
        received,
        list_unsubscribe,
        removed
    };
    static constexpr std::size_t name_limit = 64;

    [[nodiscard]] std::size_t begin_line(char c);
    void name_octet(char c);
    void name_done();
    void no_field();
    void keep(std::string_view octets);
    void field_done(std::uint64_t end);
    void remove(std::uint64_t begin, std::uint64_t end);
    void take_originator(std::vector<Address>& into, std::string_view body, std::size_t most);
    void end_at(std::uint64_t offset);
    [[nodiscard]] static Field field_of(std::string_view lower_name) noexcept;

    std::string hostname_;
    HeaderFacts facts_;
    std::string kept_;  ///< Body of the open field, as far as it is looked at.
    std::array<char, name_limit> name_{};
    std::size_t name_length_ = 0;  ///< May exceed the limit: then the name is none that we know.
    std::uint64_t line_start_ = 0;
    std::uint64_t field_start_ = 0;
    std::uint64_t offset_ = 0;
    State state_ = State::line_start;
    Field field_ = Field::none;
    bool any_field_ = false;
};

/// The fields put on top, each ended by CRLF, in the order a receiver expects: Received first, then
/// Date and Message-ID where missing, then X-Abuse and Feedback-ID. Lines are folded to at most 78
/// characters where words allow.
struct AddedFields {
    std::string hostname;
    std::string ref;
    std::string client_ip;  ///< Numeric, without brackets. Empty: not told.
    bool smtputf8 = false;  ///< UTF8SMTPSA, RFC 6531 4.3
    // What the client did, for the word behind "with" (RFC 3848); HELO alone is SMTP.
    bool ehlo = true;
    bool tls = true;
    bool auth = true;
    bool date = false;
    bool message_id = false;  ///< <ref@hostname>
    std::int64_t unix_seconds = 0;
    // By which outsiders report abuse.
    std::string abuse_contact;  ///< Whom X-Abuse asks to write to: an ASCII mailbox.
    std::string token;      ///< What X-Abuse asks to name: letters and digits. Empty: no X-Abuse.
    std::string pseudonym;  ///< The customer's in Feedback-ID, likewise. Empty: no Feedback-ID.
};
[[nodiscard]] std::string added_fields(const AddedFields& what);

/// RFC 5322 3.3, in UTC; years 1970 to 9999, others are clamped.
[[nodiscard]] std::string rfc5322_date(std::int64_t unix_seconds);

}  // namespace postern::proto
