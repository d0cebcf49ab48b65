#pragma once

#include <string>

namespace postern::proto {

/// Overwrites all that `text` holds or held in its storage, and empties it. Not optimised away.
inline void wipe(std::string& text) noexcept {
    text.resize(text.capacity());
    volatile char* p = text.data();
    for (std::size_t i = 0; i < text.size(); ++i) p[i] = 0;
    text.clear();
}

}  // namespace postern::proto
