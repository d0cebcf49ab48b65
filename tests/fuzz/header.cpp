// A header section: the same whole and in pieces, removals within it and in order, lists bounded.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "proto/header.hpp"

namespace {

using namespace postern::proto;

void require(bool what) {
    if (!what) std::abort();
}

HeaderFacts scan(std::string_view text, std::size_t cut) {
    HeaderScanner scanner("smtp.example.net");
    while (!text.empty()) {
        scanner.feed(text.substr(0, cut));
        text.remove_prefix(std::min(cut, text.size()));
    }
    scanner.finish();
    return scanner.facts();
}

bool same(const HeaderFacts& a, const HeaderFacts& b) {
    return a.from_fields == b.from_fields && a.from_parsed == b.from_parsed && a.from == b.from &&
           a.sender == b.sender && a.has_date == b.has_date && a.message_id == b.message_id &&
           a.subject == b.subject && a.reply_to == b.reply_to &&
           a.list_unsubscribe == b.list_unsubscribe && a.received_fields == b.received_fields &&
           a.loop == b.loop && a.shape == b.shape && a.removals == b.removals &&
           a.header_bytes == b.header_bytes && a.overlong_line == b.overlong_line;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 1) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    const HeaderFacts facts = scan(text, size);
    require(same(facts, scan(text, 1)));
    require(same(facts, scan(text, data[0] + 1U)));
    require(facts.header_bytes <= text.size());
    require(facts.from.size() <= 100 && facts.sender.size() <= 100 && facts.reply_to.size() <= 100);
    require(facts.shape.size() <= 512 && facts.subject.size() <= 998 &&
            facts.message_id.size() <= 998);
    std::uint64_t at = 0;
    for (const auto& range : facts.removals) {
        require(range.length > 0 && range.offset >= at);
        at = range.offset + range.length;
    }
    require(at <= facts.header_bytes);
    return 0;
}
