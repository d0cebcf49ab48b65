#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "auth/import_reader.hpp"

namespace postern::auth {

inline constexpr std::size_t longest_import_record = std::size_t{64} * 1024;

/// Where parsers put what they find: names are made addresses, accounts are checked and kept.
class ImportSink {
  public:
    explicit ImportSink(std::string domain) : domain_(std::move(domain)) {}

    /// The fields of a record that a format has; what it has not is empty.
    struct Record {
        std::size_t line = 0;
        std::string_view name;
        std::string_view customer;
        std::string_view plan;
        std::vector<std::string> owns;
        std::vector<std::string> authzids;
    };
    /// Keeps the account, or adds a fault.
    void account(const Record& record, imported<ImportedProof> proof);
    void fault(std::size_t line, std::string what, std::string right) {
        faults.add(line, std::move(what), std::move(right));
    }

    std::vector<ImportedAccount> accounts;
    ImportFaults faults;
    std::size_t passed_over = 0;

  private:
    [[nodiscard]] imported<std::string> name_of(std::string_view text) const;

    std::string domain_;
    std::unordered_map<std::string, std::size_t> seen_;  ///< Name to line.
};

/// One format. Lines come without their ends, none longer than longest_import_record.
class ImportParser {
  public:
    explicit ImportParser(ImportSink& into) : sink_(into) {}
    virtual ~ImportParser() = default;
    ImportParser(const ImportParser&) = delete;
    ImportParser& operator=(const ImportParser&) = delete;

    virtual void line(std::size_t number, std::string_view text) = 0;
    /// A line was too long, and its fault told.
    virtual void lost(std::size_t) {}
    virtual void end() {}

  protected:
    ImportSink& sink_;
};

/// csv
[[nodiscard]] std::unique_ptr<ImportParser> make_csv_parser(ImportSink& sink);
/// dovecot, htpasswd, shadow: fields between colons, the first two of them name and password.
[[nodiscard]] std::unique_ptr<ImportParser> make_colon_parser(ImportSink& sink,
                                                              ImportFormat format);
[[nodiscard]] std::unique_ptr<ImportParser> make_sasldb_parser(ImportSink& sink);

}  // namespace postern::auth
