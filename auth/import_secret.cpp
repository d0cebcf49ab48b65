#include "auth/import_secret.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include <fmt/format.h>
#include <boost/system/system_error.hpp>

#include "auth/crypt_hash.hpp"
#include "auth/saslprep.hpp"
#include "proto/base64.hpp"

namespace postern::auth {
namespace {

constexpr std::string_view what_is_taken =
    "give {SHA512-CRYPT}, {SHA256-CRYPT}, {BLF-CRYPT} or {SCRAM-SHA-256} and the hash, or {PLAIN} "
    "and the password; ! for none yet";
constexpr std::size_t least_salt_octets = 8;

// Known well enough to be named: a secret that merely begins with a brace is not shown.
constexpr std::array<std::string_view, 31> refused_schemes = {
    "ARGON2I",  "ARGON2ID", "CRAM-MD5",  "DES-CRYPT", "DIGEST-MD5",  "HMAC-MD5", "LANMAN",
    "LDAP-MD5", "LM",       "MD4",       "MD5",       "MD5-CRYPT",   "NTLM",     "OTP",
    "PBKDF2",   "PKCS5S2",  "PLAIN-MD4", "PLAIN-MD5", "PLAIN-TRUNC", "RPA",      "SCRAM-SHA-1",
    "SHA",      "SHA1",     "SHA256",    "SHA512",    "SKEY",        "SMD5",     "SSHA",
    "SSHA256",  "SSHA512",  "YESCRYPT"};

struct BareHash {
    std::string_view start;
    std::string_view name;
};
constexpr std::array<BareHash, 10> refused_hashes = {{{"$1$", "MD5-crypt ($1$)"},
                                                      {"$2x$", "a broken bcrypt ($2x$)"},
                                                      {"$7$", "scrypt ($7$)"},
                                                      {"$apr1$", "Apache's MD5 ($apr1$)"},
                                                      {"$argon2", "Argon2"},
                                                      {"$gy$", "gost-yescrypt ($gy$)"},
                                                      {"$md5", "Solaris' MD5"},
                                                      {"$sha1$", "SHA1-crypt ($sha1$)"},
                                                      {"$y$", "yescrypt ($y$)"},
                                                      {"_", "BSDi-crypt"}}};

ImportWrong wrong(std::string what, std::string_view right = what_is_taken) {
    return {std::move(what), std::string(right)};
}

std::string upper(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    return out;
}

imported<ImportedProof> read_crypt(CryptKind kind, std::string_view hash) {
    switch (crypt_form(kind, hash)) {
        case CryptForm::good:
            return ImportedProof(HashProof{std::string(hash)});
        case CryptForm::too_costly:
            return wrong(kind == CryptKind::bcrypt ? "the hash costs too much to check"
                                                   : "the hash has too many rounds to check",
                         kind == CryptKind::bcrypt
                             ? fmt::format("a cost of {} at most", max_bcrypt_cost)
                             : fmt::format("{} rounds at most", max_crypt_rounds));
        case CryptForm::malformed:
            break;
    }
    switch (kind) {
        case CryptKind::sha256:
            return wrong("the hash is damaged", "$5$, salt, $ and 43 characters");
        case CryptKind::sha512:
            return wrong("the hash is damaged", "$6$, salt, $ and 86 characters");
        case CryptKind::bcrypt:
            break;
    }
    return wrong("the hash is damaged", "$2y$ (or $2a$, $2b$), two digits, $ and 53 characters");
}

std::optional<Digest> read_digest(std::string_view text) {
    const auto octets = proto::base64_decode(text);
    Digest out{};
    if (!octets || octets->size() != out.size()) return std::nullopt;
    std::ranges::copy(*octets, out.begin());
    return out;
}

/// The part before the separator; what is left stays in `rest`.
std::string_view take(std::string_view& rest, char separator) {
    const std::size_t end = rest.find(separator);
    const std::string_view part = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    return part;
}

/// Dovecot's `ITERATIONS,SALT,STORED,SERVER`, or RFC 5803's `ITERATIONS:SALT$STORED:SERVER`.
imported<ImportedProof> read_scram(std::string_view text) {
    constexpr std::string_view rfc5803 = "SCRAM-SHA-256$";
    if (text.starts_with(rfc5803)) text.remove_prefix(rfc5803.size());
    const bool dovecot = text.contains(',');
    std::string_view rest = text;
    const std::string_view rounds = take(rest, dovecot ? ',' : ':');
    const auto salt = proto::base64_decode(take(rest, dovecot ? ',' : '$'));
    const auto stored = read_digest(take(rest, dovecot ? ',' : ':'));
    const auto server = read_digest(rest);
    unsigned iterations = 0;
    const auto [end, error] =
        std::from_chars(rounds.data(), rounds.data() + rounds.size(), iterations);
    const bool number = error == std::errc{} && end == rounds.data() + rounds.size();
    if (!number || !salt || !stored || !server) {
        return wrong("the SCRAM-SHA-256 verifier is damaged",
                     "iterations, salt, StoredKey and ServerKey, the last three in base64: "
                     "{SCRAM-SHA-256}4096,SALT,STORED,SERVER or "
                     "SCRAM-SHA-256$4096:SALT$STORED:SERVER");
    }
    if (iterations < min_iterations || iterations > max_iterations) {
        return wrong(fmt::format("the SCRAM-SHA-256 verifier has {} iterations", iterations),
                     fmt::format("{} to {}", min_iterations, max_iterations));
    }
    if (salt->size() < least_salt_octets || salt->size() > max_salt_octets) {
        return wrong(fmt::format("the SCRAM-SHA-256 verifier's salt has {} octets", salt->size()),
                     fmt::format("{} to {}", least_salt_octets, max_salt_octets));
    }
    Verifier verifier;
    verifier.salt = *salt;
    verifier.iterations = iterations;
    verifier.stored_key = *stored;
    verifier.server_key = *server;
    return ImportedProof(std::move(verifier));
}

imported<ImportedProof> read_bare(std::string_view field) {
    if (const auto kind = crypt_kind(field)) return read_crypt(*kind, field);
    if (field.starts_with("SCRAM-SHA-256$")) return read_scram(field);
    for (const BareHash& hash : refused_hashes) {
        if (field.starts_with(hash.start))
            return wrong(fmt::format("{} is no hash that is taken", hash.name));
    }
    return wrong("there is no hash that is known");
}

imported<ImportedProof> read_scheme(std::string_view name, std::string_view text) {
    if (name == "PLAIN" || name == "CLEARTEXT" || name == "CLEAR") return read_cleartext(text);
    if (name == "SHA512-CRYPT") return read_crypt(CryptKind::sha512, text);
    if (name == "SHA256-CRYPT") return read_crypt(CryptKind::sha256, text);
    if (name == "BLF-CRYPT") return read_crypt(CryptKind::bcrypt, text);
    if (name == "SCRAM-SHA-256") return read_scram(text);
    if (name == "CRYPT") return read_bare(text);
    // Dovecot names the encoding behind a dot.
    const std::string_view base = name.substr(0, name.find('.'));
    if (std::ranges::find(refused_schemes, base) != refused_schemes.end())
        return wrong(fmt::format("{{{}}} is no scheme that is taken", base));
    return wrong("the scheme in braces is not known");
}

}  // namespace

void throw_exception_from_error(const ImportWrong& wrong, const boost::source_location& /*where*/) {
    throw boost::system::system_error(
        boost::system::errc::make_error_code(boost::system::errc::invalid_argument), wrong.what);
}

imported<ImportedProof> read_secret(std::string_view field) {
    if (field.empty()) return wrong("there is no password");
    if (field.starts_with('!') || field.starts_with('*')) return ImportedProof(LockedProof{});
    if (!field.starts_with('{')) return read_bare(field);
    const std::size_t end = field.find('}');
    if (end == std::string_view::npos) return wrong("the scheme has no closing brace");
    return read_scheme(upper(field.substr(1, end - 1)), field.substr(end + 1));
}

imported<ImportedProof> read_cleartext(std::string_view password) {
    // As a query: what a mail program of today can type was right where it comes from, too.
    const auto prepared = saslprep(password, PrepUse::query);
    if (!prepared || prepared->empty() || password.size() > max_password_octets) {
        return wrong("the password cannot be used",
                     "1 to 1024 octets of UTF-8 without control or private characters");
    }
    return ImportedProof(CleartextProof{proto::Secret(*prepared)});
}

}  // namespace postern::auth
