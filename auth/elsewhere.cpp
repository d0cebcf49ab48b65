#include "auth/elsewhere.hpp"

#include <cstdlib>

#include "auth/auxprop_backend.hpp"
#include "auth/saslauthd_backend.hpp"

namespace postern::auth {
namespace {

/// As libpq reads a value between apostrophes: the plug-in puts it there as it is.
std::string quoted_for_libpq(std::string_view value) {
    std::string out;
    for (const char c : value) {
        if (c == '\'' || c == '\\') out.push_back('\\');
        out.push_back(c);
    }
    return out;
}

std::string option(const ElsewhereSettings& settings, const std::string& name) {
    const auto found = settings.options.find(name);
    return found == settings.options.end() ? std::string() : found->second;
}

}  // namespace

void bound_waiting(const ElsewhereSettings& settings) {
    const std::string seconds =
        std::to_string(std::chrono::ceil<std::chrono::seconds>(settings.timeout).count());
    if (settings.kind == "ldapdb") {
        (void)::setenv("LDAPNETWORK_TIMEOUT", seconds.c_str(), 0);
        (void)::setenv("LDAPTIMEOUT", seconds.c_str(), 0);
    } else if (settings.kind == "sql") {
        (void)::setenv("PGCONNECT_TIMEOUT", seconds.c_str(), 0);
    }
}

SaslStore sasl_store(const ElsewhereSettings& settings) {
    if (settings.kind.empty() || settings.kind == "saslauthd") return {};
    SaslStore store{settings.kind, settings.options};
    if (option(settings, "sql_engine") == "pgsql") {
        for (const char* const name : {"sql_user", "sql_passwd", "sql_database"}) {
            if (const auto value = store.options.find(name); value != store.options.end())
                value->second = quoted_for_libpq(value->second);
        }
    }
    return store;
}

std::unique_ptr<Elsewhere> make_elsewhere(const ElsewhereSettings& settings, SaslLibrary& library) {
    if (settings.kind.empty()) return nullptr;
    auto made = std::make_unique<Elsewhere>();
    made->domain = settings.domain;
    made->now = settings.now;
    if (settings.kind == "saslauthd") {
        SaslauthdSettings daemon{.domain = settings.domain, .timeout = settings.timeout};
        if (std::string path = option(settings, "saslauthd_path"); !path.empty())
            daemon.path = std::move(path);
        made->passwords = make_saslauthd_backend(std::move(daemon));
        return made;
    }
    AuxpropSettings auxprop;
    auxprop.kind = settings.kind;
    auxprop.ourselves = option(settings, "ldapdb_id");
    auxprop.file = option(settings, "sasldb_path");
    // A query that does not ask for the domain has one user of a name for all domains.
    if (settings.kind == "sql" && !option(settings, "sql_select").contains("%r"))
        auxprop.only_domain = settings.domain;
    made->passwords = make_auxprop_backend(library, std::move(auxprop));
    return made;
}

}  // namespace postern::auth
