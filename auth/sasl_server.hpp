#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "auth/account.hpp"
#include "auth/account_store.hpp"
#include "auth/certificate.hpp"
#include "auth/elsewhere.hpp"
#include "auth/error.hpp"
#include "auth/login_name.hpp"
#include "auth/password_memory.hpp"
#include "auth/token_authority.hpp"
#include "auth/verifier.hpp"
#include "proto/secret.hpp"

namespace postern::auth {

/// The connection's channel bindings (RFC 5929, RFC 9266), each where it is to be had.
struct ChannelBindings {
    std::optional<std::string> tls_exporter;          ///< TLS 1.3
    std::optional<std::string> tls_server_end_point;  ///< Hash of the certificate that was sent.
    std::optional<std::string> tls_unique;            ///< TLS 1.2 with extended master secret only.
};

/// What an exchange has to know of its connection.
struct ExchangeContext {
    std::string mechanism;  ///< Upper case.
    std::string source;
    std::string listener;
    char separator = default_separator;  ///< Between account and credential in a login name.
    ChannelBindings bindings;
    std::optional<ClientCertificate> certificate;  ///< EXTERNAL: what the handshake showed.
    std::vector<std::string> offered;  ///< What EHLO said; anything else is not_offered.
    TokenAuthorityPtr tokens;          ///< OAUTHBEARER and XOAUTH2; null for the others.
};

/// What events, rows of logins and the guard call a login by token: no credential can have this
/// name.
inline constexpr std::string_view token_credential = "(token)";
/// Of a certificate by name, likewise.
inline constexpr std::string_view certificate_credential = "(certificate)";

/// Who logged in.
struct Identity {
    AccountPtr account;
    std::string credential;  ///< Empty: its first password.
    std::string authzid;  ///< Normalised; the account's own name where the client asked for none.
    /// AccountStore::generation() before the account was read. Register the session first, then
    /// compare: if the number has risen, read the account again on the pool, for its change may
    /// have come before the session could be found.
    std::uint64_t generation = 0;
    enum class RestsOn : std::uint8_t {
        credential,  ///< `credential` of the account: the login ends with it.
        account,     ///< Nothing that the store keeps (a token, a name that an authority vouches
                     ///< for): it stands while the account does.
    };
    RestsOn rests_on = RestsOn::credential;
};

/// 334 with these octets.
struct Challenge {
    std::string octets;
};
/// 235
struct Success {
    Identity identity;
    bool remembered = false;  ///< By the password memory: nothing was computed.
    std::string notice;       ///< For the log: why an imported hash is one still. Mostly empty.
    bool made = false;        ///< The account: another back-end has proved who is new here.
};
struct Failure {
    enum class Kind : std::uint8_t {
        bad_credentials,  ///< 535 5.7.8; lying gs2 flags and foreign authorization identities, too
        malformed,        ///< 501 5.5.2
        suspended,        ///< 525 5.7.13 with `text`; the secret was right
        unavailable,      ///< 454 4.7.0; no failure of the peer
        not_offered,      ///< 504 5.5.4
    };
    Kind kind = Kind::bad_credentials;
    std::string account;  ///< As typed (at most 320 octets), empty if it was not said; normalised
                          ///< where `known`.
    bool known = false;   ///< There is such an account.
    std::string customer;
    std::string credential;
    std::string secret_hash;  ///< PLAIN, LOGIN, tokens; PasswordMemory::secret_hash
    std::string challenge;    ///< Not empty: goes out as a 334 first; whatever is answered, the
                              ///< reply comes then.
    std::string text;         ///< suspended: the operator's text
    std::string detail;  ///< For the log: why unavailable, or which check refused. Never a secret.
};
using StepResult = std::variant<Challenge, Success, Failure>;

/// Does the login still stand, now that its account (null: gone) reads so? Not if it was removed or
/// suspended, or the credential was revoked or changed: then the connection ends (421 4.7.0).
[[nodiscard]] bool stands(const Identity& identity, const AccountRecord* now) noexcept;

/// One AUTH command's exchange. Not thread-safe, but it may move between threads from step to step.
/// After Success or Failure it has given up everything it held (the sasl_conn_t, secrets) and
/// answers no more.
class Exchange {
  public:
    ~Exchange();
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;

    /// Does what memory alone can do, on a network thread: prompts, malformed messages, remembered
    /// passwords. Unset: nothing has changed, hand the same response to step() on the auth pool.
    [[nodiscard]] std::optional<StepResult> try_quick(const std::optional<proto::Secret>& response);
    /// May block (SQLite) and compute (PBKDF2): on the auth pool. The first call takes the initial
    /// response, unset where there was none.
    [[nodiscard]] StepResult step(const std::optional<proto::Secret>& response);
    /// The login name as typed so far (at most 320 octets, for choosing the pool's queue);
    /// normalised form beside it. Empty before it is known.
    [[nodiscard]] std::string_view typed_name() const noexcept;
    [[nodiscard]] std::string_view normalised_name() const noexcept;
    /// Reads the name out of a response that was not stepped yet (PLAIN, SCRAM client-first;
    /// LOGIN's own was noted before): what decides the pool's queue. Normalised; empty where there
    /// is none. Memory only.
    [[nodiscard]] std::optional<std::string> name_in(
        const std::optional<proto::Secret>& response) const;
    /// The response holds a token, and its key is not among those that are known: they should be
    /// read anew before step(), or the token is refused. Memory only.
    [[nodiscard]] bool lacks_key(const std::optional<proto::Secret>& response) const;

    /// Another back-end will be asked by the next step(), unless try_quick() answers: it may block
    /// without a bound, and belongs on threads of its own.
    [[nodiscard]] bool asks_elsewhere() const noexcept;
    /// What the back-end said; unset: it was not asked.
    [[nodiscard]] std::optional<BackendAnswer::Kind> heard_elsewhere() const noexcept;

    class Impl;  ///< exchange.hpp

  private:
    friend class SaslServer;
    explicit Exchange(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

struct SaslSettings {
    /// Where libscram.so, libplain.so and liblogin.so are; empty: found beside libsasl2 and in
    /// Debian's folders.
    std::filesystem::path plugins;
    ElsewhereSettings elsewhere;  ///< Another back-end for passwords.
};

/// Cyrus SASL for the process, and the exchanges. One object a process, made before the auth pool
/// and outliving it; nothing of the system's SASL configuration is read. Store and memory must
/// outlive it.
class SaslServer {
  public:
    /// Faults: sasl_library, mechanism_missing, store_plugin_missing.
    [[nodiscard]] static started<std::unique_ptr<SaslServer>> start(SaslSettings settings,
                                                                    AccountStore& store,
                                                                    PasswordMemory& memory,
                                                                    FakeVerifiers fakes);
    ~SaslServer();
    SaslServer(const SaslServer&) = delete;
    SaslServer& operator=(const SaslServer&) = delete;

    /// Allocates a little and touches nothing: on a network thread.
    [[nodiscard]] std::unique_ptr<Exchange> begin(ExchangeContext context);
    /// What can be served.
    [[nodiscard]] static const std::vector<std::string>& mechanisms();
    /// The other back-end, for `postern check`; null: there is none.
    [[nodiscard]] PasswordBackend* passwords() noexcept;

  private:
    class Impl;
    explicit SaslServer(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace postern::auth
