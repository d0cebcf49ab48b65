#include "proto/stuffing.hpp"

#include <cstddef>

namespace postern::proto {
namespace {

constexpr std::string_view dot = ".";
constexpr std::string_view line_end = "\r\n";

/// Where the first dot behind an LF stands, or npos. Whole blocks without one are passed by a loop
/// without branches, which compilers turn into vector code: most mail has lines, and hardly any
/// begins with a dot.
std::size_t find_line_dot(std::string_view text, std::size_t from) noexcept {
    constexpr std::size_t block = 64;
    const char* const p = text.data();
    std::size_t i = from;
    for (; i + block < text.size(); i += block) {
        unsigned char hit = 0;
        for (std::size_t k = 0; k < block; ++k) {
            hit |= static_cast<unsigned char>(static_cast<unsigned char>(p[i + k] == '\n') &
                                              static_cast<unsigned char>(p[i + k + 1] == '.'));
        }
        if (hit != 0) break;
    }
    for (; i + 1 < text.size(); ++i) {
        if (p[i] == '\n' && p[i + 1] == '.') return i + 1;
    }
    return std::string_view::npos;
}

}  // namespace

void DotStuffer::add(std::string_view piece, std::vector<std::string_view>& out) {
    if (piece.empty()) return;
    if ((at_ == At::line_start || at_ == At::after_lf) && piece.front() == '.') out.push_back(dot);
    std::size_t begin = 0;
    for (std::size_t at = find_line_dot(piece, 0); at != std::string_view::npos;
         at = find_line_dot(piece, at)) {
        out.push_back(piece.substr(begin, at - begin));
        out.push_back(dot);
        begin = at;
    }
    out.push_back(piece.substr(begin));
    // A CRLF that was cut between two pieces is one line end; a lone LF begins a line for stuffing,
    // but does not end the text.
    const char last = piece.back();
    const char before =
        piece.size() > 1 ? piece[piece.size() - 2] : (at_ == At::after_cr ? '\r' : '\0');
    if (last == '\n') {
        at_ = before == '\r' ? At::line_start : At::after_lf;
    } else {
        at_ = last == '\r' ? At::after_cr : At::inside;
    }
}

void DotStuffer::end_text(std::vector<std::string_view>& out) {
    if (at_ != At::line_start) out.push_back(line_end);
    at_ = At::line_start;
}

void DotStuffer::end_data(std::vector<std::string_view>& out) {
    end_text(out);
    out.push_back(final_dot);
}

}  // namespace postern::proto
