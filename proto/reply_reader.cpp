#include "proto/reply_reader.hpp"

#include <algorithm>

namespace postern::proto {
namespace {

bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

/// Length of the enhanced code (RFC 2034 4) that `text` begins with; 0 where there is none.
std::size_t enhanced_length(std::string_view text) noexcept {
    std::size_t at = 0;
    for (int part = 0; part < 3; ++part) {
        if (part > 0) {
            if (at >= text.size() || text[at] != '.') return 0;
            ++at;
        }
        const std::size_t begin = at;
        while (at < text.size() && is_digit(text[at]) && at - begin < 3) ++at;
        if (at == begin || (part == 0 && at - begin != 1)) return 0;
    }
    if (text.front() != '2' && text.front() != '4' && text.front() != '5') return 0;
    return at == text.size() || text[at] == ' ' ? at : 0;
}

}  // namespace

ReplyReader::Status ReplyReader::read(std::string_view& input) {
    if (status_ == Status::too_long || status_ == Status::bad) return status_;
    if (status_ == Status::done) {
        octets_ = 0;
        code_ = 0;
        lines_.clear();
        status_ = Status::need_more;
    }
    while (!input.empty()) {
        // Take up to the LF, but no more than the reply may hold.
        const std::size_t room = bounds_.reply_octets - octets_;
        const std::size_t lf = input.find('\n');
        const std::size_t want = lf == std::string_view::npos ? input.size() : lf + 1;
        const std::size_t take = std::min(want, room);
        line_.append(input.substr(0, take));
        input.remove_prefix(take);
        octets_ += take;
        if (take < want) return status_ = Status::too_long;
        if (!line_.ends_with("\r\n")) continue;
        line_.resize(line_.size() - 2);
        status_ = line_done();
        line_.clear();
        if (status_ != Status::need_more) return status_;
    }
    return status_;
}

ReplyReader::Status ReplyReader::line_done() {
    if (line_.size() < 3 || line_[0] < '2' || line_[0] > '5' || !is_digit(line_[1]) ||
        !is_digit(line_[2])) {
        return Status::bad;
    }
    const char separator = line_.size() > 3 ? line_[3] : ' ';
    if (separator != ' ' && separator != '-') return Status::bad;
    const int code = (line_[0] - '0') * 100 + (line_[1] - '0') * 10 + (line_[2] - '0');
    if (code_ != 0 && code != code_) return Status::bad;
    code_ = code;
    lines_.emplace_back(line_.size() > 4 ? line_.substr(4) : std::string{});
    return separator == ' ' ? Status::done : Status::need_more;
}

Reply ReplyReader::reply() const {
    Reply reply;
    reply.code = code_;
    const char digit = static_cast<char>('0' + code_ / 100);
    std::string text;
    for (std::string_view line : lines_) {
        if (text.size() > foreign_text_limit) break;
        if (digit != '3') {
            if (const std::size_t length = enhanced_length(line); length > 0) {
                if (reply.enhanced.empty() && line.front() == digit) {
                    reply.enhanced = line.substr(0, length);
                }
                line.remove_prefix(std::min(length + 1, line.size()));
            }
        }
        if (!text.empty() && !line.empty()) text += ' ';
        text += line;
    }
    if (reply.enhanced.empty() && digit != '3') reply.enhanced = std::string{digit} + ".0.0";
    reply.text = clean_text(text, foreign_text_limit);
    return reply;
}

}  // namespace postern::proto
