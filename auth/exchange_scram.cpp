// States; any failure and any success end it:
//     begin -(nothing)-> await_first -(client-first)-> await_final -(client-final, proof right)->
//     await_empty -("")-> judged

#include "auth/exchange_scram.hpp"

#include "auth/digest.hpp"
#include "auth/exchange_cyrus.hpp"
#include "auth/sasl_message.hpp"
#include "auth/scram_sha1.hpp"

namespace postern::auth {
namespace {

class ScramExchange final : public CyrusExchange {
  public:
    ScramExchange(const Backend& backend, ExchangeContext context)
        : CyrusExchange(backend, std::move(context)),
          is_sha1_(context_.mechanism == "SCRAM-SHA-1") {}

  private:
    enum class Await : std::uint8_t { first, final, empty };

    [[nodiscard]] StepResult prompt() override { return Challenge{}; }
    [[nodiscard]] std::optional<StepResult> quick(std::string_view message) override;
    [[nodiscard]] StepResult work(std::string_view message) override;
    [[nodiscard]] std::optional<std::string> name_said(std::string_view message) const override;

    [[nodiscard]] bool asks_elsewhere() const noexcept override {
        return backend_.elsewhere != nullptr && await_ == Await::first;
    }

    [[nodiscard]] StepResult first(std::string_view message);
    [[nodiscard]] StepResult final(std::string_view message);
    [[nodiscard]] StepResult empty();
    /// The credential that the exchange is about; null: there is none, or none that this mechanism
    /// could prove.
    [[nodiscard]] const Credential* proving() const;
    [[nodiscard]] std::string text_to_check() const;
    [[nodiscard]] bool fetch_elsewhere();
    [[nodiscard]] bool is_somebody() const {
        return backend_.elsewhere == nullptr ? proving() != nullptr : known_elsewhere_;
    }
    [[nodiscard]] std::optional<std::string> binding_refused(const ScramFirst& message) const;
    [[nodiscard]] const std::string* binding(std::string_view name) const noexcept;

    const bool is_sha1_;
    Await await_ = Await::first;
    std::string expected_binding_;  ///< What c= must say, in base64.
    bool known_elsewhere_ = false;  ///< Another back-end has a password of that name.
};

std::optional<StepResult> ScramExchange::quick(std::string_view message) {
    switch (await_) {
        case Await::first:
            if (!parse_scram_first(message)) return fail(Kind::malformed, "client-first-message");
            return std::nullopt;
        case Await::final:
            if (!binding_of_final(message)) return fail(Kind::malformed, "client-final-message");
            return std::nullopt;
        case Await::empty:
            break;
    }
    if (!message.empty()) return fail(Kind::malformed, "the last response must be empty");
    // The client took its time with the last step: what was read may be old.
    if (backend_.store.generation() != generation_) return std::nullopt;
    return succeed(password_rests_on());
}

StepResult ScramExchange::work(std::string_view message) {
    switch (await_) {
        case Await::first:
            return first(message);
        case Await::final:
            return final(message);
        case Await::empty:
            break;
    }
    return empty();
}

const Credential* ScramExchange::proving() const {
    const Credential* const found = meant();
    if (found == nullptr || !is_sha1_) return found;
    return scram_sha1_fits(found->scram_sha1, *found->verifier) ? found : nullptr;
}

std::string ScramExchange::text_to_check() const {
    if (!is_sha1_) return verifier_to_check().text();
    // As verifier_to_check(): made for everybody.
    std::string fake = fake_scram_sha1(fake_verifier());
    if (const Credential* const credential = proving()) return credential->scram_sha1;
    return fake;
}

StepResult ScramExchange::first(std::string_view message) {
    const auto parsed = parse_scram_first(message);
    if (!parsed) return fail(Kind::malformed, "client-first-message");
    name_ = name_of(parsed->name);
    authzid_ = parsed->authzid;
    if (!load_account()) return fail(Kind::unavailable, store_error_);
    verifier_text_ = text_to_check();
    if (const Credential* const credential = proving()) credential_ = credential->name;
    if (const auto refused = binding_refused(*parsed)) return fail(Kind::bad_credentials, *refused);
    if (backend_.elsewhere != nullptr && !fetch_elsewhere())
        return fail(Kind::unavailable, store_error_);
    if (!open_connection()) return fail(Kind::unavailable, "Cyrus SASL: out of memory");
    std::string bound = parsed->header;
    if (parsed->flag == BindingFlag::used) {
        const std::string& octets = *binding(parsed->binding);
        if (!connection_->bind_channel(parsed->binding, octets))
            return fail(Kind::unavailable, "Cyrus SASL: takes no channel binding");
        bound += octets;
    }
    expected_binding_ = base64(bound);

    Step step = connection_->start(context_.mechanism, message);
    switch (step.kind) {
        case Step::Kind::more:
            await_ = Await::final;
            return Challenge{std::move(step.octets)};
        case Step::Kind::malformed:
            return fail(Kind::malformed, step.error);
        default:
            return fail(Kind::unavailable, step.error);
    }
}

const std::string* ScramExchange::binding(std::string_view name) const noexcept {
    const ChannelBindings& all = context_.bindings;
    const std::optional<std::string>* wanted = nullptr;
    if (name == "tls-exporter") wanted = &all.tls_exporter;
    if (name == "tls-server-end-point") wanted = &all.tls_server_end_point;
    if (name == "tls-unique") wanted = &all.tls_unique;
    return wanted != nullptr && wanted->has_value() && !(*wanted)->empty() ? &**wanted : nullptr;
}

/// RFC 5802 6: each of these is somebody between the client and us, or a client that must not be
/// believed.
std::optional<std::string> ScramExchange::binding_refused(const ScramFirst& message) const {
    const bool plus = context_.mechanism.ends_with("-PLUS");
    if (plus && message.flag != BindingFlag::used)
        return "no channel binding with a -PLUS mechanism";
    if (!plus && message.flag == BindingFlag::used)
        return "channel binding without a -PLUS mechanism";
    // By SCRAM-SHA-1, too, which has no -PLUS here: who could bind would have seen the other.
    if (message.flag == BindingFlag::unoffered && is_offered("SCRAM-SHA-256-PLUS"))
        return "the client did not see that -PLUS is offered";
    if (message.flag == BindingFlag::used && binding(message.binding) == nullptr)
        return "channel binding not to be had";
    return std::nullopt;
}

StepResult ScramExchange::final(std::string_view message) {
    // Cyrus lets octets behind a header without binding pass.
    if (binding_of_final(message) != expected_binding_)
        return fail(Kind::bad_credentials, "channel binding differs");
    const Step step = connection_->step(message);
    if (step.kind == Step::Kind::failed) return fail(Kind::unavailable, step.error);
    // The message is well formed: what Cyrus dislikes is the nonce, the binding or the proof.
    if (step.kind != Step::Kind::more) return fail(Kind::bad_credentials, step.error);
    const Step last = connection_->step({});
    if (last.kind != Step::Kind::done) return fail(Kind::unavailable, last.error);
    connection_.reset();
    // A fake's proof cannot be made, but nothing may rest on that alone.
    if (!is_somebody()) return fail(Kind::bad_credentials, "no such account");
    if (backend_.elsewhere != nullptr && !have_account())
        return fail(Kind::unavailable, store_error_);
    await_ = Await::empty;
    return Challenge{step.octets};
}

StepResult ScramExchange::empty() {
    const Identity proved{account_, credential_, {}, generation_, password_rests_on()};
    if (!load_account()) return fail(Kind::unavailable, store_error_);
    if (!(account_ && account_->suspended) && !stands(proved, account_.get()))
        return fail(Kind::bad_credentials, "changed during the exchange");
    return succeed(password_rests_on());
}

/// Makes a verifier of the password that another back-end gives out, with the salt and the round
/// count that the name has in any case; and does the same work where it has none.
bool ScramExchange::fetch_elsewhere() {
    Verifier verifier =
        backend_.fakes.of(name_.normalised.empty() ? name_.typed : name_.normalised,
                          *backend_.store.iteration_shares(), backend_.store.iterations());
    BackendAnswer answer;
    answer.kind = BackendAnswer::Kind::failed;
    if (const auto user = user_elsewhere()) {
        answer = backend_.elsewhere->passwords->fetch(*user);
        if (!hear(answer)) return false;
    }
    const bool known = answer.kind == BackendAnswer::Kind::ok;
    const auto made = make_verifier(known ? answer.password.reveal() : "nobody's", verifier.salt,
                                    verifier.iterations);
    known_elsewhere_ = known && made.has_value();
    if (known_elsewhere_) verifier = *made;
    verifier_text_ = verifier.text();
    return true;
}

std::optional<std::string> ScramExchange::name_said(std::string_view message) const {
    const auto parsed = parse_scram_first(message);
    return parsed ? name_of(parsed->name).normalised : std::string();
}

}  // namespace

std::unique_ptr<Exchange::Impl> make_scram_exchange(const Backend& backend,
                                                    ExchangeContext context) {
    return std::make_unique<ScramExchange>(backend, std::move(context));
}

}  // namespace postern::auth
