#pragma once

#include <memory>
#include <string>

#include "auth/exchange.hpp"
#include "auth/sasl_library.hpp"
#include "auth/verifier.hpp"

namespace postern::auth {

/// What goes through Cyrus: one connection of it, and our answers to what it asks.
class CyrusExchange : public Exchange::Impl, protected SaslQuestions {
  public:
    using Impl::Impl;
    ~CyrusExchange() override;

  protected:
    using Step = SaslConnection::Step;

    /// False: out of memory.
    [[nodiscard]] bool open_connection();
    /// The credential that the name noted means, where it has a verifier: the one of its label, or
    /// of a bare name the first password. Null: there is none.
    [[nodiscard]] const Credential* meant() const noexcept;
    /// A verifier that nothing matches, with the salt and round count that the name shows.
    [[nodiscard]] Verifier fake_verifier() const;
    /// The verifier that the name noted is checked against, of meant() or a fake.
    [[nodiscard]] Verifier verifier_to_check() const;

    // SaslQuestions; what a family is not asked it denies.
    [[nodiscard]] bool password_is_right(std::string_view password) noexcept override;
    [[nodiscard]] const std::string& verifier() const noexcept override { return verifier_text_; }
    void drop() noexcept override;

    std::unique_ptr<SaslConnection> connection_;
    std::string verifier_text_;  ///< RFC 5803
};

}  // namespace postern::auth
