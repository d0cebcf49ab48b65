#pragma once

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "auth/account_store.hpp"
#include "tests/catch.hpp"

namespace postern::auth::test {

/// A folder that goes with the test.
class Scratch {
  public:
    Scratch() {
        std::string name =
            (std::filesystem::temp_directory_path() / "postern-auth-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path_ = name;
    }
    ~Scratch() {
        std::error_code error;
        std::filesystem::remove_all(path_, error);
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    [[nodiscard]] std::filesystem::path operator/(std::string_view name) const {
        return path_ / name;
    }

  private:
    std::filesystem::path path_;
};

inline const Time noon =
    Time(std::chrono::sys_days(std::chrono::March / 2 / 2026)) + std::chrono::hours(12);

[[nodiscard]] inline StoreSettings settings_at(const std::filesystem::path& path) {
    StoreSettings settings;
    settings.path = path;
    settings.busy_timeout = std::chrono::milliseconds(50);
    return settings;
}

[[nodiscard]] inline std::unique_ptr<AccountStore> open_store(StoreSettings settings) {
    auto opened = AccountStore::open(std::move(settings));
    if (!opened) FAIL(opened.error().text);
    return std::move(*opened);
}

[[nodiscard]] inline NewAccount account_named(std::string_view name,
                                              std::string_view password = "pencil") {
    NewAccount account;
    account.name = name;
    if (!password.empty()) account.password = proto::Secret(password);
    return account;
}

}  // namespace postern::auth::test
