// Replies of an upstream: the same whole and in pieces, clean, and within their bounds.

#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "proto/reply_reader.hpp"
#include "proto/utf8.hpp"

namespace {

using namespace postern::proto;

void require(bool what) {
    if (!what) std::abort();
}

struct Seen {
    std::vector<Reply> replies;
    ReplyReader::Status last = ReplyReader::Status::need_more;
    bool operator==(const Seen&) const = default;
};

Seen read_all(std::string_view text, std::size_t cut) {
    ReplyReader reader(ReplyReader::Bounds{.reply_octets = 200});
    Seen seen;
    while (!text.empty()) {
        std::string_view piece = text.substr(0, cut);
        text.remove_prefix(piece.size());
        while (!piece.empty()) {
            seen.last = reader.read(piece);
            if (seen.last == ReplyReader::Status::need_more) require(piece.empty());
            if (seen.last == ReplyReader::Status::done) seen.replies.push_back(reader.reply());
            if (seen.last == ReplyReader::Status::bad || seen.last == ReplyReader::Status::too_long)
                return seen;
        }
    }
    return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 1) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    const Seen whole = read_all(text, size);
    require(whole == read_all(text, 1));
    require(whole == read_all(text, data[0] + 1U));
    for (const Reply& reply : whole.replies) {
        require(reply.text.size() <= foreign_text_limit);
        require(valid_utf8(reply.text) && !has_control(reply.text));
        require(reply.code / 100 == 3 ? reply.enhanced.empty()
                                      : reply.enhanced[0] == '0' + reply.code / 100);
    }
    return 0;
}
