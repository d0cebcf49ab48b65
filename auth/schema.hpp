#pragma once

#include "auth/error.hpp"
#include "auth/sqlite.hpp"

namespace postern::auth {

inline constexpr std::int64_t schema_version = 5;

/// Checks the file's pages and brings its schema (user_version) up to schema_version, each step
/// whole or not at all. Faults: store_locked, store_damaged, store_newer_schema, store_io.
[[nodiscard]] started<void> prepare_schema(Database& database, const std::filesystem::path& path);

}  // namespace postern::auth
