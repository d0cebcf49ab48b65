#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <boost/system/result.hpp>

#include "auth/digest.hpp"
#include "proto/secret.hpp"

namespace postern::auth {

/// Rounds that we let a server ask of us: fewer would give a lying one a cheap guess at the
/// password (RFC 7677 4), more are an attack on our processor (a million take a fifth of a second).
inline constexpr unsigned min_asked_iterations = 4096;
inline constexpr unsigned max_asked_iterations = 1'000'000;
/// Of a server's salt.
inline constexpr std::size_t max_asked_salt = 1024;
/// Of a message of the server.
inline constexpr std::size_t max_scram_message = 8192;

/// What a password becomes under a salt and rounds (RFC 5802 3): it logs in in its place there, so
/// it is wiped like one.
struct ScramKeys {
    Digest client_key{};
    Digest server_key{};

    ScramKeys() = default;
    ScramKeys(const ScramKeys&) = default;
    ScramKeys& operator=(const ScramKeys&) = default;
    ~ScramKeys() {
        wipe(client_key.data(), client_key.size());
        wipe(server_key.data(), server_key.size());
    }
};

/// Costs `iterations` rounds. `password` is prepared (prepared_password).
[[nodiscard]] ScramKeys derive_scram_keys(std::string_view password, std::string_view salt,
                                          unsigned iterations) noexcept;

/// SASLprep, as a query: characters younger than Unicode 3.2 go on working. Unset: prohibited, or
/// empty.
[[nodiscard]] std::optional<proto::Secret> prepared_password(std::string_view password);

enum class ScramFault : std::uint8_t {
    malformed,   ///< No SCRAM, or a field is missing.
    extension,   ///< m=: something that we would have to know.
    nonce,       ///< Not ours with something behind it.
    iterations,  ///< Too few, or too many.
    refused,     ///< e=: the server says no.
    unproven,    ///< The server does not know the password.
    order,       ///< The exchange ends, or goes on, where it must not.
};
/// Why it failed, as an operator reads it.
[[nodiscard]] std::string_view describe(ScramFault fault) noexcept;

/// The client's side of one SCRAM-SHA-256 exchange (RFC 5802, 7677) without channel binding: how we
/// log in elsewhere. Trusts nothing the server says; no clock, no randomness of its own.
///
///     first() -> take_first(server-first) -> final(keys) -> take_final(server-final) -> proven()
class ScramLogin {
  public:
    /// Unset: SASLprep prohibits the name, or it is empty. `nonce`: printable ASCII without comma,
    /// fresh for each exchange.
    [[nodiscard]] static std::optional<ScramLogin> begin(std::string_view name, std::string nonce);

    [[nodiscard]] std::string first() const { return "n,," + first_bare_; }

    struct Asked {
        std::string salt;  ///< Raw octets, at least one.
        unsigned iterations = 0;
        bool operator==(const Asked&) const = default;
    };
    /// Once.
    [[nodiscard]] boost::system::result<Asked, ScramFault> take_first(std::string_view message);
    /// After take_first() was good.
    [[nodiscard]] std::string final(const ScramKeys& keys);
    /// Unset: the server has proven that it knows the password.
    [[nodiscard]] std::optional<ScramFault> take_final(std::string_view message);
    /// final() was given: the next message is the server's last.
    [[nodiscard]] bool answered() const noexcept { return state_ == State::answered; }
    [[nodiscard]] bool proven() const noexcept { return state_ == State::proven; }

  private:
    enum class State : std::uint8_t { first, asked, answered, proven, failed };
    ScramLogin(std::string first_bare, std::string nonce)
        : first_bare_(std::move(first_bare)), nonce_(std::move(nonce)) {}
    [[nodiscard]] boost::system::result<Asked, ScramFault> read_first(std::string_view message);

    std::string first_bare_;
    std::string nonce_;  ///< Ours; from take_first() on the whole one.
    std::string server_first_;
    Digest expected_{};  ///< ServerSignature.
    State state_ = State::first;
};

}  // namespace postern::auth
