#include "proto/body_reader.hpp"

#include <limits>

namespace postern::proto {

namespace {

constexpr std::string_view crlf = "\r\n";
constexpr std::string_view dot_line = ".\r\n";

}  // namespace

void BodyReader::fail(Fault fault) noexcept {
    if (fault_ == Fault::none) fault_ = fault;
}

/// An empty piece of kind `octets` means: go on.
BodyReader::Piece BodyReader::give(std::string_view bytes, bool is_static) {
    if (fault_ != Fault::none) return {Kind::octets, {}, true};
    if (limits_.max_size != 0 && bytes.size() > limits_.max_size - size_) {
        fault_ = Fault::size;
        return {Kind::octets, {}, true};
    }
    size_ += bytes.size();
    return {Kind::octets, bytes, is_static};
}

BodyReader::Piece BodyReader::read(std::string_view& input) {
    while (!input.empty()) {
        Piece piece{Kind::octets, {}, true};
        if (at_ == At::dot) {
            piece = read_dot(input);
        } else if (at_ == At::dot_cr) {
            piece = read_dot_cr(input);
        } else {
            const ScanState state{.after_cr = at_ == At::cr,
                                  .at_line_start = at_ == At::line_start,
                                  .line_length = line_length_};
            const ScanLimits limits{.dots = framing_ == Framing::dots,
                                    .max_line = fault_ == Fault::none
                                                    ? limits_.max_line
                                                    : std::numeric_limits<std::size_t>::max()};
            const std::size_t clean = scan_body(input, state, limits);
            if (clean > 0) {
                const std::string_view text = input.substr(0, clean);
                input.remove_prefix(clean);
                advance(text);
                piece = give(text, false);
            } else {
                piece = attend(input);
            }
        }
        if (piece.kind == Kind::end || !piece.bytes.empty()) return piece;
    }
    return {Kind::more, {}};
}

/// `clean` holds no octet that needs attention: each LF in it belongs to a CRLF.
void BodyReader::advance(std::string_view clean) noexcept {
    const std::size_t lf = clean.rfind('\n');
    line_length_ =
        lf == std::string_view::npos ? line_length_ + clean.size() : clean.size() - lf - 1;
    if (lf != std::string_view::npos) behind_lone_lf_ = false;
    switch (clean.back()) {
        case '\r':
            at_ = At::cr;
            break;
        case '\n':
            at_ = At::line_start;
            break;
        default:
            at_ = At::text;
            break;
    }
}

/// The first octet of `input` is one that scan_body() stopped at.
BodyReader::Piece BodyReader::attend(std::string_view& input) {
    const char c = input.front();
    if (at_ == At::cr && c != '\n') {
        fail(Fault::octets);
        at_ = At::text;
    } else if (c == '\0') {
        fail(Fault::octets);
        at_ = At::text;
        input.remove_prefix(1);
    } else if (c == '\n' && at_ != At::cr) {
        input.remove_prefix(1);
        if (limits_.normalize_newlines) {
            at_ = At::line_start;
            behind_lone_lf_ = true;
            line_length_ = 0;
            return give(crlf, true);
        }
        fail(Fault::octets);
        at_ = At::text;
    } else if (c == '.' && at_ == At::line_start && framing_ == Framing::dots) {
        input.remove_prefix(1);
        at_ = At::dot;
    } else {
        fail(Fault::long_line);
    }
    return {Kind::octets, {}, true};
}

BodyReader::Piece BodyReader::read_dot(std::string_view& input) {
    if (input.front() == '\r') {
        input.remove_prefix(1);
        at_ = At::dot_cr;
    } else if (input.front() == '\n' && limits_.normalize_newlines) {
        // A dot alone on its line, but not by CRLF: text, never an end.
        input.remove_prefix(1);
        at_ = At::line_start;
        behind_lone_lf_ = true;
        return give(dot_line, true);
    } else {
        at_ = At::text;
    }
    return {Kind::octets, {}, true};
}

BodyReader::Piece BodyReader::read_dot_cr(std::string_view& input) {
    if (input.front() != '\n') {
        fail(Fault::octets);
        at_ = At::text;
        return {Kind::octets, {}, true};
    }
    input.remove_prefix(1);
    at_ = At::line_start;
    if (!behind_lone_lf_) return {Kind::end, {}};
    behind_lone_lf_ = false;
    return give(dot_line, true);
}

std::string_view BodyReader::finish() {
    if (at_ == At::cr) fail(Fault::octets);
    if (at_ != At::text || fault_ != Fault::none) return {};
    at_ = At::line_start;
    return give(crlf, true).bytes;
}

}  // namespace postern::proto
