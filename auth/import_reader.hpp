#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/account.hpp"
#include "auth/import_secret.hpp"

namespace postern::auth {

enum class ImportFormat : std::uint8_t {
    csv,       ///< RFC 4180 with a header line
    dovecot,   ///< passwd-file
    htpasswd,  ///< NAME:HASH
    sasldb,    ///< what db_dump writes of sasldb2, with -p or without
    shadow,    ///< NAME:HASH:...
};
[[nodiscard]] std::optional<ImportFormat> parse_import_format(std::string_view name) noexcept;

/// An account as a file has it; everything normalised and checked as far as the file alone tells.
struct ImportedAccount {
    std::size_t line = 0;  ///< From 1; of a record over several lines its first.
    std::string name;
    std::string customer;
    std::string plan;
    Owned owned;  ///< Its own address, too.
    std::vector<std::string> authzids;
    ImportedProof proof;
};

struct ImportFault {
    std::size_t line = 0;
    std::string what;
    std::string right;
};

/// Faults as far as they are kept: whoever has a thousand is helped by the first ones.
class ImportFaults {
  public:
    static constexpr std::size_t most = 100;
    void add(std::size_t line, std::string what, std::string right);
    void add(std::size_t line, ImportWrong wrong) {
        add(line, std::move(wrong.what), std::move(wrong.right));
    }
    /// In the order of lines.
    [[nodiscard]] const std::vector<ImportFault>& kept() const noexcept { return kept_; }
    [[nodiscard]] std::size_t count() const noexcept { return count_; }

  private:
    std::vector<ImportFault> kept_;
    std::size_t count_ = 0;
};

/// Reads a file of accounts that comes in pieces, cut anywhere. What is wrong with a line is a
/// fault and the next line is read all the same. Bounds: 64 KiB a record; accounts are the caller's
/// to count.
class ImportReader {
  public:
    /// `domain`: what is put behind names that are no addresses; empty: those are faults.
    ImportReader(ImportFormat format, std::string domain);
    ~ImportReader();
    ImportReader(const ImportReader&) = delete;
    ImportReader& operator=(const ImportReader&) = delete;

    void feed(std::string_view octets);
    /// The file's end.
    void finish();
    /// What was read since the last call.
    [[nodiscard]] std::vector<ImportedAccount> take();
    [[nodiscard]] ImportFaults& faults() noexcept;
    [[nodiscard]] std::size_t lines() const noexcept;
    /// Records that are none of an account: comments, other properties of sasldb.
    [[nodiscard]] std::size_t passed_over() const noexcept;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace postern::auth
