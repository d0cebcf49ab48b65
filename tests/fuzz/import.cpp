// Files of accounts in every format: the same accounts and faults however the file is cut, and
// nothing of an account that is not as the store wants it. First octet: the format.

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "auth/crypt_hash.hpp"
#include "auth/import_reader.hpp"

namespace {

using namespace postern::auth;

void require(bool what) {
    if (!what) std::abort();
}

struct Found {
    std::vector<ImportedAccount> accounts;
    std::vector<ImportFault> faults;
    std::size_t count = 0;
    std::size_t lines = 0;
    std::size_t passed_over = 0;
};

Found read(ImportFormat format, std::string_view text, std::size_t cut) {
    ImportReader reader(format, "example.net");
    Found out;
    for (std::size_t at = 0; at < text.size(); at += cut) {
        reader.feed(text.substr(at, cut));
        for (ImportedAccount& account : reader.take()) out.accounts.push_back(std::move(account));
    }
    reader.finish();
    for (ImportedAccount& account : reader.take()) out.accounts.push_back(std::move(account));
    out.faults = reader.faults().kept();
    out.count = reader.faults().count();
    out.lines = reader.lines();
    out.passed_over = reader.passed_over();
    return out;
}

void fits(const ImportedAccount& account) {
    require(account.line > 0);
    const auto again = account_name(account.name);
    require(again && *again == account.name);
    require(account.owned.everything || !account.owned.addresses.empty());
    if (const auto* const hash = std::get_if<HashProof>(&account.proof)) {
        const auto kind = crypt_kind(hash->crypt);
        require(kind && crypt_form(*kind, hash->crypt) == CryptForm::good);
    }
    if (const auto* const verifier = std::get_if<Verifier>(&account.proof)) {
        require(verifier->iterations >= min_iterations && verifier->iterations <= max_iterations);
        require(!verifier->salt.empty());
    }
    if (const auto* const cleartext = std::get_if<CleartextProof>(&account.proof))
        require(!cleartext->prepared.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    constexpr std::array formats = {ImportFormat::csv, ImportFormat::dovecot,
                                    ImportFormat::htpasswd, ImportFormat::sasldb,
                                    ImportFormat::shadow};
    const ImportFormat format = formats.at(data[0] % formats.size());
    const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
    const Found whole = read(format, text, text.size() + 1);
    for (const ImportedAccount& account : whole.accounts) fits(account);
    require(whole.faults.size() <= ImportFaults::most && whole.faults.size() <= whole.count);
    for (const ImportFault& fault : whole.faults)
        require(fault.line > 0 && !fault.what.empty() && !fault.right.empty());
    for (const std::size_t cut : {std::size_t{1}, std::size_t{7}}) {
        const Found part = read(format, text, cut);
        require(part.accounts.size() == whole.accounts.size() && part.count == whole.count);
        require(part.lines == whole.lines && part.passed_over == whole.passed_over);
        for (std::size_t i = 0; i < part.accounts.size(); ++i) {
            require(part.accounts[i].name == whole.accounts[i].name &&
                    part.accounts[i].line == whole.accounts[i].line &&
                    part.accounts[i].proof.index() == whole.accounts[i].proof.index());
        }
        for (std::size_t i = 0; i < part.faults.size(); ++i)
            require(part.faults[i].line == whole.faults[i].line &&
                    part.faults[i].what == whole.faults[i].what);
    }
    return 0;
}
