#include "auth/login_name.hpp"

#include "tests/catch.hpp"

namespace postern::auth {
namespace {

using namespace std::literals;

TEST_CASE("a label begins at the first separator behind the domain") {
    struct Row {
        std::string_view typed;
        char separator;
        std::string_view account;
        std::optional<std::string> label;
    };
    const Row rows[] = {
        {"ann@example.net", '+', "ann@example.net", {}},
        {"Ann@Example.NET+Phone", '+', "ann@example.net", "phone"},
        {"ann+tag@example.net", '+', "ann+tag@example.net", {}},
        {"ann+tag@example.net+phone", '+', "ann+tag@example.net", "phone"},
        {"ann@example.net#phone", '#', "ann@example.net", "phone"},
        {"ann@example.net+phone", '#', "", {}},  // No domain has a plus.
        {"ann@example.net+a+b", '+', "", {}},
        {"ann@example.net+", '+', "", {}},
        {"ann@example.net+-x", '+', "", {}},
        {"ann@example.net+a b", '+', "", {}},
        {"ann@[192.0.2.1]+phone", '+', "ann@[192.0.2.1]", "phone"},
        {"ann", '+', "ann", {}},
        {"ann+phone", '+', "ann+phone", {}},
    };
    for (const Row& row : rows) {
        INFO(row.typed);
        const LoginName name = parse_login(row.typed, row.separator);
        // Who has no account is nobody, whatever the name reads.
        if (!row.account.empty()) CHECK(name.account == row.account);
        CHECK(name.label == row.label);
    }
}

TEST_CASE("labels are short and plain") {
    CHECK(normalised_label("Work_Laptop-2.old") == "work_laptop-2.old");
    CHECK(normalised_label(std::string(64, 'a')) == std::string(64, 'a'));
    for (const std::string_view bad :
         {""sv, ".a"sv, "-a"sv, "_a"sv, "a b"sv, "a+b"sv, "a/b"sv, "a\0b"sv, "\xC3\xA9"sv}) {
        INFO(bad);
        CHECK_FALSE(normalised_label(bad));
    }
    CHECK_FALSE(normalised_label(std::string(65, 'a')));
}

}  // namespace
}  // namespace postern::auth
