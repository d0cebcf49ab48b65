// States; any failure and any success end it:
//     PLAIN   begin -(nothing)-> await_message -(message)-> judged;  begin -(message)-> judged
//     LOGIN   begin -(nothing)-> await_name -(name)-> await_password -(password)-> judged;
//             begin -(name)-> await_password

#include "auth/exchange_password.hpp"

#include "auth/crypt_hash.hpp"
#include "auth/digest.hpp"
#include "auth/exchange_cyrus.hpp"
#include "auth/sasl_message.hpp"
#include "auth/saslprep.hpp"

namespace postern::auth {
namespace {

class PasswordExchange final : public CyrusExchange {
  public:
    PasswordExchange(const Backend& backend, ExchangeContext context)
        : CyrusExchange(backend, std::move(context)),
          is_plain_(context_.mechanism == "PLAIN"),
          await_(is_plain_ ? Await::message : Await::name) {}

  private:
    enum class Await : std::uint8_t { message, name, password };

    [[nodiscard]] StepResult prompt() override;
    [[nodiscard]] std::optional<StepResult> quick(std::string_view message) override;
    [[nodiscard]] StepResult work(std::string_view message) override;
    [[nodiscard]] std::optional<std::string> name_said(std::string_view message) const override;
    [[nodiscard]] bool password_is_right(std::string_view password) noexcept override;
    [[nodiscard]] bool asks_elsewhere() const noexcept override {
        return backend_.elsewhere != nullptr && await_ != Await::name;
    }

    [[nodiscard]] std::optional<StepResult> remembered(std::string_view password);
    [[nodiscard]] const Credential* hash_of(std::string_view typed) const;
    void adopt();
    [[nodiscard]] bool store_says(std::string_view password);
    void keep(std::string_view prepared);
    [[nodiscard]] bool elsewhere_says(std::string_view password);

    const bool is_plain_;
    Await await_;
    bool password_right_ = false;
    std::optional<proto::Secret> proved_hash_;  ///< The (prepared) password of an imported hash.
};

StepResult PasswordExchange::prompt() {
    return is_plain_ ? Challenge{} : Challenge{"Username:"};
}

std::optional<StepResult> PasswordExchange::quick(std::string_view message) {
    switch (await_) {
        case Await::message: {
            const auto parsed = parse_plain(message);
            if (!parsed) return fail(Kind::malformed, "PLAIN message");
            name_ = name_of(parsed->authcid);
            authzid_ = parsed->authzid;
            return remembered(parsed->password);
        }
        case Await::name:
            if (!well_formed(message)) return fail(Kind::malformed, "LOGIN user name");
            name_ = name_of(message);
            await_ = Await::password;
            return Challenge{"Password:"};
        case Await::password:
            break;
    }
    if (!well_formed(message)) return fail(Kind::malformed, "LOGIN password");
    return remembered(message);
}

std::optional<StepResult> PasswordExchange::remembered(std::string_view password) {
    if (name_.normalised.empty()) return std::nullopt;
    const std::uint64_t generation = backend_.store.generation();
    AccountPtr account = backend_.store.find_cached(name_.normalised);
    if (!account || account->suspended) return std::nullopt;
    std::optional<std::string> prepared = saslprep(password, PrepUse::query);
    if (!prepared) return std::nullopt;
    std::optional<std::string> credential;
    if (backend_.elsewhere == nullptr) {
        credential = backend_.memory.check(*account, name_.label, *prepared);
    } else if (backend_.memory.check_elsewhere(*account, *prepared)) {
        credential = "";
    }
    wipe(prepared->data(), prepared->size());
    if (!credential) return std::nullopt;
    // Its verifier can only be made where the password is at hand.
    const Credential* const known = find_credential(*account, *credential);
    if (known != nullptr && backend_.store.wants_scram_sha1(*known)) return std::nullopt;
    account_ = std::move(account);
    generation_ = generation;
    credential_ = std::move(*credential);
    StepResult out = succeed(password_rests_on());
    if (auto* const success = std::get_if<Success>(&out)) success->remembered = true;
    return out;
}

StepResult PasswordExchange::work(std::string_view message) {
    if (!load_account()) return fail(Kind::unavailable, store_error_);
    if (!open_connection()) return fail(Kind::unavailable, "Cyrus SASL: out of memory");
    Step step;
    if (is_plain_) {
        step = connection_->start("PLAIN", message);
    } else {
        step = connection_->start("LOGIN", name_.typed);
        if (step.kind == Step::Kind::more) step = connection_->step(message);
    }
    if (!store_error_.empty()) return fail(Kind::unavailable, store_error_);
    if (password_right_) {
        if (step.kind == Step::Kind::done) {
            if (proved_hash_) adopt();
            return succeed(password_rests_on());
        }
        return fail(Kind::unavailable, step.error);
    }
    // Cyrus never came to ask: what it says of the message counts, else it is ill.
    if (secret_hash_.empty() && step.kind != Step::Kind::malformed)
        return fail(Kind::unavailable, step.error);
    return fail(secret_hash_.empty() ? Kind::malformed : Kind::bad_credentials, {});
}

/// What another back-end says of it. Failures take what time they take: whoever answers them holds
/// them to a floor. An error leaves its text in store_error_.
bool PasswordExchange::elsewhere_says(std::string_view password) {
    std::optional<std::string> prepared = saslprep(password, PrepUse::query);
    const std::string_view secret = prepared ? std::string_view(*prepared) : password;
    secret_hash_ = backend_.memory.secret_hash(
        name_.normalised.empty() ? name_.typed : name_.normalised, secret);
    const auto user = user_elsewhere();
    if (user && prepared && !prepared->empty()) {
        // In clear as it was typed: what stands behind saslauthd may have hashed just that.
        const BackendAnswer answer = backend_.elsewhere->passwords->check(*user, password);
        if (hear(answer) && answer.kind == BackendAnswer::Kind::ok && have_account()) {
            password_right_ = true;
            if (!account_->suspended) backend_.memory.remember_elsewhere(*account_, secret);
        }
    }
    if (prepared) wipe(prepared->data(), prepared->size());
    return password_right_;
}

/// Called by C: nothing may be thrown through it.
bool PasswordExchange::password_is_right(std::string_view password) noexcept {
    try {
        return backend_.elsewhere != nullptr ? elsewhere_says(password) : store_says(password);
    } catch (...) {
        password_right_ = false;
        store_error_ = "internal error";  // Short enough for its place: no memory is asked for.
        return false;
    }
}

bool PasswordExchange::store_says(std::string_view password) {
    const Verifier verifier = verifier_to_check();
    std::optional<std::string> prepared = saslprep(password, PrepUse::query);
    const std::string_view secret = prepared ? std::string_view(*prepared) : password;
    // Whoever does not exist, has no password or sends a prohibited one costs the same work.
    Digest stored = stored_key_of(secret, verifier.salt, verifier.iterations);
    if (account_ && prepared && !prepared->empty()) {
        for (const Credential& credential : account_->credentials) {
            if (!credential.verifier || credential.verifier->salt != verifier.salt ||
                credential.verifier->iterations != verifier.iterations ||
                (name_.label && credential.name != *name_.label))
                continue;
            if (!equal_in_constant_time(view(stored), view(credential.verifier->stored_key)))
                continue;
            password_right_ = true;
            credential_ = credential.name;
            break;
        }
        if (const Credential* const hash = password_right_ ? nullptr : hash_of(password)) {
            password_right_ = true;
            credential_ = hash->name;
            proved_hash_.emplace(secret);
        }
    }
    secret_hash_ = backend_.memory.secret_hash(
        name_.normalised.empty() ? name_.typed : name_.normalised, secret);
    if (password_right_ && !proved_hash_) keep(secret);
    if (prepared) wipe(prepared->data(), prepared->size());
    wipe(stored.data(), stored.size());
    return password_right_;
}

/// The imported hash that the password is right for; null: none.
const Credential* PasswordExchange::hash_of(std::string_view typed) const {
    for (const Credential& credential : account_->credentials) {
        if (credential.crypt.empty() || credential.verifier ||
            (name_.label && credential.name != *name_.label))
            continue;
        // Whoever made the hash took the octets as they came. Never both forms: a second check
        // would take longer than the floor that hides the first.
        if (crypt_matches(credential.crypt, typed)) return &credential;
    }
    return nullptr;
}

/// The hash has done its work. Where its verifier cannot be written now, the next login does it.
void PasswordExchange::adopt() {
    if (account_->suspended) return;
    const auto adopted =
        backend_.store.adopt_password(*account_, credential_, proved_hash_->reveal());
    if (!adopted) {
        if (adopted.error() != AuthError::changed_meanwhile) notice_ = adopted.error().message();
        return;
    }
    account_ = *adopted;
    generation_ = account_->version;  // What it is as of that change.
    keep(proved_hash_->reveal());
}

/// What a right password leaves behind.
void PasswordExchange::keep(std::string_view prepared) {
    const Credential* const credential = find_credential(*account_, credential_);
    if (credential != nullptr && backend_.store.wants_scram_sha1(*credential)) {
        // Where it cannot be written now, a later login will do.
        if (auto fresh = backend_.store.keep_scram_sha1(*account_, credential_, prepared)) {
            account_ = std::move(*fresh);
            generation_ = account_->version;  // What it is as of that change.
        }
    }
    if (!account_->suspended) backend_.memory.remember(*account_, credential_, prepared);
}

std::optional<std::string> PasswordExchange::name_said(std::string_view message) const {
    if (!is_plain_) return well_formed(message) ? name_of(message).normalised : std::string();
    const auto parsed = parse_plain(message);
    return parsed ? name_of(parsed->authcid).normalised : std::string();
}

}  // namespace

std::unique_ptr<Exchange::Impl> make_password_exchange(const Backend& backend,
                                                       ExchangeContext context) {
    return std::make_unique<PasswordExchange>(backend, std::move(context));
}

}  // namespace postern::auth
