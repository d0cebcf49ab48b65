#include "relay/sink/dot_reader.hpp"

#include <algorithm>

namespace postern::relay::sink {

void DotReader::keep(std::string_view octets, std::string* into) {
    size_ += octets.size();
    if (into == nullptr) return;
    into->append(octets);
    eight_bit_ = eight_bit_ ||
                 std::any_of(octets.begin(), octets.end(), [](char c) { return (c & 0x80) != 0; });
}

std::size_t DotReader::feed(std::string_view octets, std::string* into) {
    std::size_t at = 0;
    while (at < octets.size() && state_ != State::done) {
        const char c = octets[at];
        switch (state_) {
            case State::line_start:
                state_ = c == '.' ? State::dot : State::text;
                after_cr_ = false;
                if (c == '.') ++at;
                break;
            case State::dot:
                state_ = c == '\r' ? State::dot_cr : State::text;
                if (c == '\r') ++at;
                break;
            case State::dot_cr:
                if (c == '\n') {
                    state_ = State::done;
                    ++at;
                } else {
                    keep("\r", into);
                    after_cr_ = true;
                    state_ = State::text;
                }
                break;
            case State::text: {
                const std::size_t lf = octets.find('\n', at);
                const std::size_t end = lf == std::string_view::npos ? octets.size() : lf + 1;
                if (lf != std::string_view::npos) {
                    const bool crlf = lf > at ? octets[lf - 1] == '\r' : after_cr_;
                    if (crlf) state_ = State::line_start;
                }
                keep(octets.substr(at, end - at), into);
                after_cr_ = octets[end - 1] == '\r';
                at = end;
                break;
            }
            case State::done:
                break;
        }
    }
    return at;
}

}  // namespace postern::relay::sink
