#include <algorithm>
#include <utility>

#include "proto/address_list.hpp"
#include "proto/header.hpp"
#include "proto/reply.hpp"
#include "proto/utf8.hpp"

namespace postern::proto {
namespace {

constexpr std::size_t field_limit = 65536;  ///< Against fields without end.
constexpr std::size_t kept_short = 2048;  ///< Of Subject, Message-ID, Received: what is looked at.
constexpr std::size_t subject_limit = 998;
constexpr std::size_t message_id_limit = 998;
constexpr std::size_t shape_limit = 512;
constexpr std::size_t removals_limit = 1000;  ///< Against a header that is all Bcc fields.
constexpr std::size_t mailboxes_limit = 100;
constexpr std::uint64_t section_limit = 1024 * 1024;  ///< Of the whole header section.

std::string_view trim(std::string_view text) noexcept {
    while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
    return text;
}

/// RFC 5322 2.2.3: line ends go, the white space behind them stays.
std::string unfold(std::string_view body, std::size_t limit) {
    std::string out;
    for (const char c : trim(body)) {
        if (out.size() == limit) break;
        if (c != '\r' && c != '\n') out += c;
    }
    return out;
}

std::string_view take_word(std::string_view& text) noexcept {
    while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    const auto end = std::ranges::find_if(text, is_space);
    const std::string_view word(text.begin(), end);
    text.remove_prefix(word.size());
    return word;
}

/// Our own mark: `from <hostname> [([ip])] by <hostname>`.
bool is_own_received(std::string_view body, std::string_view hostname) noexcept {
    if (!same_ignoring_case(take_word(body), "from")) return false;
    if (!same_ignoring_case(take_word(body), hostname)) return false;
    std::string_view word = take_word(body);
    if (word.starts_with("([")) word = take_word(body);
    return same_ignoring_case(word, "by") && same_ignoring_case(take_word(body), hostname);
}

std::string message_id_of(std::string_view body) {
    const std::string text = unfold(body, message_id_limit);
    const std::string_view view = text;
    const std::size_t begin = view.find('<');
    const std::size_t end = view.find('>', begin == std::string_view::npos ? 0 : begin);
    const bool bracketed = begin != std::string_view::npos && end != std::string_view::npos;
    return clean_text(bracketed ? view.substr(begin, end - begin + 1) : view, message_id_limit);
}

}  // namespace

HeaderScanner::HeaderScanner(std::string hostname) : hostname_(std::move(hostname)) {}

HeaderScanner::Field HeaderScanner::field_of(std::string_view name) noexcept {
    switch (name.size()) {
        case 3:
            return name == "bcc" ? Field::removed : Field::other;
        case 4:
            if (name == "from") return Field::from;
            return name == "date" ? Field::date : Field::other;
        case 6:
            return name == "sender" ? Field::sender : Field::other;
        case 7:
            if (name == "subject") return Field::subject;
            return name == "x-abuse" ? Field::removed : Field::other;
        case 8:
            if (name == "reply-to") return Field::reply_to;
            return name == "received" ? Field::received : Field::other;
        case 10:
            return name == "message-id"   ? Field::message_id
                   : name == "resent-bcc" ? Field::removed
                                          : Field::other;
        case 11:
            return name == "return-path" || name == "feedback-id" ? Field::removed : Field::other;
        case 16:
            return name == "list-unsubscribe" ? Field::list_unsubscribe : Field::other;
        default:
            return Field::other;
    }
}

void HeaderScanner::feed(std::string_view octets) {
    std::size_t i = 0;
    const std::uint64_t base = offset_;
    while (i < octets.size() && state_ != State::body) {
        offset_ = base + i;
        switch (state_) {
            case State::line_start:
            case State::line_start_cr:
                if (offset_ >= section_limit) facts_.overlong_line = true;
                i += begin_line(octets[i]);
                break;
            case State::name:
            case State::name_space:
                name_octet(octets[i++]);
                break;
            case State::value: {
                const std::size_t lf = octets.find('\n', i);
                const std::size_t end = lf == std::string_view::npos ? octets.size() : lf + 1;
                keep(octets.substr(i, end - i));
                i = end;
                if (lf != std::string_view::npos) state_ = State::line_start;
                break;
            }
            case State::body:
                break;
        }
    }
    offset_ = base + (state_ == State::body ? octets.size() : i);
}

/// The first octet of a line (offset_ is its place); returns how many octets were used.
std::size_t HeaderScanner::begin_line(char c) {
    if (state_ == State::line_start) line_start_ = offset_;
    if (c == '\n') {
        end_at(offset_ + 1);
        return 1;
    }
    if (state_ == State::line_start_cr) {  // A CR that ends no line.
        no_field();
        return 0;
    }
    if (c == '\r') {
        state_ = State::line_start_cr;
        return 1;
    }
    if (c == ' ' || c == '\t') {
        if (!any_field_) {
            no_field();
        } else {
            state_ = State::value;  // Goes on with the open field, or with a line that was none.
        }
        return 0;
    }
    field_done(line_start_);
    name_length_ = 0;
    state_ = State::name;
    return 0;
}

void HeaderScanner::name_octet(char c) {
    if (c == ':' && name_length_ > 0) return name_done();
    if (c == ' ' || c == '\t') {  // RFC 5322 4.5.
        state_ = State::name_space;
        return;
    }
    const auto u = static_cast<unsigned char>(c);
    if (state_ == State::name_space || u <= 32 || u >= 127 || c == ':') {
        no_field();
        if (c == '\n' && state_ == State::value) state_ = State::line_start;
        return;
    }
    if (name_length_ < name_limit) name_[name_length_] = ascii_lower(c);
    ++name_length_;
    if (offset_ - line_start_ >= field_limit) facts_.overlong_line = true;
}

void HeaderScanner::name_done() {
    const std::string_view name(name_.data(), std::min(name_length_, name_limit));
    any_field_ = true;
    field_start_ = line_start_;
    field_ = name_length_ > name_limit ? Field::other : field_of(name);
    kept_.clear();
    state_ = State::value;
    if (facts_.shape.empty()) facts_.shape.reserve(shape_limit);
    if (facts_.shape.size() + name.size() + 1 <= shape_limit) {
        if (!facts_.shape.empty()) facts_.shape += ',';
        facts_.shape += name;
    }
    switch (field_) {
        case Field::from:
            ++facts_.from_fields;
            break;
        case Field::received:
            ++facts_.received_fields;
            break;
        case Field::date:
            facts_.has_date = true;
            break;
        case Field::list_unsubscribe:
            facts_.list_unsubscribe = true;
            break;
        default:
            break;
    }
}

/// The line is neither a field nor a continuation.
void HeaderScanner::no_field() {
    if (!any_field_) return end_at(0);
    // `From\v:`, or `From` and its colon on the next line: some readers see a field there.
    const std::string_view name(name_.data(), std::min(name_length_, name_limit));
    if (state_ != State::line_start && state_ != State::line_start_cr &&
        field_of(name) != Field::other)
        facts_.disguised_field = true;
    field_done(line_start_);
    state_ = State::value;
}

void HeaderScanner::keep(std::string_view octets) {
    if (field_ == Field::none) return;
    if (facts_.overlong_line) return kept_.clear();
    if (offset_ + octets.size() - field_start_ > field_limit) facts_.overlong_line = true;
    std::size_t most = 0;
    switch (field_) {
        case Field::from:
        case Field::sender:
        case Field::reply_to:
            most = field_limit;
            break;
        case Field::subject:
        case Field::message_id:
        case Field::received:
            most = kept_short;
            break;
        default:
            return;
    }
    kept_.append(octets.substr(0, most - std::min(most, kept_.size())));
}

void HeaderScanner::field_done(std::uint64_t end) {
    switch (std::exchange(field_, Field::none)) {
        case Field::from:
            take_originator(facts_.from, kept_, mailboxes_limit);
            break;
        case Field::sender:
            take_originator(facts_.sender, kept_, mailboxes_limit);
            break;
        case Field::reply_to: {
            if (facts_.reply_to.size() >= mailboxes_limit) break;
            auto list = parse_address_list(kept_);
            for (auto& mailbox : list.mailboxes) {
                if (facts_.reply_to.size() < mailboxes_limit) {
                    facts_.reply_to.push_back(std::move(mailbox));
                }
            }
            break;
        }
        case Field::message_id:
            if (trim(kept_).empty()) {
                remove(field_start_, end);
            } else if (facts_.message_id.empty()) {
                facts_.message_id = message_id_of(kept_);
            }
            break;
        case Field::subject:
            if (facts_.subject.empty()) facts_.subject = unfold(kept_, subject_limit);
            break;
        case Field::received:
            if (is_own_received(kept_, hostname_)) facts_.loop = true;
            break;
        case Field::removed:
            remove(field_start_, end);
            break;
        default:
            break;
    }
}

void HeaderScanner::take_originator(std::vector<Address>& into, std::string_view body,
                                    std::size_t most) {
    // What is refused in any case is not worth the work.
    if (!facts_.from_parsed || facts_.from_fields > 1) return;
    auto list = parse_address_list(body);
    if (!list.valid || list.mailboxes.empty() || facts_.overlong_line ||
        into.size() + list.mailboxes.size() > most) {
        facts_.from_parsed = false;
        return;
    }
    std::ranges::move(list.mailboxes, std::back_inserter(into));
}

void HeaderScanner::remove(std::uint64_t begin, std::uint64_t end) {
    auto& removals = facts_.removals;
    if (!removals.empty() && removals.back().offset + removals.back().length == begin) {
        removals.back().length += end - begin;
    } else if (removals.size() < removals_limit) {
        removals.push_back({.offset = begin, .length = end - begin});
    } else {
        facts_.overlong_line = true;
    }
}

void HeaderScanner::end_at(std::uint64_t offset) {
    field_done(line_start_);
    facts_.header_bytes = offset;
    state_ = State::body;
    kept_ = {};
}

void HeaderScanner::finish() {
    if (state_ == State::body) return;
    if (state_ == State::name || state_ == State::name_space) no_field();
    if (state_ == State::body) return;
    // A header section without an empty line; its last field may lack its line end.
    const std::uint64_t end = state_ == State::line_start_cr ? line_start_ : offset_;
    field_done(end);
    line_start_ = end;
    facts_.header_bytes = any_field_ ? offset_ : 0;
    state_ = State::body;
    kept_ = {};
}

}  // namespace postern::proto
