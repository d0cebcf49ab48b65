#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace postern::relay::config {

/// The names of all keys as the environment's variables need them, made from the one table
/// (schema.hpp).
struct Key {
    enum class Kind : std::uint8_t {
        value,
        list,  ///< Of values: split at commas, TOML in brackets, or single entries by index.
        path,  ///< A value that names a file: no `_FILE` form.
        secret,
        table,
        tables,  ///< A list of tables, by index.
        map,     ///< Tables by name.
        later,   ///< Of a later version; what stands below it is not looked at.
    };
    std::string name;
    Kind kind = Kind::value;
    std::vector<Key> children;

    [[nodiscard]] std::string upper() const;  ///< As in a variable's name.
};

/// The whole configuration; made once.
[[nodiscard]] const Key& all_keys();

}  // namespace postern::relay::config
