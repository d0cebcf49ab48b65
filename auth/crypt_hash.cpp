#include "auth/crypt_hash.hpp"

#include <algorithm>
#include <charconv>
#include <memory>
#include <new>
#include <string>

#include <crypt.h>

#include "auth/digest.hpp"

namespace postern::auth {
namespace {

constexpr std::size_t sha256_digits = 43;
constexpr std::size_t sha512_digits = 86;
constexpr std::size_t longest_salt = 16;  ///< crypt(3) cuts what is longer.
constexpr std::size_t bcrypt_digits = 53;
constexpr std::uint32_t min_crypt_rounds = 1000;  ///< crypt(3) takes so many where fewer are named.
constexpr unsigned min_bcrypt_cost = 4;

bool is_digit64(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '/';
}

bool all_digits64(std::string_view text) noexcept {
    return std::ranges::all_of(text, is_digit64);
}

/// Printable, and nothing that ends a salt or a field.
bool is_salt_octet(char c) noexcept {
    return c > ' ' && c <= '~' && c != '$' && c != ':' && c != '*' && c != '!' && c != '\\';
}

/// A number as crypt(3) writes it back: no sign, no leading zero.
std::optional<std::uint32_t> plain_number(std::string_view text) noexcept {
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || text.starts_with('0'))
        return std::nullopt;
    return value;
}

/// $5$[rounds=N$]SALT$HASH
CryptForm sha_form(std::string_view rest, std::size_t digits) noexcept {
    constexpr std::string_view rounds_mark = "rounds=";
    bool costly = false;
    if (rest.starts_with(rounds_mark)) {
        rest.remove_prefix(rounds_mark.size());
        const std::size_t end = rest.find('$');
        if (end == std::string_view::npos) return CryptForm::malformed;
        const std::string_view number = rest.substr(0, end);
        const auto rounds = plain_number(number);
        const bool is_number = !number.empty() && std::ranges::all_of(number, [](char c) {
            return c >= '0' && c <= '9';
        });
        if (!is_number || number.starts_with('0')) return CryptForm::malformed;
        costly = !rounds || *rounds > max_crypt_rounds;  // Unset: too large for any number.
        if (!costly && *rounds < min_crypt_rounds) return CryptForm::malformed;
        rest.remove_prefix(end + 1);
    }
    const std::size_t end = rest.find('$');
    if (end > longest_salt) return CryptForm::malformed;  // Or there is none.
    const std::string_view hash = rest.substr(end + 1);
    if (!std::ranges::all_of(rest.substr(0, end), is_salt_octet) || hash.size() != digits ||
        !all_digits64(hash))
        return CryptForm::malformed;
    return costly ? CryptForm::too_costly : CryptForm::good;
}

/// $2y$NN$ and 53 digits: 22 of salt, 31 of hash.
CryptForm bcrypt_form(std::string_view rest) noexcept {
    if (rest.size() != bcrypt_digits + 3 || rest[2] != '$' || !all_digits64(rest.substr(3)))
        return CryptForm::malformed;
    if (rest[0] < '0' || rest[0] > '9' || rest[1] < '0' || rest[1] > '9')
        return CryptForm::malformed;
    const auto cost = static_cast<unsigned>((rest[0] - '0') * 10 + (rest[1] - '0'));
    if (cost < min_bcrypt_cost || cost > 31) return CryptForm::malformed;
    return cost > max_bcrypt_cost ? CryptForm::too_costly : CryptForm::good;
}

}  // namespace

std::optional<CryptKind> crypt_kind(std::string_view hash) noexcept {
    if (hash.starts_with("$5$")) return CryptKind::sha256;
    if (hash.starts_with("$6$")) return CryptKind::sha512;
    if (hash.starts_with("$2a$") || hash.starts_with("$2b$") || hash.starts_with("$2y$"))
        return CryptKind::bcrypt;
    return std::nullopt;
}

CryptForm crypt_form(CryptKind kind, std::string_view hash) noexcept {
    if (crypt_kind(hash) != kind) return CryptForm::malformed;
    switch (kind) {
        case CryptKind::sha256:
            return sha_form(hash.substr(3), sha256_digits);
        case CryptKind::sha512:
            return sha_form(hash.substr(3), sha512_digits);
        case CryptKind::bcrypt:
            break;
    }
    return bcrypt_form(hash.substr(4));
}

bool crypt_matches(std::string_view hash, std::string_view password) noexcept {
    const auto kind = crypt_kind(hash);
    // What the file holds is not believed more than what was imported.
    if (!kind || crypt_form(*kind, hash) != CryptForm::good) return false;
    if (password.empty() || password.contains('\0')) return false;
    const std::unique_ptr<crypt_data> work(new (std::nothrow) crypt_data());
    if (!work) return false;
    std::string phrase(password);
    const std::string setting(hash);
    const char* const made =
        ::crypt_rn(phrase.c_str(), setting.c_str(), work.get(), sizeof(crypt_data));
    const bool right = made != nullptr && equal_in_constant_time(made, hash);
    wipe(phrase.data(), phrase.size());
    wipe(work.get(), sizeof(crypt_data));
    return right;
}

}  // namespace postern::auth
