#include "relay/session/pseudonyms.hpp"

#include <set>
#include <string>

#include "tests/catch.hpp"

using postern::relay::Pseudonyms;

TEST_CASE("a pseudonym is one customer's, under one key") {
    const Pseudonyms names(std::string(32, 'k'));
    struct Row {
        const char* customer;
        const char* account;
        const char* same_as;  ///< A customer; empty: nobody's above.
    };
    const Row table[] = {
        {"shop", "ann@example.net", ""},      {"shop", "bob@example.net", "shop"},
        {"Shop", "ann@example.net", ""},      {"", "ann@example.net", ""},
        {"", "bob@example.net", ""},          {"ann@example.net", "x@example.net", ""},
        {"account ann@example.net", "x", ""}, {"", "shop", ""},
    };
    std::set<std::string> seen;
    for (const Row& row : table) {
        CAPTURE(row.customer, row.account);
        const std::string name = names.of(row.customer, row.account);
        CHECK(name.size() == 16);
        CHECK(name.find_first_not_of("0123456789abcdef") == std::string::npos);
        if (*row.same_as != '\0') {
            CHECK(name == names.of(row.same_as, ""));
        } else {
            CHECK(seen.insert(name).second);
        }
        CHECK(name == names.of(row.customer, row.account));
        CHECK(name != Pseudonyms(std::string(32, 'l')).of(row.customer, row.account));
    }
}
