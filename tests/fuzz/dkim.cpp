// A message taken apart for its signature and its relaxed form: the same however it was cut, as a
// plain reading of the rules has it, and a form that stays as it is.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "proto/dkim.hpp"
#include "proto/dkim_text.hpp"

namespace {

using namespace postern::proto;

void require(bool what) {
    if (!what) std::abort();
}

class Gathered final : public OctetSink {
  public:
    void take(std::string_view octets) override { text += octets; }
    std::string text;
};

struct Split {
    std::string header, body;
    bool operator==(const Split&) const = default;
};

Split split(std::string_view message, std::size_t cut) {
    Gathered out;
    SigningReader reader(out);
    while (!message.empty()) {
        reader.feed(message.substr(0, cut));
        message.remove_prefix(std::min(cut, message.size()));
    }
    reader.finish();
    return {reader.header(), out.text};
}

std::string relaxed(std::string_view body) {
    Gathered out;
    RelaxedBody canonical(out);
    canonical.feed(body);
    canonical.finish();
    return out.text;
}

/// RFC 6376 3.4.4, line by line.
std::string plainly(std::string_view body) {
    std::string out;
    while (!body.empty()) {
        const std::size_t end = std::min(body.find("\r\n"), body.size());
        std::string line;
        for (const char c : body.substr(0, end)) {
            const bool space = c == ' ' || c == '\t';
            if (!space || !line.ends_with(' ')) line += space ? ' ' : c;
        }
        if (line.ends_with(' ')) line.pop_back();
        out += line + "\r\n";
        body.remove_prefix(std::min(end + 2, body.size()));
    }
    while (out.ends_with("\r\n\r\n")) out.resize(out.size() - 2);
    return out == "\r\n" ? "" : out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 1) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    const Split whole = split(text, size);
    require(whole == split(text, 1));
    require(whole == split(text, data[0] + 1U));

    // The header section ends at the first empty line.
    const std::string_view header = whole.header;
    require(text.starts_with(header));
    const std::string_view rest = text.substr(header.size());
    require(rest.empty() || rest.starts_with("\r\n"));
    require(whole.body == plainly(rest.empty() ? rest : rest.substr(2)));
    require(whole.body.empty() || whole.body.ends_with("\r\n"));
    require(relaxed(whole.body) == whole.body);

    const auto fields = signed_fields(header);
    if (!fields) return 0;
    // Each name, and the few that are sealed.
    require(fields->names.size() <= signed_fields_limit + 10);
    const std::string field = unsigned_dkim_field({.algorithm = DkimAlgorithm::rsa,
                                                   .domain = "example.net",
                                                   .selector = "s",
                                                   .unix_seconds = 1,
                                                   .body_hash = "x",
                                                   .names = fields->names});
    const std::string hashed = dkim_hash_input(*fields, field);
    require(hashed.starts_with(fields->canonical) && hashed.ends_with(" b="));
    require(fields->canonical.find("  ") == std::string::npos);
    require(dkim_field(field, "signature").ends_with("\r\n"));
    return 0;
}
