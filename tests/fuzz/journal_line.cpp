// Lines of the journal as a damaged disk may hold them: read, selected and folded without harm;
// foreign text that is written is always read back.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "relay/event/journal_reader.hpp"
#include "relay/event/json.hpp"
#include "relay/event/trace.hpp"

using namespace postern::relay::event;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);

    const EventQuery query{.accounts = {"@example.net"}, .rcpts = {"b@example.org"}};
    TraceFold fold("R");
    std::string_view rest = text;
    while (!rest.empty()) {
        const auto end = std::min(rest.find('\n'), rest.size());
        if (const auto event = parse_journal_line(rest.substr(0, end))) {
            (void)matches(query, *event);
            fold.add(*event);
        }
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    (void)fold.result();

    Log log;
    log.text = text;
    std::string line;
    append_line(line, Event{.t = {}, .mono = {}, .seq = 1, .what = std::move(log)});
    if (line.find('\n') != line.size() - 1) std::abort();
    line.pop_back();
    if (!parse_journal_line(line)) std::abort();
    return 0;
}
