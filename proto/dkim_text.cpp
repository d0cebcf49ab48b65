#include "proto/dkim_text.hpp"

#include <algorithm>

namespace postern::proto {

namespace {

constexpr std::string_view relaxed_end = "\r\n";

/// WSP of RFC 5234.
constexpr bool is_wsp(char c) noexcept {
    return c == ' ' || c == '\t';
}

}  // namespace

void RelaxedBody::feed(std::string_view octets) {
    while (!octets.empty()) {
        const char c = octets.front();
        if (cr_) {
            cr_ = false;
            if (c == '\n') {
                ++ends_;
                space_ = false;
                octets.remove_prefix(1);
                continue;
            }
            text("\r");  // It ends no line.
        }
        if (c == '\r' || is_wsp(c)) {
            (c == '\r' ? cr_ : space_) = true;
            octets.remove_prefix(1);
            continue;
        }
        const auto end =
            std::ranges::find_if(octets, [](char o) { return o == '\r' || is_wsp(o); });
        const std::string_view run(octets.begin(), end);
        text(run);
        octets.remove_prefix(run.size());
    }
}

void RelaxedBody::finish() {
    if (cr_) text("\r");
    cr_ = false;
    if (any_) put(relaxed_end);
    ends_ = 0;
    space_ = false;
    flush();
}

/// Text of a line, behind the line ends and the white space that were held back for it.
void RelaxedBody::text(std::string_view run) {
    for (; ends_ > 0; --ends_) put(relaxed_end);
    if (space_) put(" ");
    space_ = false;
    any_ = true;
    put(run);
}

void RelaxedBody::put(std::string_view octets) {
    if (octets.size() > buffer_.size() - used_) {
        flush();
        if (octets.size() >= buffer_.size()) return sink_.take(octets);
    }
    std::ranges::copy(octets, buffer_.begin() + static_cast<std::ptrdiff_t>(used_));
    used_ += octets.size();
}

void RelaxedBody::flush() {
    if (used_ > 0) sink_.take(std::string_view(buffer_.data(), used_));
    used_ = 0;
}

void SigningReader::feed(std::string_view octets) {
    while (in_header_ && !octets.empty()) {
        if (cr_) {
            cr_ = false;
            line_start_ = false;
            if (octets.front() == '\n') {
                in_header_ = false;
                octets.remove_prefix(1);
                break;
            }
            keep("\r");
        }
        if (line_start_ && octets.front() == '\r') {
            cr_ = true;
            octets.remove_prefix(1);
            continue;
        }
        const std::size_t lf = octets.find('\n');
        const std::string_view line =
            octets.substr(0, lf == std::string_view::npos ? octets.size() : lf + 1);
        keep(line);
        line_start_ = lf != std::string_view::npos;
        octets.remove_prefix(line.size());
    }
    if (!in_header_) body_.feed(octets);
}

void SigningReader::finish() {
    if (cr_) keep("\r");
    cr_ = false;
    body_.finish();
}

void SigningReader::keep(std::string_view octets) {
    overlong_ = overlong_ || octets.size() > header_limit - header_.size();
    if (!overlong_) header_ += octets;
}

}  // namespace postern::proto
