#pragma once

#include <filesystem>
#include <string>

#include "auth/error.hpp"
#include "auth/random.hpp"

namespace postern::auth {

/// Reads a key of 32 octets, or makes it (file 0600, its folder 0700, both synced) where there is
/// none.
[[nodiscard]] started<std::string> load_or_make_key(const std::filesystem::path& path,
                                                    const RandomBytes& random);

}  // namespace postern::auth
