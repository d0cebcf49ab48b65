// What is stuffed outward is read back by our own strict reader as the same text, however both were
// cut; and in no cut does the wire form hold an end of data but the last.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "proto/body_reader.hpp"
#include "proto/stuffing.hpp"

namespace {

using namespace postern::proto;

void require(bool what) {
    if (!what) std::abort();
}

std::string stuffed(std::string_view text, std::size_t cut) {
    DotStuffer stuffer;
    std::vector<std::string_view> views;
    while (!text.empty()) {
        stuffer.add(text.substr(0, cut), views);
        text.remove_prefix(std::min(cut, text.size()));
    }
    stuffer.end_data(views);
    std::string out;
    for (const auto view : views) out += view;
    return out;
}

/// Lone CR and LF become CRLF, NUL a space: what the relay's own reader lets through.
std::string strict(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\r' || text[i] == '\n') {
            if (text.substr(i, 2) == "\r\n") ++i;
            out += "\r\n";
        } else {
            out += text[i] == '\0' ? ' ' : text[i];
        }
    }
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const std::string_view raw(reinterpret_cast<const char*>(data) + 2, size - 2);
    const std::string any = stuffed(raw, size);
    require(any == stuffed(raw, 1));
    require(any == stuffed(raw, data[0] + 1U));
    const std::size_t first = any.starts_with(".\r\n") ? 0 : any.find("\r\n.\r\n");
    require(first == (any.size() == 3 ? 0 : any.size() - 5));

    std::string text = strict(raw);
    const std::string wire = stuffed(text, data[0] + 1U);
    if (!text.empty() && !text.ends_with("\r\n")) text += "\r\n";
    BodyReader reader(BodyReader::Framing::dots, BodyLimits{.max_line = SIZE_MAX});
    std::string back;
    std::string_view rest = wire;
    bool ended = false;
    while (!rest.empty()) {
        require(!ended);
        std::string_view piece = rest.substr(0, data[1] + 1U);
        rest.remove_prefix(piece.size());
        while (!ended) {
            const auto got = reader.read(piece);
            if (got.kind == BodyReader::Kind::octets) back += got.bytes;
            if (got.kind == BodyReader::Kind::end) ended = true;
            if (got.kind == BodyReader::Kind::more) break;
        }
        if (ended) require(piece.empty());
    }
    require(ended && reader.fault() == BodyReader::Fault::none && back == text);
    return 0;
}
