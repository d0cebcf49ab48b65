#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "policy/decide.hpp"
#include "policy/rule.hpp"
#include "policy/window.hpp"
#include "proto/classify.hpp"
#include "proto/dkim.hpp"
#include "proto/secret.hpp"
#include "relay/config/network.hpp"
#include "relay/event/event.hpp"

namespace postern::relay::config {

// One struct a section of postern.toml and one member a key, by the same names. What a key does
// stands in deploy/postern.toml; here stand units and what a value has become after loading. Paths
// are absolute.

using Duration = std::chrono::milliseconds;

/// 127.0.0.0/8 and ::1.
[[nodiscard]] std::vector<Network> loopback_networks();

enum class ListenTls : std::uint8_t { starttls, implicit };

/// "[::]:587 starttls proxy name=office"
struct Listen {
    std::string address;  ///< An IP literal without brackets.
    std::uint16_t port = 0;
    ListenTls tls = ListenTls::starttls;
    bool proxy = false;    ///< A PROXY header comes first (from `proxy_from` only).
    std::string name;      ///< Label of events and metrics; unset: the port.
    bool devices = false;  ///< TLS by choice, no AUTH: for bound sources alone.
    /// As Auth::mechanisms, in its place; empty: that one holds.
    std::vector<std::string> mechanisms{};
    /// "192.0.2.1:587", "[2001:db8::1]:587"
    [[nodiscard]] std::string place() const;
    bool operator==(const Listen&) const = default;
};

/// "unix:/run/postern/admin.sock" or "127.0.0.1:8025"
struct AdminListen {
    std::string path;     ///< Of a Unix socket; empty: TCP.
    std::string address;  ///< An IP literal without brackets.
    std::uint16_t port = 0;
    bool operator==(const AdminListen&) const = default;
};

struct Server {
    std::string hostname;  ///< Lower case, with a dot.
    std::string state = "/var/lib/postern";
    std::vector<Listen> listen;
    std::vector<Network> proxy_from;
    std::vector<AdminListen>
        admin;  ///< At least one is a Unix socket, and the first of those is the CLI's.
    std::vector<Network> metrics_from;
    std::string user;           ///< Empty: process::choose_user decides.
    std::string contact;        ///< Never empty: postmaster@ by default.
    std::string abuse_contact;  ///< Likewise; ASCII.
    std::uint32_t threads = 0;  ///< 0: one a core.
    Duration drain = std::chrono::seconds(8);
};

struct Certificate {
    std::string certificate;  ///< PEM, leaf first.
    std::string key;          ///< PEM
    bool operator==(const Certificate&) const = default;
};

struct Tls {
    std::string certificate;
    std::string key;
    std::vector<Certificate> certificates;

    /// `certificate` and `key` first (the one that serves without SNI), then `certificates`.
    [[nodiscard]] std::vector<Certificate> all() const;
};

struct Resources {
    std::uint32_t max_connections = 16000;
    std::uint32_t max_connections_per_source = 100;
    std::uint32_t max_connections_per_account = 2000;
    std::uint64_t body_memory = 512ULL << 20U;  ///< Octets
};

enum class BareNewline : std::uint8_t { reject, normalize };
enum class ReturnPath : std::uint8_t { keep, rewrite };

struct Message {
    std::uint64_t max_size = 25ULL << 20U;  ///< Octets
    std::uint32_t max_recipients = 100;
    BareNewline bare_newline = BareNewline::reject;
    bool received_client_ip = false;
    ReturnPath return_path = ReturnPath::keep;
    std::string bounce_domain;  ///< A-label, lower case; never empty where paths are rewritten.
    Duration trace_retention = std::chrono::hours(24 * 90);
};

enum class AuthBackend : std::uint8_t { embedded, saslauthd, sasldb, ldapdb, sql };

enum class LdapStartTls : std::uint8_t { no, try_it, demand };
enum class SqlEngine : std::uint8_t { none, pgsql, mysql, sqlite3 };

/// How another back-end is reached; by Cyrus' names, but the first two.
struct AuthOptions {
    Duration timeout = std::chrono::seconds(5);  ///< Of one login, its wait for its turn included.
    std::uint32_t connections = 8;
    std::string saslauthd_path = "/run/saslauthd/mux";
    std::string sasldb_path = "/etc/sasldb2";
    std::string ldapdb_uri;
    std::string ldapdb_id;
    proto::Secret ldapdb_pw;
    std::string ldapdb_pw_file;
    std::string ldapdb_mech;
    LdapStartTls ldapdb_starttls = LdapStartTls::no;
    std::string ldapdb_rc;
    SqlEngine sql_engine = SqlEngine::none;
    std::string sql_hostnames;
    std::string sql_user;
    proto::Secret sql_passwd;
    std::string sql_passwd_file;
    std::string sql_database;
    std::string sql_select;
    bool sql_usessl = false;
};

/// Where the keys stand that tokens are checked with: a URL, or a file. Of a token server: the URL.
struct KeySetPlace {
    std::string url;   ///< As written; empty: a file, or nothing.
    std::string host;  ///< Of the URL: a name, or an IP literal without brackets.
    std::uint16_t port = 443;
    std::string target;       ///< "/jwks", with its query.
    bool clear_text = false;  ///< http: loopback alone.
    std::string file;
    [[nodiscard]] bool empty() const noexcept { return url.empty() && file.empty(); }
    bool operator==(const KeySetPlace&) const = default;
};

struct OAuth {
    std::string issuer;
    std::string audience;
    KeySetPlace jwks;
    std::string claim = "email";
    bool operator==(const OAuth&) const = default;
};

enum class CertificateName : std::uint8_t { email, common_name };

/// Client certificates that an authority vouches for.
struct External {
    std::string ca;   ///< PEM; empty: only those that are bound by their fingerprint.
    std::string crl;  ///< PEM; empty: nothing is revoked.
    CertificateName name = CertificateName::email;
};

struct Auth {
    /// Names as SASL writes them, best first.
    std::vector<std::string> mechanisms = {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"};
    AuthBackend backend = AuthBackend::embedded;
    std::uint32_t scram_iterations = 4096;  ///< 4096 to 65536
    /// SCRAM is offered though some accounts have nothing but an imported hash.
    bool scram_beside_crypt = false;
    /// Least time of a failing login where the work itself would tell who exists.
    Duration failure_floor = std::chrono::milliseconds(500);
    /// One character, between an account's name and a credential's in a login name.
    std::string credential_separator = "+";
    OAuth oauth;
    External external;
    AuthOptions options;
};

struct LoginGuard {
    Duration known_for = std::chrono::hours(24 * 30);  ///< Whole seconds.
    /// MaxMind files: networks (ASN), countries.
    std::vector<std::string> geoip;
};

enum class DeliveryMode : std::uint8_t { cut_through, spool };

struct Retry {
    Duration first = std::chrono::minutes(1);
    double factor = 2.0;
    Duration max = std::chrono::hours(2);
    double jitter = 0.2;  ///< Share of the delay, 0 to 1.
    Duration give_up = std::chrono::hours(96);
    Duration warn_after = std::chrono::hours(4);
};

struct Delivery {
    DeliveryMode mode = DeliveryMode::cut_through;
    Duration cut_through_deadline = std::chrono::seconds(20);
    Retry retry;
    std::string dsn_upstream;  ///< Name of the upstream of our notifications; empty: any.
    std::string dsn_envelope;  ///< Their MAIL FROM upstream; empty: <>.
    /// How long who does not exist is not written to again; 0: at once.
    Duration suppress_for = std::chrono::hours(24 * 30);
};

struct Spool {
    std::string path;                      ///< Unset: STATE/spool.
    std::uint64_t reserve = 64ULL << 20U;  ///< Octets
};

enum class UpstreamRole : std::uint8_t { primary, fallback, standby };
[[nodiscard]] std::string_view name(UpstreamRole role) noexcept;
enum class UpstreamTls : std::uint8_t {
    verify,
    none,
    pin,            ///< The key decides alone.
    opportunistic,  ///< STARTTLS where it is offered, any certificate; a login never in the clear.
};

enum class AddressKind : std::uint8_t {
    host,
    mx,   ///< The mail exchangers of a domain (RFC 5321 5.1).
    srv,  ///< Its submission service (RFC 6186, RFC 8314).
};

/// "smtp.provider.example:587", "192.0.2.1", "[2001:db8::1]:465"; "mx:example.net",
/// "mx:a.example:2525", "srv:example.net"
struct Address {
    std::string host;  ///< A name, or an IP literal without brackets; of mx and srv a domain.
    std::uint16_t port = 587;  ///< Of srv: none, the records say it.
    AddressKind kind = AddressKind::host;
    /// As it can be written.
    [[nodiscard]] std::string place() const;
    bool operator==(const Address&) const = default;
};

/// SHA-256 of a key (RFC 7469 2.4).
using KeyPin = std::array<std::uint8_t, 32>;
/// How tokens for an upstream are fetched (RFC 6749 6).
struct UpstreamOAuth {
    KeySetPlace token_url;  ///< A URL; empty: no tokens.
    std::string client_id;
    proto::Secret client_secret;  ///< Empty: a public client.
    std::string client_secret_file;
    proto::Secret refresh_token;
    std::string refresh_token_file;
    std::string scope;
    /// In all that a token depends on.
    [[nodiscard]] bool same_as(const UpstreamOAuth& other) const;
};

struct Upstream {
    std::string name;  ///< Unset: its role, numbered from the second on; always unique.
    UpstreamRole role = UpstreamRole::primary;
    Address address;
    bool implicit_tls = false;  ///< Unset: on port 465.
    /// `none` needs a loopback or private address, or `insecure`: of a literal that is checked at
    /// load, of a name whoever connects checks what it resolved to (may_go_plain).
    UpstreamTls tls = UpstreamTls::verify;
    std::string ca;           ///< PEM; empty: the system's.
    std::vector<KeyPin> pin;  ///< Of `tls` pin: at least one.
    bool insecure = false;
    std::string username;  ///< Empty: no login.
    proto::Secret password;
    std::string
        password_file;  ///< Where `password` came from; empty: it stood in the configuration.
    /// PLAIN, LOGIN, SCRAM-SHA-256, XOAUTH2 or OAUTHBEARER; empty: the best that both know.
    std::string mechanism;
    UpstreamOAuth oauth;
    std::uint32_t concurrency = 20;
    std::uint32_t weight = 1;          ///< Within the role.
    std::vector<policy::Window> rate;  ///< Of messages; empty: no limit.
    std::uint32_t messages_per_connection = 100;
    std::string source_address;  ///< An IP literal; empty: the system's choice.
    bool by_default = true;      ///< Key `default`. False: routed mail only.
    std::vector<proto::PathReply> path_replies;
    // Of a standby.
    double warm_share = 0.01;  ///< Of the day's mail, 0 to 1.
    std::uint32_t warm_per_day = 200;
    double warm_cap = 0.10;  ///< Of the day's mail, 0 to 1.
};

/// Where the mail goes that fits all of it; of each list one is enough, and an empty list fits
/// everything.
struct Route {
    std::vector<std::string> sender_domains{};  ///< A-labels, lower case.
    std::vector<std::string> customers{};
    std::vector<std::string> plans{};
    std::vector<std::string> upstreams{};  ///< Their names; at least one.
};

struct Dkim {
    /// What new keys are made of, and which of a domain's keys sign; none: nothing is signed.
    std::vector<proto::DkimAlgorithm> algorithms = {proto::DkimAlgorithm::rsa,
                                                    proto::DkimAlgorithm::ed25519};
    std::string default_domain;  ///< A-labels; empty: none.
};

/// What a listener of the intake speaks.
enum class IntakeSpeech : std::uint8_t { lmtp, smtp, http, https };

/// "127.0.0.1:2424 lmtp", "0.0.0.0:8443 http tls"
struct IntakeListen {
    std::string address;  ///< An IP literal without brackets.
    std::uint16_t port = 0;
    IntakeSpeech speech = IntakeSpeech::lmtp;
    /// "192.0.2.1:2424", "[2001:db8::1]:2424"
    [[nodiscard]] std::string place() const;
    [[nodiscard]] bool mail() const noexcept { return speech <= IntakeSpeech::smtp; }
    bool operator==(const IntakeListen&) const = default;
};

enum class WebhookFormat : std::uint8_t { own, ses, mailgun, sendgrid, postmark };
[[nodiscard]] std::string_view name(WebhookFormat format) noexcept;

struct Webhook {
    std::string name;                           ///< In its URL: a-z, 0-9 and dashes.
    WebhookFormat format = WebhookFormat::own;  ///< `own`: as `map` says.
    std::map<std::string, std::string> map;     ///< JSON pointers (RFC 6901) by what stands there.
    proto::Secret secret;
    std::string secret_file;  ///< Where `secret` came from; empty: it stood in the configuration.
};

/// Where others tell what became of our mail.
struct Intake {
    std::vector<IntakeListen> listen;
    std::vector<Network> from = loopback_networks();  ///< Of lmtp and smtp, and /message.
    std::vector<Webhook> webhook;
};

using policy::Mode;

struct Rules {
    Mode sender_ownership = Mode::enforce;
    Mode header_from = Mode::enforce;
    Mode login_guard = Mode::enforce;
    Mode limits = Mode::enforce;
    Mode suppression = Mode::enforce;
};

struct Dns {
    std::vector<std::string>
        resolvers;  ///< IP literals, with a port where not 53; none: the system's.
};

enum class LogKind : std::uint8_t { standard_output, journald, file };

struct LogTarget {
    LogKind kind = LogKind::standard_output;
    std::string path;  ///< Of a file.
    bool operator==(const LogTarget&) const = default;
};

struct Log {
    LogTarget target;
    event::Level level = event::Level::info;
    Duration event_retention = std::chrono::hours(24 * 90);
};

/// The whole configuration: an immutable value. A connection keeps the one it began with.
struct Config {
    Server server;
    Tls tls;
    Resources resources;
    Message message;
    Auth auth;
    LoginGuard login_guard;
    Delivery delivery;
    Spool spool;
    std::vector<Upstream> upstream;  ///< At least one, in the file's order.
    std::vector<Route> route;        ///< The first that fits a message is its own.
    Dkim dkim;
    Intake intake;
    /// By plan; "transactional" and "device" are always there. What another plan does not name it
    /// has as transactional is documented.
    std::map<std::string, policy::PlanLimits, std::less<>> limits{
        {"device", policy::PlanLimits::device()},
        {"transactional", policy::PlanLimits::transactional()}};
    Rules rules;
    Dns dns;
    Log log;

    std::string file;  ///< The file read; empty: none.
    std::vector<std::string>
        notices;  ///< Whole sentences for the log: keys without effect, variables passed over.

    /// What a listener offers, best first; nothing where devices speak.
    [[nodiscard]] const std::vector<std::string>& mechanisms_of(const Listen& listen) const;
    /// Whether any listener offers it.
    [[nodiscard]] bool offers(std::string_view mechanism) const;
    /// The Unix socket that the CLI speaks to.
    [[nodiscard]] const std::string& admin_socket() const;
    /// OAUTHBEARER or XOAUTH2 is offered somewhere.
    [[nodiscard]] bool takes_tokens() const;
};

using ConfigPtr = std::shared_ptr<const Config>;

/// The names of the listeners for devices.
[[nodiscard]] std::vector<std::string> device_listeners(const Config& config);

/// True where mail to this peer address (an IP literal) may go without TLS: loopback and private
/// networks, or `insecure`.
[[nodiscard]] bool may_go_plain(const Upstream& upstream, std::string_view peer_address);

}  // namespace postern::relay::config
