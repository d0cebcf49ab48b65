#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "auth/error.hpp"

namespace postern::auth {

/// What Cyrus SASL asks during an exchange. The answers are ours alone: no store of Cyrus' stands
/// behind them.
class SaslQuestions {
  public:
    virtual ~SaslQuestions() = default;
    /// PLAIN and LOGIN: is this the password of the name that the exchange is about?
    [[nodiscard]] virtual bool password_is_right(std::string_view password) noexcept = 0;
    /// SCRAM: the verifier (RFC 5803) of that name, real or fake.
    [[nodiscard]] virtual const std::string& verifier() const noexcept = 0;
};

/// A store of Cyrus' own (an auxprop plug-in) beside ours.
struct SaslStore {
    std::string name;                            ///< sasldb ldapdb sql; empty: none.
    std::map<std::string, std::string> options;  ///< By Cyrus' names; nothing else is answered.
};

/// Cyrus SASL, initialised for this process without a look at the system's configuration. One
/// object at a time.
class SaslLibrary {
  public:
    /// `plugins`: the folder of libscram, libplain and liblogin; empty: looked for. Faults:
    /// sasl_library, mechanism_missing, store_plugin_missing.
    [[nodiscard]] static started<std::unique_ptr<SaslLibrary>> start(
        const std::filesystem::path& plugins, SaslStore store = {});
    ~SaslLibrary();
    SaslLibrary(const SaslLibrary&) = delete;
    SaslLibrary& operator=(const SaslLibrary&) = delete;

  private:
    SaslLibrary(std::string plugins, SaslStore store);
    [[nodiscard]] started<void> initialise();
    struct Callbacks;
    std::string plugins_;
    SaslStore store_;
    std::unique_ptr<Callbacks> callbacks_;
    bool initialised_ = false;
};

/// One exchange inside Cyrus (7 KB): make it late, drop it soon.
class SaslConnection {
  public:
    struct Step {
        enum class Kind : std::uint8_t {
            more,       ///< Send `octets`.
            done,       ///< The peer has proved who it is; `octets` may be left to send.
            wrong,      ///< It has not.
            malformed,  ///< The message breaks the mechanism's grammar.
            failed,     ///< Cyrus itself cannot go on.
        };
        Kind kind = Kind::failed;
        std::string octets;
        std::string_view error;  ///< Cyrus' word on what is neither more nor done; constant text.
    };

    /// Unset: out of memory. Both must outlive the connection.
    [[nodiscard]] static std::unique_ptr<SaslConnection> make(SaslLibrary& library,
                                                              SaslQuestions& questions);
    ~SaslConnection();
    SaslConnection(const SaslConnection&) = delete;
    SaslConnection& operator=(const SaslConnection&) = delete;

    /// Before start() of EXTERNAL: TLS has proved who the peer is.
    [[nodiscard]] bool proved_outside();
    /// Before start(): the one binding that the client named.
    [[nodiscard]] bool bind_channel(std::string name, std::string octets);
    [[nodiscard]] Step start(const std::string& mechanism, std::string_view initial);
    [[nodiscard]] Step step(std::string_view response);

  private:
    explicit SaslConnection(SaslQuestions& questions);
    struct Parts;
    std::unique_ptr<Parts> parts_;
};

}  // namespace postern::auth
