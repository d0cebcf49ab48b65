#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "auth/account_store.hpp"
#include "auth/password_memory.hpp"
#include "auth/sasl_library.hpp"
#include "auth/sasl_message.hpp"
#include "auth/sasl_server.hpp"

namespace postern::auth {

/// What exchanges work with; owned by the server and others above it.
struct Backend {
    SaslLibrary& library;
    AccountStore& store;
    PasswordMemory& memory;
    const FakeVerifiers& fakes;
};

/// States, by mechanism; any failure and any success end it:
///     PLAIN   begin -(nothing)-> await_plain -(message)-> judged;  begin -(message)-> judged
///     LOGIN   begin -(nothing)-> await_name -(name)-> await_password -(password)-> judged;  begin
///     -(name)-> await_password SCRAM   begin -(nothing)-> await_first -(client-first)->
///     await_final -(client-final, proof right)-> await_empty -("")-> judged
class Exchange::Impl final : private SaslQuestions {
  public:
    Impl(Backend backend, ExchangeContext context);
    ~Impl() override;
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    [[nodiscard]] std::optional<StepResult> try_quick(const std::optional<proto::Secret>& response);
    [[nodiscard]] StepResult step(const std::optional<proto::Secret>& response);
    [[nodiscard]] std::string_view typed_name() const noexcept { return name_.typed; }
    [[nodiscard]] std::string_view normalised_name() const noexcept { return name_.normalised; }
    [[nodiscard]] std::optional<std::string> name_in(
        const std::optional<proto::Secret>& response) const;

  private:
    enum class Family : std::uint8_t { plain, login, scram, none };
    enum class State : std::uint8_t {
        begin,
        await_plain,
        await_name,
        await_password,
        await_first,
        await_final,
        await_empty,
        ended
    };
    using Kind = Failure::Kind;

    struct Name {
        std::string typed;
        std::string normalised;  ///< The account's. Empty: nobody can have this name.
        std::optional<std::string> label;
    };
    [[nodiscard]] Name name_of(std::string_view typed) const;
    /// The credential that SCRAM is about; null: there is none.
    [[nodiscard]] const Credential* scram_credential() const noexcept;

    // What memory alone can do, by state.
    [[nodiscard]] StepResult prompt();
    [[nodiscard]] std::optional<StepResult> quick_plain(std::string_view message);
    [[nodiscard]] StepResult quick_login_name(std::string_view message);
    [[nodiscard]] std::optional<StepResult> quick_login_password(std::string_view message);
    [[nodiscard]] std::optional<StepResult> quick_scram_end(std::string_view message);
    [[nodiscard]] std::optional<StepResult> remembered(std::string_view password);

    // What needs the store or Cyrus.
    [[nodiscard]] StepResult judge_password(std::string_view message);
    [[nodiscard]] StepResult scram_first(std::string_view message);
    [[nodiscard]] StepResult scram_final(std::string_view message);
    [[nodiscard]] StepResult scram_end();
    [[nodiscard]] bool load_account();
    [[nodiscard]] bool open_connection();
    [[nodiscard]] std::optional<std::string> binding_refused(const ScramFirst& first);
    [[nodiscard]] const std::string* binding(std::string_view name) const noexcept;
    [[nodiscard]] Verifier verifier_to_check() const;

    // SaslQuestions
    [[nodiscard]] bool password_is_right(std::string_view password) noexcept override;
    [[nodiscard]] const std::string& verifier() const noexcept override { return verifier_text_; }

    // How it ends.
    [[nodiscard]] StepResult succeed(bool remembered);
    [[nodiscard]] Failure fail(Kind kind, std::string_view detail);
    void end() noexcept;

    Backend backend_;
    ExchangeContext context_;
    Family family_;
    State state_ = State::begin;
    Name name_;
    std::string authzid_;
    AccountPtr account_;
    std::uint64_t generation_ = 0;
    std::string store_error_;
    std::string expected_binding_;  ///< What c= must say, in base64.
    std::string verifier_text_;
    std::string secret_hash_;
    std::string credential_;
    bool password_right_ = false;
    std::unique_ptr<SaslConnection> connection_;
};

}  // namespace postern::auth
