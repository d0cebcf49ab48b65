// Hashes of crypt(3): their form, their cost, their check.
#include "auth/crypt_hash.hpp"

#include <string>

#include "crypt_samples.hpp"
#include "tests/catch.hpp"

namespace postern::auth {
namespace {

std::string form(std::string_view hash) {
    const auto kind = crypt_kind(hash);
    if (!kind) return "unknown";
    switch (crypt_form(*kind, hash)) {
        case CryptForm::good:
            return "good";
        case CryptForm::malformed:
            return "malformed";
        case CryptForm::too_costly:
            return "too costly";
    }
    return "?";
}

/// The hash behind a setting of as many characters.
std::string filled(std::string_view setting, std::size_t count) {
    return std::string(setting) + std::string(count, 'a');
}

TEST_CASE("every kind of hash is right for its password and for no other") {
    for (const std::string_view hash :
         {test::sha512_crypt, test::sha512_crypt_rounds, test::sha256_crypt, test::bcrypt_a,
          test::bcrypt_b, test::bcrypt_y}) {
        INFO(hash);
        CHECK(form(hash) == "good");
        CHECK(crypt_matches(hash, "pencil"));
        CHECK_FALSE(crypt_matches(hash, "Pencil"));
        CHECK_FALSE(crypt_matches(hash, ""));
        CHECK_FALSE(crypt_matches(hash, "pencil "));
        // crypt(3) itself ends at a NUL.
        CHECK_FALSE(crypt_matches(hash, std::string_view("pencil\0", 7)));
        CHECK_FALSE(crypt_matches(hash, std::string_view("pencil\0x", 8)));
        CHECK_FALSE(crypt_matches(hash, std::string(2000, 'p')));
        CHECK_FALSE(crypt_matches(hash.substr(0, hash.size() - 1), "pencil"));
        CHECK_FALSE(crypt_matches(std::string(hash) + "a", "pencil"));
    }
}

TEST_CASE("the form and the cost of a hash are judged before anything is computed") {
    const struct {
        std::string hash;
        std::string_view expected;
    } table[] = {
        {filled("$6$salt$", 86), "good"},
        {filled("$6$$", 86), "good"},
        {filled("$6$0123456789abcdef$", 86), "good"},
        {filled("$6$0123456789abcdefg$", 86), "malformed"},
        {filled("$6$salt$", 85), "malformed"},
        {filled("$6$salt$", 87), "malformed"},
        {filled("$6$salt", 86), "malformed"},
        {filled("$6$sa lt$", 86), "malformed"},
        {filled("$6$sa:lt$", 86), "malformed"},
        {filled("$6$salt$", 85) + "!", "malformed"},
        {filled("$6$rounds=1000$salt$", 86), "good"},
        {filled("$6$rounds=1000000$salt$", 86), "good"},
        {filled("$6$rounds=1000001$salt$", 86), "too costly"},
        {filled("$6$rounds=999999999$salt$", 86), "too costly"},
        {filled("$6$rounds=99999999999999999999$salt$", 86), "too costly"},
        {filled("$6$rounds=999$salt$", 86), "malformed"},
        {filled("$6$rounds=05000$salt$", 86), "malformed"},
        {filled("$6$rounds=-5000$salt$", 86), "malformed"},
        {filled("$6$rounds=$salt$", 86), "malformed"},
        {filled("$6$rounds=5000", 86), "malformed"},
        {filled("$5$salt$", 43), "good"},
        {filled("$5$salt$", 86), "malformed"},
        {filled("$5$rounds=999999999$salt$", 43), "too costly"},
        {filled("$2y$10$", 53), "good"},
        {filled("$2y$14$", 53), "good"},
        {filled("$2y$15$", 53), "too costly"},
        {filled("$2b$31$", 53), "too costly"},
        {filled("$2b$32$", 53), "malformed"},
        {filled("$2b$03$", 53), "malformed"},
        {filled("$2b$1x$", 53), "malformed"},
        {filled("$2b$9$", 54), "malformed"},
        {filled("$2b$10$", 52), "malformed"},
        {filled("$2x$10$", 53), "unknown"},
        {"$1$salt$aaaaaaaaaaaaaaaaaaaaaa", "unknown"},
        {"$y$j9T$salt$aaaa", "unknown"},
        {"", "unknown"},
        {"$6$", "malformed"},
        {"$2y$", "malformed"},
    };
    for (const auto& [hash, expected] : table) {
        INFO(hash);
        CHECK(form(hash) == expected);
        if (expected != "good") CHECK_FALSE(crypt_matches(hash, "pencil"));
    }
    CHECK(crypt_form(CryptKind::sha256, test::sha512_crypt) == CryptForm::malformed);
}

}  // namespace
}  // namespace postern::auth
