#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "auth/account_store.hpp"
#include "auth/elsewhere.hpp"
#include "auth/password_memory.hpp"
#include "auth/sasl_library.hpp"
#include "auth/sasl_server.hpp"

namespace postern::auth {

/// What exchanges work with; owned by the server and others above it.
struct Backend {
    SaslLibrary& library;
    AccountStore& store;
    PasswordMemory& memory;
    const FakeVerifiers& fakes;
    const Elsewhere* elsewhere = nullptr;  ///< Null: passwords are in the store.
};

/// What all families of mechanisms share: whether it goes on or is over, whom it is about, how it
/// ends. A family (exchange_NAME.hpp) says what its messages mean. Any Success and any Failure end
/// it.
class Exchange::Impl {
  public:
    Impl(const Backend& backend, ExchangeContext context);
    virtual ~Impl() = default;
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    // As Exchange has them.
    [[nodiscard]] std::optional<StepResult> try_quick(const std::optional<proto::Secret>& response);
    [[nodiscard]] StepResult step(const std::optional<proto::Secret>& response);
    [[nodiscard]] std::string_view typed_name() const noexcept { return name_.typed; }
    [[nodiscard]] std::string_view normalised_name() const noexcept { return name_.normalised; }
    [[nodiscard]] std::optional<std::string> name_in(
        const std::optional<proto::Secret>& response) const;
    [[nodiscard]] bool lacks_key(const std::optional<proto::Secret>& response) const {
        return response && !ended_ && lacks_key(response->reveal());
    }
    [[nodiscard]] virtual bool asks_elsewhere() const noexcept { return false; }
    [[nodiscard]] const std::optional<BackendAnswer::Kind>& heard_elsewhere() const noexcept {
        return heard_elsewhere_;
    }

  protected:
    using Kind = Failure::Kind;
    struct Name {
        std::string typed;
        std::string normalised;  ///< The account's. Empty: nobody can have this name.
        std::optional<std::string> label;
    };

    // What a family says.
    /// AUTH came without an initial response. Memory only.
    [[nodiscard]] virtual StepResult prompt() = 0;
    /// What memory alone can do with a message. Unset: nothing has changed but the name that was
    /// noted, and work() is to have the same message.
    [[nodiscard]] virtual std::optional<StepResult> quick(std::string_view message) = 0;
    /// On the auth pool.
    [[nodiscard]] virtual StepResult work(std::string_view message) = 0;
    /// The login name (normalised) in a message, where none was noted before; empty: none can be
    /// read, or nobody can have it; unset: it comes later, or never.
    [[nodiscard]] virtual std::optional<std::string> name_said(std::string_view message) const = 0;
    /// A token's key is not among those that are known. Memory only.
    [[nodiscard]] virtual bool lacks_key(std::string_view) const { return false; }
    /// Gives up what the family holds: it is over.
    virtual void drop() noexcept {}

    [[nodiscard]] Name name_of(std::string_view typed) const;
    /// The user that name_ is in another back-end; unset: nobody, and it is not asked.
    [[nodiscard]] std::optional<BackendUser> user_elsewhere() const;
    /// Notes what another back-end said. False: it could not say (store_error_).
    [[nodiscard]] bool hear(const BackendAnswer& answer);
    /// What a login by password rests on.
    [[nodiscard]] Identity::RestsOn password_rests_on() const noexcept {
        return backend_.elsewhere == nullptr ? Identity::RestsOn::credential
                                             : Identity::RestsOn::account;
    }
    /// Proved by another back-end: makes the account where there is none, owning its own address.
    /// False: the store cannot do it (store_error_).
    [[nodiscard]] bool have_account();
    /// Reads the account of name_, and notes the generation before that; null where there is none.
    /// False: the store cannot be asked (store_error_).
    [[nodiscard]] bool load_account();
    [[nodiscard]] bool is_offered(std::string_view mechanism) const noexcept;

    // How it ends.
    /// The proof was right: account_ is in, unless it is suspended or authzid_ is not granted.
    [[nodiscard]] StepResult succeed(Identity::RestsOn rests_on = Identity::RestsOn::credential);
    [[nodiscard]] Failure fail(Kind kind, std::string_view detail);

    Backend backend_;
    ExchangeContext context_;
    Name name_;
    std::string authzid_;     ///< As asked for; empty: none.
    AccountPtr account_;      ///< Null: not read, or there is none.
    std::string credential_;  ///< The one that the proof is about.
    std::uint64_t generation_ = 0;
    std::string store_error_;
    std::string secret_hash_;
    std::string notice_;
    std::optional<BackendAnswer::Kind> heard_elsewhere_;
    bool made_ = false;  ///< The account, just now.

  private:
    void end() noexcept;

    bool begun_ = false;
    bool ended_ = false;
};

/// The exchange of `context.mechanism`; one that refuses where it is not offered or nobody's.
[[nodiscard]] std::unique_ptr<Exchange::Impl> make_exchange(const Backend& backend,
                                                            ExchangeContext context);

}  // namespace postern::auth
