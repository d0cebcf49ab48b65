// States; any failure and any success end it:
//     begin -(nothing)-> await -(authorization identity, may be empty)-> judged;
//     begin -(authorization identity)-> judged

#include "auth/exchange_external.hpp"

#include <algorithm>

#include "auth/exchange_cyrus.hpp"
#include "auth/sasl_message.hpp"
#include "auth/saslprep.hpp"

namespace postern::auth {
namespace {

constexpr std::size_t shown_digits = 16;

/// What stands in place of a login name before it is known whose the certificate is.
std::string subject_of(const ClientCertificate& certificate) {
    return "certificate:" + certificate.fingerprint.substr(0, shown_digits);
}

class ExternalExchange final : public CyrusExchange {
  public:
    ExternalExchange(const Backend& backend, ExchangeContext context)
        : CyrusExchange(backend, std::move(context)) {
        if (!context_.certificate) return;
        const ClientCertificate& shown = *context_.certificate;
        name_.typed = shown.name.value_or(subject_of(shown));
        // What the guard counts a failure for.
        name_.normalised = shown.name ? asserted_login(*shown.name).value_or("") : name_.typed;
    }

  private:
    [[nodiscard]] StepResult prompt() override { return Challenge{}; }
    [[nodiscard]] std::optional<StepResult> quick(std::string_view message) override;
    [[nodiscard]] StepResult work(std::string_view message) override;
    [[nodiscard]] std::optional<std::string> name_said(std::string_view) const override {
        return std::nullopt;
    }

    /// Finds the account; what the login would rest on. Unset: there is none (`why`).
    [[nodiscard]] result<std::optional<Identity::RestsOn>> find_account(std::string_view& why);
};

std::optional<StepResult> ExternalExchange::quick(std::string_view message) {
    if (!message.empty() && !well_formed(message)) return fail(Kind::malformed, "EXTERNAL message");
    if (!context_.certificate) return fail(Kind::bad_credentials, "no client certificate");
    switch (context_.certificate->validity) {
        case ClientCertificate::Validity::good:
            return std::nullopt;
        case ClientCertificate::Validity::not_yet:
            return fail(Kind::bad_credentials, "the certificate is not valid yet");
        case ClientCertificate::Validity::expired:
            break;
    }
    return fail(Kind::bad_credentials, "the certificate has expired");
}

result<std::optional<Identity::RestsOn>> ExternalExchange::find_account(std::string_view& why) {
    const ClientCertificate& shown = *context_.certificate;
    // What was bound by hand comes before what an authority says.
    const auto owner = backend_.store.find_by_certificate(shown.fingerprint);
    if (!owner && owner.error() != AuthError::not_found) return owner.error();
    if (owner) {
        name_.normalised = *owner;
        if (!load_account()) return AuthError::store_io;
        const auto bound = [&](const Credential& c) { return c.certificate == shown.fingerprint; };
        if (account_) {
            const auto at = std::ranges::find_if(account_->credentials, bound);
            if (at != account_->credentials.end()) {
                credential_ = at->name;
                name_.label = at->name;
                return std::optional(Identity::RestsOn::credential);
            }
        }
        // It was revoked at this moment.
        account_.reset();
        name_.normalised.clear();
    }
    why = shown.no_name.empty() ? "the certificate is nobody's" : std::string_view(shown.no_name);
    if (!shown.name) return std::optional<Identity::RestsOn>();
    name_.normalised = asserted_login(*shown.name).value_or("");
    if (!load_account()) return AuthError::store_io;
    if (account_) {
        // Not the first password: a right certificate forgives no guess of that.
        credential_ = certificate_credential;
        return std::optional(Identity::RestsOn::account);
    }
    why = "there is no account of the certificate's name";
    return std::optional<Identity::RestsOn>();
}

StepResult ExternalExchange::work(std::string_view message) {
    std::string_view why;
    const auto rests_on = find_account(why);
    if (!rests_on)
        return fail(Kind::unavailable,
                    store_error_.empty() ? rests_on.error().message() : store_error_);
    if (!*rests_on) return fail(Kind::bad_credentials, why);
    authzid_ = message;
    if (!open_connection() || !connection_->proved_outside())
        return fail(Kind::unavailable, "Cyrus SASL: out of memory");
    const Step step = connection_->start("EXTERNAL", authzid_);
    if (step.kind != Step::Kind::done) return fail(Kind::unavailable, step.error);
    return succeed(**rests_on);
}

}  // namespace

std::unique_ptr<Exchange::Impl> make_external_exchange(const Backend& backend,
                                                       ExchangeContext context) {
    return std::make_unique<ExternalExchange>(backend, std::move(context));
}

}  // namespace postern::auth
