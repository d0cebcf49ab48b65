#include "proto/line_reader.hpp"

#include <algorithm>

#include "proto/utf8.hpp"
#include "proto/wipe.hpp"

namespace postern::proto {

namespace {

constexpr std::size_t first_capacity = 128;
constexpr std::size_t idle_capacity = 256;  // more is given back between lines

bool is_auth(std::string_view line) noexcept {
    return same_ignoring_case(line.substr(0, 5), "AUTH ");
}

}  // namespace

LineReader::Result LineReader::read(std::string_view& input, Mode mode) {
    if (done_) release();
    if (skip_ != Skip::no) {
        const Skip how = skip_;
        if (!skip_to_end(input)) return {may_skip_ == 0 ? Kind::endless : Kind::more, {}};
        if (how == Skip::too_long) return {Kind::too_long, {}};
        if (how == Skip::auth_too_long) return {Kind::auth_too_long, {}};
    }
    if (at_start()) {
        // The usual case: a whole clean line is there, and nothing is copied.
        const std::size_t end = input.find('\n');
        const std::size_t limit = mode == Mode::exchange ? limits_.auth : limits_.command;
        if (end != std::string_view::npos && end > 0 && end < limit && input[end - 1] == '\r') {
            const std::string_view line = input.substr(0, end - 1);
            if (!line.contains('\r') && !line.contains('\0')) {
                input.remove_prefix(end + 1);
                return {Kind::line, line};
            }
        }
    }
    return gather(input, mode);
}

LineReader::Result LineReader::gather(std::string_view& input, Mode mode) {
    for (std::size_t used = 0; used < input.size(); ++used) {
        const char c = input[used];
        if (const std::size_t number = held_.size() + (after_cr_ ? 1 : 0) + 1;
            number > limits_.command) {
            const bool auth = mode == Mode::exchange || is_auth(held_);
            if (number > (auth ? limits_.auth : limits_.command)) {
                begin_skip(auth ? Skip::auth_too_long : Skip::too_long);
                wipe_line();
                input.remove_prefix(used);
                return read(input, mode);
            }
        }
        if (after_cr_ && c == '\n') {
            input.remove_prefix(used + 1);
            after_cr_ = false;
            done_ = true;
            return {Kind::line, held_};
        }
        if (after_cr_ || c == '\n' || c == '\0') {
            input.remove_prefix(used);  // the octet may be a CR that ends the line
            after_cr_ = false;
            begin_skip(Skip::told);
            done_ = true;
            return {Kind::bad_octets, held_};
        }
        if (c == '\r') {
            after_cr_ = true;
        } else {
            hold(c);
        }
    }
    input = {};
    return {Kind::more, {}};
}

void LineReader::begin_skip(Skip how) noexcept {
    skip_ = how;
    may_skip_ = limits_.passed_over;
}

/// False: the end is not in `input`, or (may_skip_ is 0) is not looked for any more.
bool LineReader::skip_to_end(std::string_view& input) noexcept {
    while (!input.empty() && may_skip_ > 0) {
        if (after_cr_ && input.front() == '\n') {
            input.remove_prefix(1);
            after_cr_ = false;
            skip_ = Skip::no;
            return true;
        }
        const std::string_view part = input.substr(0, may_skip_);
        const std::size_t next = part.find('\r');
        after_cr_ = next != std::string_view::npos;
        const std::size_t passed = after_cr_ ? next + 1 : part.size();
        input.remove_prefix(passed);
        may_skip_ -= passed;
    }
    return false;
}

void LineReader::hold(char c) {
    if (held_.size() == held_.capacity() || held_.capacity() < first_capacity) {
        // Growth by hand: the old storage may hold half a password.
        std::string larger;
        larger.reserve(std::max(first_capacity, held_.capacity() * 2));
        larger = held_;
        wipe(held_);
        held_.swap(larger);
    }
    held_ += c;
}

void LineReader::wipe_line() noexcept {
    wipe(held_);
    done_ = false;
    if (held_.capacity() > idle_capacity) held_ = {};
}

void LineReader::release() noexcept {
    done_ = false;
    held_.clear();
    if (held_.capacity() > idle_capacity) held_ = {};
}

}  // namespace postern::proto
