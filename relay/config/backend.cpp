#include "relay/config/backend.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>

#include "relay/config/reading.hpp"

namespace postern::relay::config {
namespace {

struct Option {
    std::string_view key;
    AuthBackend backend;
};
constexpr std::array backend_options = {
    Option{"saslauthd_path", AuthBackend::saslauthd},
    Option{"sasldb_path", AuthBackend::sasldb},
    Option{"ldapdb_uri", AuthBackend::ldapdb},
    Option{"ldapdb_id", AuthBackend::ldapdb},
    Option{"ldapdb_pw", AuthBackend::ldapdb},
    Option{"ldapdb_pw_file", AuthBackend::ldapdb},
    Option{"ldapdb_mech", AuthBackend::ldapdb},
    Option{"ldapdb_starttls", AuthBackend::ldapdb},
    Option{"ldapdb_rc", AuthBackend::ldapdb},
    Option{"sql_engine", AuthBackend::sql},
    Option{"sql_hostnames", AuthBackend::sql},
    Option{"sql_user", AuthBackend::sql},
    Option{"sql_passwd", AuthBackend::sql},
    Option{"sql_passwd_file", AuthBackend::sql},
    Option{"sql_database", AuthBackend::sql},
    Option{"sql_select", AuthBackend::sql},
    Option{"sql_usessl", AuthBackend::sql},
};

std::string path(std::string_view key) {
    return fmt::format("auth.options.{}", key);
}

/// Those that ask no password of anybody: they are whatever the back-end is.
bool needs_no_password(std::string_view mechanism) {
    return mechanism == "EXTERNAL" || mechanism == "OAUTHBEARER" || mechanism == "XOAUTH2";
}

/// Cyrus' plug-in reads past the end of a list that ends in a comma, and knows a port by its colon.
bool is_host_list(std::string_view hosts) {
    bool first = true;
    for (;;) {
        const auto comma = hosts.find(',');
        const std::string_view one = hosts.substr(0, comma);
        if (one.empty()) return false;
        if (!first && std::isalnum(static_cast<unsigned char>(one.front())) == 0) return false;
        if (comma == std::string_view::npos) return true;
        hosts.remove_prefix(comma + 1);
        first = false;
    }
}

void look_at(const std::vector<std::string>& mechanisms, AuthBackend backend, const char* key,
             const KeysGiven& keys) {
    const std::vector<std::string> served = mechanisms_of(backend);
    const std::vector<std::string_view> words(served.begin(), served.end());
    for (const std::string& mechanism : mechanisms) {
        if (needs_no_password(mechanism) || std::ranges::find(served, mechanism) != served.end())
            continue;
        keys.fault(key,
                   fmt::format("{} cannot be served by the back-end {}, which never shows what "
                               "it needs; write {}",
                               in_quotes(mechanism), in_quotes(name(backend)), any_of(words)));
    }
}

}  // namespace

std::string_view name(AuthBackend backend) noexcept {
    switch (backend) {
        case AuthBackend::embedded:
            return "embedded";
        case AuthBackend::saslauthd:
            return "saslauthd";
        case AuthBackend::sasldb:
            return "sasldb";
        case AuthBackend::ldapdb:
            return "ldapdb";
        case AuthBackend::sql:
            break;
    }
    return "sql";
}

std::vector<std::string> mechanisms_of(AuthBackend backend) {
    switch (backend) {
        case AuthBackend::saslauthd:
        case AuthBackend::ldapdb:
            return {"PLAIN", "LOGIN"};
        case AuthBackend::sasldb:
        case AuthBackend::sql:
            return {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"};
        case AuthBackend::embedded:
            break;
    }
    return Auth{}.mechanisms;
}

void finish_backend(Auth& auth, const std::vector<Listen>& listeners, const KeysGiven& keys) {
    for (const Option& option : backend_options) {
        if (option.backend == auth.backend || !keys.given(path(option.key))) continue;
        keys.notice(path(option.key),
                    fmt::format("has no effect: it is of the back-end {}, and auth.backend is {}",
                                in_quotes(name(option.backend)), in_quotes(name(auth.backend))));
    }
    if (auth.backend == AuthBackend::embedded) return;
    if (keys.given("auth.mechanisms")) {
        look_at(auth.mechanisms, auth.backend, "auth.mechanisms", keys);
    } else {
        auth.mechanisms = mechanisms_of(auth.backend);
    }
    for (const Listen& listener : listeners)
        look_at(listener.mechanisms, auth.backend, "server.listen", keys);
    const AuthOptions& o = auth.options;
    const auto needs = [&](std::string_view key, std::string_view text) {
        if (keys.strict && !keys.given(path(key))) keys.fault(path(key), std::string(text));
    };
    if (auth.backend == AuthBackend::ldapdb) {
        needs("ldapdb_uri",
              "not set; write where the server is, like \"ldapi:///\" or "
              "\"ldaps://ldap.example.net\"");
        needs("ldapdb_id",
              "not set; write our own name there, with EXTERNAL, too: it is looked up to tell a "
              "user who is not there from a server that is ill");
        needs("ldapdb_mech",
              "not set; write how to log in there, like \"EXTERNAL\" or "
              "\"DIGEST-MD5\"");
    }
    if (auth.backend != AuthBackend::sql) return;
    needs("sql_engine", "not set; write \"pgsql\", \"mysql\" or \"sqlite3\"");
    needs("sql_database", "not set; write the database's name");
    needs("sql_select",
          "not set; write the query for a password, like \"SELECT password FROM "
          "users WHERE name = '%u' AND domain = '%r'\"");
    if (!o.sql_select.empty() && !o.sql_select.contains("%u")) {
        keys.fault(path("sql_select"),
                   "asks for nobody; write '%u' where the name's local part belongs and '%r' where "
                   "its domain does");
    }
    if (!o.sql_hostnames.empty() && !is_host_list(o.sql_hostnames)) {
        keys.fault(path("sql_hostnames"),
                   fmt::format("{} is no list of hosts; write them with commas and without spaces, "
                               "like \"db1.example.net:5432,db2.example.net\"",
                               in_quotes(o.sql_hostnames)));
    }
}

}  // namespace postern::relay::config
