// Windows of limits: what is read is in range, and reads the same from the text that it writes.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "policy/source.hpp"
#include "policy/window.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto window = postern::policy::parse_window(text)) {
        if (window->amount == 0 || window->period.count() <= 0) std::abort();
        if (window->refill_time(window->amount) > window->period) std::abort();
        const auto again = postern::policy::parse_window(window->text());
        if (!again || *again != *window) std::abort();
    }
    const auto source = postern::policy::canonical_source(text);
    if (source.size() > 64 || postern::policy::canonical_source(source) != source) std::abort();
    return 0;
}
