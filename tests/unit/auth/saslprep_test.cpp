#include "auth/saslprep.hpp"

#include "tests/catch.hpp"

namespace postern::auth {
namespace {

struct Row {
    const char* what;
    std::string_view in;
    std::optional<std::string> out;
};

TEST_CASE("SASLprep gives the examples of RFC 4013 section 3, and the profile's tables") {
    const Row rows[] = {
        {"soft hyphen goes", "I\xC2\xADX", "IX"},
        {"plain text stays", "user", "user"},
        {"case stays", "USER", "USER"},
        {"feminine ordinal", "\xC2\xAA", "a"},
        {"Roman nine", "\xE2\x85\xA8", "IX"},
        {"bell is prohibited", "\x07", std::nullopt},
        {"bidi: Arabic before a digit", "\xD8\xA7\x31", std::nullopt},
        {"bidi: Arabic alone", "\xD8\xA7\xD8\xA8", "\xD8\xA7\xD8\xA8"},
        {"no-break space is a space",
         "a\xC2\xA0"
         "b",
         "a b"},
        {"ideographic space",
         "a\xE3\x80\x80"
         "b",
         "a b"},
        {"spaces stay", "  a  ", "  a  "},
        {"combining accent composes", "e\xCC\x81", "\xC3\xA9"},
        {"composed stays", "\xC3\xA9", "\xC3\xA9"},
        {"full width", "\xEF\xBC\xA1", "A"},
        {"long ligature", "\xEF\xB7\xBA",
         "\xD8\xB5\xD9\x84\xD9\x89 \xD8\xA7\xD9\x84\xD9\x84\xD9\x87 "
         "\xD8\xB9\xD9\x84\xD9\x8A\xD9\x87 "
         "\xD9\x88\xD8\xB3\xD9\x84\xD9\x85"},
        {"zero width joiner goes",
         "a\xE2\x80\x8D"
         "b",
         "ab"},
        {"DEL", "a\x7F", std::nullopt},
        {"C1 control", "a\xC2\x80", std::nullopt},
        {"private use", "\xEE\x80\x80", std::nullopt},
        {"non-character", "\xEF\xB7\x90", std::nullopt},
        {"object replacement", "\xEF\xBF\xBC", std::nullopt},
        {"right-to-left override", "a\xE2\x80\xAE", std::nullopt},
        {"empty", "", ""},
    };
    for (const Row& row : rows) {
        INFO(row.what);
        CHECK(saslprep(row.in, PrepUse::stored) == row.out);
        CHECK(saslprep(row.in, PrepUse::query) == row.out);
    }
}

TEST_CASE("code points newer than Unicode 3.2 may be asked for, not stored") {
    const std::string_view face = "\xF0\x9F\x98\x80";
    CHECK_FALSE(saslprep(face, PrepUse::stored));
    CHECK(saslprep(face, PrepUse::query) == std::string(face));
}

TEST_CASE("SASLprep refuses what is no UTF-8, and what is very long") {
    for (const std::string_view bad :
         {"\xFF", "a\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\x80"}) {
        CHECK_FALSE(saslprep(bad, PrepUse::query));
        CHECK_FALSE(valid_utf8(bad));
    }
    CHECK_FALSE(saslprep(std::string(8193, 'a'), PrepUse::query));
    CHECK(valid_utf8("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"));
}

TEST_CASE("login names ignore case in both parts") {
    CHECK(normalised_login("Ann@Example.NET") == normalised_login("ann@example.net"));
    CHECK(normalised_login("ann@b\xC3\xBC"
                           "cher.example") == normalised_login("ann@xn--bcher-kva.example"));
    CHECK(normalised_login(" ann@example.net") != normalised_login("ann@example.net"));
    CHECK_FALSE(normalised_login(""));
    CHECK_FALSE(normalised_login("ann\x07@example.net"));
}

}  // namespace
}  // namespace postern::auth
