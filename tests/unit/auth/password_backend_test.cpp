#include "auth/password_backend.hpp"

#include "auth/elsewhere.hpp"
#include "auth/sasl_library.hpp"
#include "scratch.hpp"
#include "tests/catch.hpp"

namespace postern::auth {
namespace {

TEST_CASE("a login name is one user of a back-end, or nobody there") {
    struct Row {
        std::string_view typed;
        const char* expected;  ///< Null: nobody.
    };
    const std::string longest(64, 'a');
    const std::string too_long(65, 'a');
    const std::string long_domain = "ann@" + std::string(60, 'a') + "." + std::string(60, 'b') +
                                    "." + std::string(60, 'c') + "." + std::string(63, 'd') +
                                    ".example";
    const std::string longest_name = longest + "@example.net";
    const std::string too_long_name = too_long + "@example.net";
    const Row rows[] = {
        {"ann@example.net", "ann@example.net"},
        {"Ann@Example.NET", "ann@example.net"},
        {"ann", "ann@home.example"},
        {"ANN", "ann@home.example"},
        {"_ann.b-c+d_1@example.net", "_ann.b-c+d_1@example.net"},
        {"ann@b\xC3\xBC"
         "cher.example",
         "ann@xn--bcher-kva.example"},
        {"\"ann\"@example.net", "ann@example.net"},  // Quoted without need.
        {longest_name, longest_name.c_str()},
        {too_long_name, nullptr},
        {long_domain, nullptr},
        {"", nullptr},
        {"@", nullptr},
        {"ann@", nullptr},
        {"@example.net", nullptr},
        {"ann@example.net@example.net", nullptr},
        {"-ann@example.net", nullptr},
        {".ann@example.net", nullptr},
        {"+ann@example.net", nullptr},
        {"ann.@example.net", nullptr},
        {"ann..b@example.net", nullptr},
        {"ann@[192.0.2.1]", nullptr},
        {"ann@exa_mple.net", nullptr},
        {"ann'@example.net", nullptr},
        {"ann*@example.net", nullptr},
        {"ann%@example.net", nullptr},
        {"ann#@example.net", nullptr},
        {"ann?@example.net", nullptr},
        {"ann/b@example.net", nullptr},
        {"ann=b@example.net", nullptr},
        {"ann,b@example.net", nullptr},
        {"ann\\@example.net", nullptr},
        {"\"a b\"@example.net", nullptr},
        {"\"a)(b\"@example.net", nullptr},
        {"\"a@b\"@example.net", nullptr},
        {"ann @example.net", nullptr},
        {"ann\x01@example.net", nullptr},
        {std::string_view("ann\0@example.net", 16), nullptr},
        {"ann\xFF@example.net", nullptr},
        {"\xC3\xA4nn@example.net", nullptr},
        {"ann+phone@example.net+phone", nullptr},
    };
    for (const Row& row : rows) {
        INFO(row.typed);
        const auto user = backend_user(row.typed, "home.example");
        CHECK((user ? user->address() : "nobody") == (row.expected ? row.expected : "nobody"));
    }
}

TEST_CASE("a store whose plug-in is not there is a fault that names the package") {
    const test::Scratch scratch;
    // A folder with the mechanisms alone.
    const std::filesystem::path folder = scratch / "sasl2";
    std::filesystem::create_directory(folder);
    bool any = false;
    for (const auto& lib : std::filesystem::directory_iterator("/usr/lib")) {
        const std::filesystem::path from = lib.path() / "sasl2";
        std::error_code error;
        for (std::filesystem::directory_iterator at(from, error), end; !error && at != end; ++at) {
            const std::string file = at->path().filename().string();
            if (file != "libscram.so" && file != "libplain.so" && file != "liblogin.so") continue;
            std::filesystem::create_symlink(at->path(), folder / file);
            any = true;
        }
    }
    REQUIRE(any);
    struct Row {
        const char* store;
        const char* package;
    };
    for (const Row& row :
         {Row{"sasldb", "libsasl2-modules-db"}, Row{"ldapdb", "libsasl2-modules-ldap"},
          Row{"sql", "libsasl2-modules-sql"}}) {
        const auto library = SaslLibrary::start(folder, {row.store, {}});
        REQUIRE(library.has_error());
        CHECK(library.error().code == AuthError::store_plugin_missing);
        CHECK(library.error().text.contains(row.package));
    }
    CHECK(SaslLibrary::start(folder).has_value());
}

TEST_CASE("what libpq reads between apostrophes is escaped, and only that") {
    ElsewhereSettings settings;
    settings.kind = "sql";
    settings.options = {
        {"sql_engine", "pgsql"}, {"sql_passwd", "it's \\ odd"}, {"sql_select", "SELECT '%u'"}};
    CHECK(sasl_store(settings).options.at("sql_passwd") == "it\\'s \\\\ odd");
    CHECK(sasl_store(settings).options.at("sql_select") == "SELECT '%u'");
    settings.options["sql_engine"] = "mysql";
    CHECK(sasl_store(settings).options.at("sql_passwd") == "it's \\ odd");
    settings.kind = "saslauthd";
    CHECK(sasl_store(settings).name.empty());
}

}  // namespace
}  // namespace postern::auth
