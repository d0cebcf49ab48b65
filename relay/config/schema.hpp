#pragma once

#include <type_traits>

#include "relay/config/config.hpp"
#include "relay/config/formats.hpp"
#include "relay/config/reload.hpp"

// The one table of keys. A visitor is handed each key of a section with its member, its format and
// when a change takes effect; the reader, the comparison at a reload and the environment's names
// all walk this table, so that a key is written down once.
//
// A visitor V of a section S has
//     key(name, &S::member, format, reload)   one value (or list of values)
//     secret(name, &S::member, &S::file, reload)  NAME, or NAME_file: a file that holds it
//     table(name, &S::member)                 a table of its own keys
//     tables(name, &S::member, reload)        a list of tables
//     map(name, &S::member, reload)           tables by names of the operator's choice
//     later(names)                            keys of a later version: no effect yet

namespace postern::relay::config {

template <typename S>
struct Section {};

using namespace std::chrono_literals;

template <typename V>
void describe(V& v, Section<Server>) {
    using enum Reload;
    v.key("hostname", &Server::hostname, formats::Hostname{}, restart);
    v.key("state", &Server::state, formats::Path{}, restart);
    v.key("listen", &Server::listen, formats::ListOf{formats::ListenOn{}}, restart);
    v.key("proxy_from", &Server::proxy_from, formats::ListOf{formats::Networks{}, 1024},
          connection);
    v.key("admin", &Server::admin, formats::ListOf{formats::AdminOn{}, 16}, restart);
    v.later("public");
    v.key("metrics_from", &Server::metrics_from, formats::ListOf{formats::Networks{}, 1024},
          connection);
    v.key("user", &Server::user, formats::UserName{}, restart);
    v.key("contact", &Server::contact, formats::Mailbox{}, live);
    v.key("abuse_contact", &Server::abuse_contact, formats::HeaderMailbox{}, live);
    v.key("threads", &Server::threads, formats::Count{0, 256}, restart);
    v.key("drain", &Server::drain, formats::Span{0ms, 10min}, live);
}

template <typename V>
void describe(V& v, Section<Certificate>) {
    v.key("certificate", &Certificate::certificate, formats::Path{}, Reload::connection);
    v.key("key", &Certificate::key, formats::Path{}, Reload::connection);
}

template <typename V>
void describe(V& v, Section<Tls>) {
    v.key("certificate", &Tls::certificate, formats::Path{}, Reload::connection);
    v.key("key", &Tls::key, formats::Path{}, Reload::connection);
    v.tables("certificates", &Tls::certificates, Reload::connection);
}

template <typename V>
void describe(V& v, Section<Resources>) {
    using enum Reload;
    v.key("max_connections", &Resources::max_connections, formats::Count{1, 1'000'000}, connection);
    v.key("max_connections_per_source", &Resources::max_connections_per_source,
          formats::Count{1, 1'000'000}, connection);
    v.key("max_connections_per_account", &Resources::max_connections_per_account,
          formats::Count{1, 1'000'000}, connection);
    v.key("body_memory", &Resources::body_memory, formats::Size{1ULL << 20U, 1ULL << 44U},
          connection);
}

template <typename V>
void describe(V& v, Section<Message>) {
    using enum Reload;
    v.key("max_size", &Message::max_size, formats::Size{1ULL << 16U, 2ULL << 30U}, connection);
    // RFC 5321 4.5.3.1.8 asks for 100 at least; less is the operator's choice.
    v.key("max_recipients", &Message::max_recipients, formats::Count{1, 10'000}, connection);
    v.key("bare_newline", &Message::bare_newline,
          formats::Choice<BareNewline>{
              {{"reject", BareNewline::reject}, {"normalize", BareNewline::normalize}}},
          connection);
    v.key("received_client_ip", &Message::received_client_ip, formats::Flag{}, connection);
    v.key(
        "return_path", &Message::return_path,
        formats::Choice<ReturnPath>{{{"keep", ReturnPath::keep}, {"rewrite", ReturnPath::rewrite}}},
        connection);
    v.key("bounce_domain", &Message::bounce_domain, formats::Domain{}, connection);
    v.key("trace_retention", &Message::trace_retention, formats::Span{1h, 24h * 3660}, connection);
}

template <typename V>
void describe(V& v, Section<OAuth>) {
    v.key("issuer", &OAuth::issuer, formats::Word{}, Reload::connection);
    v.key("audience", &OAuth::audience, formats::Word{}, Reload::connection);
    v.key("jwks", &OAuth::jwks, formats::KeySetAt{}, Reload::connection);
    v.key("claim", &OAuth::claim, formats::Word{}, Reload::connection);
}

template <typename V>
void describe(V& v, Section<External>) {
    using enum Reload;
    v.key("ca", &External::ca, formats::Path{}, connection);
    v.key("crl", &External::crl, formats::Path{}, connection);
    v.key("name", &External::name,
          formats::Choice<CertificateName>{
              {{"email", CertificateName::email}, {"cn", CertificateName::common_name}}},
          connection);
}

template <typename V>
void describe(V& v, Section<AuthOptions>) {
    using enum Reload;
    v.key("timeout", &AuthOptions::timeout, formats::Span{100ms, 60s}, restart);
    v.key("connections", &AuthOptions::connections, formats::Count{1, 256}, restart);
    v.key("saslauthd_path", &AuthOptions::saslauthd_path, formats::Path{}, restart);
    v.key("sasldb_path", &AuthOptions::sasldb_path, formats::Path{}, restart);
    v.key("ldapdb_uri", &AuthOptions::ldapdb_uri, formats::Text{}, restart);
    v.key("ldapdb_id", &AuthOptions::ldapdb_id, formats::Text{}, restart);
    v.secret("ldapdb_pw", &AuthOptions::ldapdb_pw, &AuthOptions::ldapdb_pw_file, restart);
    v.key("ldapdb_mech", &AuthOptions::ldapdb_mech, formats::Text{}, restart);
    v.key("ldapdb_starttls", &AuthOptions::ldapdb_starttls,
          formats::Choice<LdapStartTls>{{{"no", LdapStartTls::no},
                                         {"try", LdapStartTls::try_it},
                                         {"demand", LdapStartTls::demand}}},
          restart);
    v.key("ldapdb_rc", &AuthOptions::ldapdb_rc, formats::Path{}, restart);
    v.key("sql_engine", &AuthOptions::sql_engine,
          formats::Choice<SqlEngine>{{{"pgsql", SqlEngine::pgsql},
                                      {"mysql", SqlEngine::mysql},
                                      {"sqlite3", SqlEngine::sqlite3}}},
          restart);
    v.key("sql_hostnames", &AuthOptions::sql_hostnames, formats::Text{}, restart);
    v.key("sql_user", &AuthOptions::sql_user, formats::Text{}, restart);
    v.secret("sql_passwd", &AuthOptions::sql_passwd, &AuthOptions::sql_passwd_file, restart);
    v.key("sql_database", &AuthOptions::sql_database, formats::Text{}, restart);
    v.key("sql_select", &AuthOptions::sql_select, formats::Text{}, restart);
    v.key("sql_usessl", &AuthOptions::sql_usessl, formats::Flag{}, restart);
}

template <typename V>
void describe(V& v, Section<Auth>) {
    using enum Reload;
    v.key("mechanisms", &Auth::mechanisms, formats::ListOf{formats::Mechanism{}, 16}, connection);
    v.key("backend", &Auth::backend,
          formats::Choice<AuthBackend>{{{"embedded", AuthBackend::embedded},
                                        {"saslauthd", AuthBackend::saslauthd},
                                        {"sasldb", AuthBackend::sasldb},
                                        {"ldapdb", AuthBackend::ldapdb},
                                        {"sql", AuthBackend::sql}}},
          restart);
    v.key("scram_iterations", &Auth::scram_iterations, formats::Count{4096, 65536}, connection);
    v.key("credential_separator", &Auth::credential_separator, formats::Separator{}, connection);
    v.key("scram_beside_crypt", &Auth::scram_beside_crypt, formats::Flag{}, connection);
    v.key("failure_floor", &Auth::failure_floor, formats::Span{0ms, 10s}, connection);
    v.table("oauth", &Auth::oauth);
    v.table("external", &Auth::external);
    v.table("options", &Auth::options);
}

template <typename V>
void describe(V& v, Section<LoginGuard>) {
    v.key("known_for", &LoginGuard::known_for, formats::Span{1h, 24h * 3660}, Reload::live);
    v.key("geoip", &LoginGuard::geoip, formats::ListOf{formats::Path{}, 8}, Reload::live);
}

template <typename V>
void describe(V& v, Section<Retry>) {
    using enum Reload;
    v.key("first", &Retry::first, formats::Span{1s, 24h}, live);
    v.key("factor", &Retry::factor, formats::Number{1, 10}, live);
    v.key("max", &Retry::max, formats::Span{1s, 24h * 7}, live);
    v.key("jitter", &Retry::jitter, formats::Number{0, 1}, live);
    v.key("give_up", &Retry::give_up, formats::Span{1s, 24h * 30}, live);
    v.key("warn_after", &Retry::warn_after, formats::Span{1s, 24h * 30}, live);
}

template <typename V>
void describe(V& v, Section<Delivery>) {
    using enum Reload;
    v.key("mode", &Delivery::mode,
          formats::Choice<DeliveryMode>{
              {{"cut-through", DeliveryMode::cut_through}, {"spool", DeliveryMode::spool}}},
          live);
    // RFC 5321 4.5.3.2.6: a client waits 10 minutes after its dot, many a program only 60 s.
    v.key("cut_through_deadline", &Delivery::cut_through_deadline, formats::Span{100ms, 5min},
          live);
    v.table("retry", &Delivery::retry);
    v.key("dsn_upstream", &Delivery::dsn_upstream, formats::Label{}, live);
    v.key("dsn_envelope", &Delivery::dsn_envelope, formats::HeaderMailboxOrNone{}, live);
    v.key("suppress_for", &Delivery::suppress_for, formats::Span{0ms, 24h * 3660}, live);
}

template <typename V>
void describe(V& v, Section<Spool>) {
    v.key("path", &Spool::path, formats::Path{}, Reload::restart);
    v.key("reserve", &Spool::reserve, formats::Size{0, 1ULL << 44U}, Reload::live);
}

template <typename V>
void describe(V& v, Section<UpstreamOAuth>) {
    using enum Reload;
    v.key("token_url", &UpstreamOAuth::token_url, formats::TokenUrl{}, live);
    v.key("client_id", &UpstreamOAuth::client_id, formats::Word{}, live);
    v.secret("client_secret", &UpstreamOAuth::client_secret, &UpstreamOAuth::client_secret_file,
             live);
    v.secret("refresh_token", &UpstreamOAuth::refresh_token, &UpstreamOAuth::refresh_token_file,
             live);
    v.key("scope", &UpstreamOAuth::scope, formats::Text{}, live);
}

template <typename V>
void describe(V& v, Section<Upstream>) {
    using enum Reload;
    v.key("name", &Upstream::name, formats::Label{}, live);
    v.key("role", &Upstream::role,
          formats::Choice<UpstreamRole>{{{"primary", UpstreamRole::primary},
                                         {"fallback", UpstreamRole::fallback},
                                         {"standby", UpstreamRole::standby}}},
          live);
    v.key("address", &Upstream::address, formats::UpstreamAddress{}, live);
    v.key("implicit_tls", &Upstream::implicit_tls, formats::Flag{}, live);
    v.key("tls", &Upstream::tls,
          formats::Choice<UpstreamTls>{{{"verify", UpstreamTls::verify},
                                        {"pin", UpstreamTls::pin},
                                        {"opportunistic", UpstreamTls::opportunistic},
                                        {"none", UpstreamTls::none}}},
          live);
    v.key("ca", &Upstream::ca, formats::Path{}, live);
    v.key("insecure", &Upstream::insecure, formats::Flag{}, live);
    v.key("username", &Upstream::username, formats::Text{}, live);
    v.secret("password", &Upstream::password, &Upstream::password_file, live);
    v.key("concurrency", &Upstream::concurrency, formats::Count{1, 10'000}, live);
    v.key("weight", &Upstream::weight, formats::Count{1, 1000}, live);
    v.key("pin", &Upstream::pin, formats::ListOf{formats::Pin{}, 16}, live);
    v.key("mechanism", &Upstream::mechanism, formats::UpstreamMechanism{}, live);
    v.table("oauth", &Upstream::oauth);
    v.key("rate", &Upstream::rate, formats::ListOf{formats::Windows{}, 16}, live);
    v.key("messages_per_connection", &Upstream::messages_per_connection,
          formats::Count{1, 1'000'000}, live);
    v.key("source_address", &Upstream::source_address, formats::SourceAddress{}, live);
    v.key("default", &Upstream::by_default, formats::Flag{}, live);
    v.key("path_replies", &Upstream::path_replies, formats::ListOf{formats::UpstreamReply{}}, live);
    v.key("warm_share", &Upstream::warm_share, formats::Number{0, 1}, live);
    v.key("warm_per_day", &Upstream::warm_per_day, formats::Count{0, 100'000'000}, live);
    v.key("warm_cap", &Upstream::warm_cap, formats::Number{0, 1}, live);
}

template <typename V>
void describe(V& v, Section<Route>) {
    using enum Reload;
    v.key("sender_domains", &Route::sender_domains,
          formats::ListOf{formats::SenderDomain{}, 10'000}, live);
    v.key("customers", &Route::customers, formats::ListOf{formats::Word{}, 10'000}, live);
    v.key("plans", &Route::plans, formats::ListOf{formats::Label{}}, live);
    v.key("upstreams", &Route::upstreams, formats::ListOf{formats::Label{}, 256}, live);
}

template <typename V>
void describe(V& v, Section<Dkim>) {
    v.key("algorithms", &Dkim::algorithms,
          formats::ListOf{
              formats::Choice<proto::DkimAlgorithm>{
                  {{"rsa", proto::DkimAlgorithm::rsa}, {"ed25519", proto::DkimAlgorithm::ed25519}}},
              8},
          Reload::live);
    v.key("default_domain", &Dkim::default_domain, formats::Domain{}, Reload::live);
}

template <typename V>
void describe(V& v, Section<Webhook>) {
    using enum Reload;
    v.key("name", &Webhook::name, formats::Text{}, restart);
    v.key("format", &Webhook::format,
          formats::Choice<WebhookFormat>{{{"ses", WebhookFormat::ses},
                                          {"mailgun", WebhookFormat::mailgun},
                                          {"sendgrid", WebhookFormat::sendgrid},
                                          {"postmark", WebhookFormat::postmark}}},
          restart);
    v.key("map", &Webhook::map, formats::Pointers{}, restart);
    v.secret("secret", &Webhook::secret, &Webhook::secret_file, connection);
}

template <typename V>
void describe(V& v, Section<Intake>) {
    using enum Reload;
    v.key("listen", &Intake::listen, formats::ListOf{formats::IntakeOn{}, 16}, restart);
    v.key("from", &Intake::from, formats::ListOf{formats::Networks{}, 1024}, restart);
    v.tables("webhook", &Intake::webhook, restart);
}

template <typename V>
void describe(V& v, Section<policy::PlanLimits>) {
    v.key("messages", &policy::PlanLimits::messages, formats::ListOf{formats::Windows{}, 16},
          Reload::live);
    v.key("recipients", &policy::PlanLimits::recipients, formats::ListOf{formats::Windows{}, 16},
          Reload::live);
    v.later(
        "bytes connections distinct_recipients recipient_domains first_time_recipients "
        "bulk_recipients customer "
        "sender_domain source credential");
}

template <typename V>
void describe(V& v, Section<Rules>) {
    const formats::Choice<Mode> mode{
        {{"enforce", Mode::enforce}, {"observe", Mode::observe}, {"off", Mode::off}}};
    v.key("sender_ownership", &Rules::sender_ownership, mode, Reload::live);
    v.key("header_from", &Rules::header_from, mode, Reload::live);
    v.key("login_guard", &Rules::login_guard, mode, Reload::live);
    v.key("limits", &Rules::limits, mode, Reload::live);
    v.key("suppression", &Rules::suppression, mode, Reload::live);
    v.later("business_hours profile compromise marketing aup content");
}

template <typename V>
void describe(V& v, Section<Dns>) {
    v.key("resolvers", &Dns::resolvers, formats::ListOf{formats::Resolver{}, 8}, Reload::live);
}

template <typename V>
void describe(V& v, Section<Log>) {
    v.key("target", &Log::target, formats::Target{}, Reload::live);
    v.key("level", &Log::level,
          formats::Choice<event::Level>{{{"debug", event::Level::debug},
                                         {"info", event::Level::info},
                                         {"warning", event::Level::warning},
                                         {"error", event::Level::error}}},
          Reload::live);
    v.key("event_retention", &Log::event_retention, formats::Span{1h, 24h * 3660}, Reload::live);
}

template <typename V>
void describe(V& v, Section<Config>) {
    v.table("server", &Config::server);
    v.table("tls", &Config::tls);
    v.table("resources", &Config::resources);
    v.table("message", &Config::message);
    v.table("auth", &Config::auth);
    v.table("login_guard", &Config::login_guard);
    v.table("delivery", &Config::delivery);
    v.table("spool", &Config::spool);
    v.tables("upstream", &Config::upstream, Reload::live);
    v.tables("route", &Config::route, Reload::live);
    v.table("dkim", &Config::dkim);
    v.table("intake", &Config::intake);
    v.map("limits", &Config::limits, Reload::live);
    v.table("rules", &Config::rules);
    v.table("dns", &Config::dns);
    v.table("log", &Config::log);
    v.later_sections();
}

}  // namespace postern::relay::config
