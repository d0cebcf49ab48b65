#include "relay/serve/elsewhere.hpp"

#include "relay/config/backend.hpp"
#include "relay/config/names.hpp"

namespace postern::relay {

namespace {

using config::AuthBackend;
using config::AuthOptions;

std::string_view name(config::SqlEngine engine) {
    switch (engine) {
        case config::SqlEngine::pgsql:
            return "pgsql";
        case config::SqlEngine::mysql:
            return "mysql";
        case config::SqlEngine::sqlite3:
            return "sqlite3";
        case config::SqlEngine::none:
            break;
    }
    return "";
}

std::string_view name(config::LdapStartTls wanted) {
    switch (wanted) {
        case config::LdapStartTls::try_it:
            return "try";
        case config::LdapStartTls::demand:
            return "demand";
        case config::LdapStartTls::no:
            break;
    }
    return "";
}

}  // namespace

auth::ElsewhereSettings elsewhere_settings(const config::Config& config) {
    auth::ElsewhereSettings out;
    if (config.auth.backend == AuthBackend::embedded) return out;
    const AuthOptions& o = config.auth.options;
    out.kind = config::name(config.auth.backend);
    out.domain = config::domain_of(config.server.hostname);
    out.timeout = o.timeout;
    const auto set = [&](const char* key, std::string_view value) {
        if (!value.empty()) out.options.emplace(key, value);
    };
    switch (config.auth.backend) {
        case AuthBackend::saslauthd:
            set("saslauthd_path", o.saslauthd_path);
            break;
        case AuthBackend::sasldb:
            set("sasldb_path", o.sasldb_path);
            break;
        case AuthBackend::ldapdb:
            set("ldapdb_uri", o.ldapdb_uri);
            set("ldapdb_id", o.ldapdb_id);
            set("ldapdb_pw", o.ldapdb_pw.reveal());
            set("ldapdb_mech", o.ldapdb_mech);
            set("ldapdb_starttls", name(o.ldapdb_starttls));
            set("ldapdb_rc", o.ldapdb_rc);
            break;
        case AuthBackend::sql:
            set("sql_engine", name(o.sql_engine));
            set("sql_hostnames", o.sql_hostnames);
            set("sql_user", o.sql_user);
            set("sql_passwd", o.sql_passwd.reveal());
            set("sql_database", o.sql_database);
            set("sql_select", o.sql_select);
            set("sql_usessl", o.sql_usessl ? "yes" : "");
            break;
        case AuthBackend::embedded:
            break;
    }
    return out;
}

}  // namespace postern::relay
