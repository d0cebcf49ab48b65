#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "auth/import_reader.hpp"

namespace postern::relay::admin {

/// A file of accounts as far as it has come.
struct Import {
    Import(auth::ImportFormat from, const std::string& domain)
        : format(from), reader(from, domain) {}

    std::string id;
    auth::ImportFormat format;
    std::string format_name;
    bool dry_run = false;
    auth::ImportReader reader;
    std::vector<auth::ImportedAccount> accounts;
    std::array<std::size_t, std::variant_size_v<auth::ImportedProof>> kinds{};  ///< As it came.
    std::uint64_t octets = 0;
};

/// The import under way between two requests: a file comes in parts, for it may be longer than a
/// body. In memory alone, so that one that was never ended leaves nothing behind; one at a time,
/// whatever it holds is bounded. Thread-safe.
class ImportDesk {
  public:
    using Time = std::chrono::system_clock::time_point;
    static constexpr std::uint64_t most_octets = 128ULL << 20U;
    static constexpr std::size_t most_accounts = 1'000'000;
    static constexpr std::chrono::seconds patience{60};  ///< For the next part to come.

    /// Until it is given back, or the claim goes: then the import has ended.
    class Claim {
      public:
        Claim(ImportDesk& desk, std::unique_ptr<Import> file)
            : desk_(&desk), file_(std::move(file)) {}
        Claim(Claim&& other) noexcept
            : desk_(std::exchange(other.desk_, nullptr)), file_(std::move(other.file_)) {}
        Claim& operator=(Claim&&) = delete;
        Claim(const Claim&) = delete;
        Claim& operator=(const Claim&) = delete;
        ~Claim();
        [[nodiscard]] Import& operator*() const noexcept { return *file_; }
        [[nodiscard]] Import* operator->() const noexcept { return file_.get(); }
        /// It waits for its next part.
        void give_back(Time now);

      private:
        ImportDesk* desk_;
        std::unique_ptr<Import> file_;
    };

    /// Gives it an id. Unset: another one is under way.
    [[nodiscard]] std::optional<Claim> begin(std::unique_ptr<Import> file, Time now);
    /// Unset: none of that id waits for a part.
    [[nodiscard]] std::optional<Claim> resume(std::string_view id, Time now);
    /// Forgets one that waited too long.
    void expire(Time now);

  private:
    void expire_locked(Time now);

    std::mutex mutex_;
    std::unique_ptr<Import> waiting_;
    Time since_;
    bool busy_ = false;  ///< It is claimed.
};

}  // namespace postern::relay::admin
