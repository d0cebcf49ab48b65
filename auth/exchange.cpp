#include "auth/exchange.hpp"

#include <algorithm>

#include "auth/login_name.hpp"
#include "auth/saslprep.hpp"

namespace postern::auth {
namespace {

constexpr std::size_t shown_name_octets = 320;  ///< 64 + 1 + 255, RFC 5321 4.5.3.1

/// The start of the text that is no longer than that and cuts no character.
std::string shown(std::string_view text) {
    std::size_t size = std::min(text.size(), shown_name_octets);
    while (size < text.size() && size > 0 &&
           (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80)
        --size;
    return std::string(text.substr(0, size));
}

}  // namespace

bool stands(const Identity& identity, const AccountRecord* now) noexcept {
    if (now == nullptr || now->suspended || now->id != identity.account->id) return false;
    const Credential* const then = find_credential(*identity.account, identity.credential);
    const Credential* const still = find_credential(*now, identity.credential);
    return then != nullptr && still != nullptr && then->same_proof(*still);
}

Exchange::Impl::Impl(Backend backend, ExchangeContext context)
    : backend_(backend), context_(std::move(context)) {
    const bool offered =
        std::ranges::find(context_.offered, context_.mechanism) != context_.offered.end();
    const std::string_view mechanism = context_.mechanism;
    if (!offered) {
        family_ = Family::none;
    } else if (mechanism == "PLAIN") {
        family_ = Family::plain;
    } else if (mechanism == "LOGIN") {
        family_ = Family::login;
    } else if (mechanism == "SCRAM-SHA-256" || mechanism == "SCRAM-SHA-256-PLUS") {
        family_ = Family::scram;
    } else {
        family_ = Family::none;
    }
}

Exchange::Impl::~Impl() {
    end();
}

Exchange::Impl::Name Exchange::Impl::name_of(std::string_view typed) const {
    LoginName name = parse_login(typed, context_.separator);
    return {std::string(typed), std::move(name.account), std::move(name.label)};
}

const Credential* Exchange::Impl::scram_credential() const noexcept {
    if (!account_) return nullptr;
    const Credential* const found =
        find_credential(*account_, name_.label ? *name_.label : std::string_view());
    return found != nullptr && found->verifier ? found : nullptr;
}

std::optional<StepResult> Exchange::Impl::try_quick(const std::optional<proto::Secret>& response) {
    if (state_ == State::ended) return fail(Kind::malformed, "the exchange is over");
    if (family_ == Family::none) return fail(Kind::not_offered, "mechanism not offered");
    if (!response) {
        if (state_ != State::begin) return fail(Kind::malformed, "no response");
        return prompt();
    }
    const std::string_view message = response->reveal();
    switch (state_) {
        case State::begin:
            switch (family_) {
                case Family::plain:
                    return quick_plain(message);
                case Family::login:
                    return quick_login_name(message);
                default:
                    break;
            }
            [[fallthrough]];
        case State::await_first:
            if (!parse_scram_first(message)) return fail(Kind::malformed, "client-first-message");
            return std::nullopt;
        case State::await_plain:
            return quick_plain(message);
        case State::await_name:
            return quick_login_name(message);
        case State::await_password:
            return quick_login_password(message);
        case State::await_final:
            if (!binding_of_final(message)) return fail(Kind::malformed, "client-final-message");
            return std::nullopt;
        case State::await_empty:
            return quick_scram_end(message);
        case State::ended:
            break;
    }
    return std::nullopt;
}

StepResult Exchange::Impl::prompt() {
    switch (family_) {
        case Family::plain:
            state_ = State::await_plain;
            return Challenge{};
        case Family::login:
            state_ = State::await_name;
            return Challenge{"Username:"};
        default:
            state_ = State::await_first;
            return Challenge{};
    }
}

std::optional<StepResult> Exchange::Impl::quick_plain(std::string_view message) {
    const auto parsed = parse_plain(message);
    if (!parsed) return fail(Kind::malformed, "PLAIN message");
    name_ = name_of(parsed->authcid);
    authzid_ = parsed->authzid;
    return remembered(parsed->password);
}

StepResult Exchange::Impl::quick_login_name(std::string_view message) {
    if (!well_formed(message)) return fail(Kind::malformed, "LOGIN user name");
    name_ = name_of(message);
    state_ = State::await_password;
    return Challenge{"Password:"};
}

std::optional<StepResult> Exchange::Impl::quick_login_password(std::string_view message) {
    if (!well_formed(message)) return fail(Kind::malformed, "LOGIN password");
    return remembered(message);
}

std::optional<StepResult> Exchange::Impl::remembered(std::string_view password) {
    if (name_.normalised.empty()) return std::nullopt;
    const std::uint64_t generation = backend_.store.generation();
    AccountPtr account = backend_.store.find_cached(name_.normalised);
    if (!account || account->suspended) return std::nullopt;
    std::optional<std::string> prepared = saslprep(password, PrepUse::query);
    if (!prepared) return std::nullopt;
    std::optional<std::string> credential = backend_.memory.check(*account, name_.label, *prepared);
    wipe(prepared->data(), prepared->size());
    if (!credential) return std::nullopt;
    account_ = std::move(account);
    generation_ = generation;
    credential_ = std::move(*credential);
    return succeed(true);
}

std::optional<StepResult> Exchange::Impl::quick_scram_end(std::string_view message) {
    if (!message.empty()) return fail(Kind::malformed, "the last response must be empty");
    // The client took its time with the last step: what was read may be old.
    if (backend_.store.generation() != generation_) return std::nullopt;
    return succeed(false);
}

StepResult Exchange::Impl::step(const std::optional<proto::Secret>& response) {
    if (std::optional<StepResult> quick = try_quick(response)) return std::move(*quick);
    const std::string_view message = response ? response->reveal() : std::string_view();
    switch (state_) {
        case State::begin:
        case State::await_plain:
        case State::await_first:
            return family_ == Family::plain ? judge_password(message) : scram_first(message);
        case State::await_password:
            return judge_password(message);
        case State::await_final:
            return scram_final(message);
        case State::await_empty:
            return scram_end();
        case State::await_name:
        case State::ended:
            break;
    }
    return fail(Kind::malformed, "out of order");
}

bool Exchange::Impl::load_account() {
    generation_ = backend_.store.generation();
    account_.reset();
    if (name_.normalised.empty()) return true;
    const auto found = backend_.store.find(name_.normalised);
    if (found) {
        account_ = *found;
        return true;
    }
    if (found.error() == AuthError::not_found) return true;
    store_error_ = found.error().message();
    return false;
}

Verifier Exchange::Impl::verifier_to_check() const {
    // Made for those who exist, too: SCRAM's first step is short enough for the difference to show.
    Verifier verifier =
        backend_.fakes.of(name_.normalised.empty() ? name_.typed : name_.normalised,
                          *backend_.store.iteration_shares(), backend_.store.iterations());
    if (const Credential* const credential = scram_credential()) return *credential->verifier;
    // A label that is not there shows no other salt than one that is, and a bare name tries all
    // credentials with the salt that they share.
    if (const Verifier* const shared = account_ ? shared_verifier(*account_) : nullptr) {
        verifier.salt = shared->salt;
        verifier.iterations = shared->iterations;
    }
    return verifier;
}

bool Exchange::Impl::open_connection() {
    connection_ = SaslConnection::make(backend_.library, *this);
    return connection_ != nullptr;
}

StepResult Exchange::Impl::judge_password(std::string_view message) {
    if (!load_account()) return fail(Kind::unavailable, store_error_);
    if (!open_connection()) return fail(Kind::unavailable, "Cyrus SASL: out of memory");
    SaslConnection::Step step;
    if (family_ == Family::plain) {
        step = connection_->start("PLAIN", message);
    } else {
        step = connection_->start("LOGIN", name_.typed);
        if (step.kind == SaslConnection::Step::Kind::more) step = connection_->step(message);
    }
    if (password_right_) {
        if (step.kind == SaslConnection::Step::Kind::done) return succeed(false);
        return fail(Kind::unavailable, step.error);
    }
    // Cyrus never came to ask: what it says of the message counts, else it is ill.
    if (secret_hash_.empty() && step.kind != SaslConnection::Step::Kind::malformed)
        return fail(Kind::unavailable, step.error);
    return fail(secret_hash_.empty() ? Kind::malformed : Kind::bad_credentials, {});
}

bool Exchange::Impl::password_is_right(std::string_view password) noexcept {
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
    }
    secret_hash_ = backend_.memory.secret_hash(
        name_.normalised.empty() ? name_.typed : name_.normalised, secret);
    if (password_right_ && !account_->suspended)
        backend_.memory.remember(*account_, credential_, secret);
    if (prepared) wipe(prepared->data(), prepared->size());
    wipe(stored.data(), stored.size());
    return password_right_;
}

StepResult Exchange::Impl::scram_first(std::string_view message) {
    const auto first = parse_scram_first(message);
    if (!first) return fail(Kind::malformed, "client-first-message");
    name_ = name_of(first->name);
    authzid_ = first->authzid;
    if (!load_account()) return fail(Kind::unavailable, store_error_);
    verifier_text_ = verifier_to_check().text();
    if (const Credential* const credential = scram_credential()) credential_ = credential->name;
    if (const auto refused = binding_refused(*first)) return fail(Kind::bad_credentials, *refused);
    if (!open_connection()) return fail(Kind::unavailable, "Cyrus SASL: out of memory");
    std::string bound = first->header;
    if (first->flag == BindingFlag::used) {
        const std::string& octets = *binding(first->binding);
        if (!connection_->bind_channel(first->binding, octets))
            return fail(Kind::unavailable, "Cyrus SASL: takes no channel binding");
        bound += octets;
    }
    expected_binding_ = base64(bound);

    SaslConnection::Step step = connection_->start(context_.mechanism, message);
    switch (step.kind) {
        case SaslConnection::Step::Kind::more:
            state_ = State::await_final;
            return Challenge{std::move(step.octets)};
        case SaslConnection::Step::Kind::malformed:
            return fail(Kind::malformed, step.error);
        default:
            return fail(Kind::unavailable, step.error);
    }
}

const std::string* Exchange::Impl::binding(std::string_view name) const noexcept {
    const ChannelBindings& all = context_.bindings;
    const std::optional<std::string>* wanted = nullptr;
    if (name == "tls-exporter") wanted = &all.tls_exporter;
    if (name == "tls-server-end-point") wanted = &all.tls_server_end_point;
    if (name == "tls-unique") wanted = &all.tls_unique;
    return wanted != nullptr && wanted->has_value() && !(*wanted)->empty() ? &**wanted : nullptr;
}

/// RFC 5802 6: each of these is somebody between the client and us, or a client that must not be
/// believed.
std::optional<std::string> Exchange::Impl::binding_refused(const ScramFirst& first) {
    const bool plus = context_.mechanism == "SCRAM-SHA-256-PLUS";
    const bool plus_offered =
        std::ranges::find(context_.offered, "SCRAM-SHA-256-PLUS") != context_.offered.end();
    if (plus && first.flag != BindingFlag::used) return "no channel binding with a -PLUS mechanism";
    if (!plus && first.flag == BindingFlag::used)
        return "channel binding without a -PLUS mechanism";
    if (first.flag == BindingFlag::unoffered && plus_offered)
        return "the client did not see that -PLUS is offered";
    if (first.flag == BindingFlag::used && binding(first.binding) == nullptr)
        return "channel binding not to be had";
    return std::nullopt;
}

StepResult Exchange::Impl::scram_final(std::string_view message) {
    // Cyrus lets octets behind a header without binding pass.
    if (binding_of_final(message) != expected_binding_)
        return fail(Kind::bad_credentials, "channel binding differs");
    const SaslConnection::Step step = connection_->step(message);
    if (step.kind == SaslConnection::Step::Kind::failed) return fail(Kind::unavailable, step.error);
    // The message is well formed: what Cyrus dislikes is the nonce, the binding or the proof.
    if (step.kind != SaslConnection::Step::Kind::more)
        return fail(Kind::bad_credentials, step.error);
    const SaslConnection::Step last = connection_->step({});
    if (last.kind != SaslConnection::Step::Kind::done) return fail(Kind::unavailable, last.error);
    connection_.reset();
    // A fake's proof cannot be made, but nothing may rest on that alone.
    if (scram_credential() == nullptr) return fail(Kind::bad_credentials, "no such account");
    state_ = State::await_empty;
    return Challenge{step.octets};
}

StepResult Exchange::Impl::scram_end() {
    const Identity proved{account_, credential_, {}, generation_};
    if (!load_account()) return fail(Kind::unavailable, store_error_);
    if (!(account_ && account_->suspended) && !stands(proved, account_.get()))
        return fail(Kind::bad_credentials, "changed during the exchange");
    return succeed(false);
}

StepResult Exchange::Impl::succeed(bool remembered) {
    if (account_->suspended) {
        std::string text = account_->suspended->text;
        Failure failure = fail(Kind::suspended, {});
        failure.text = std::move(text);
        return failure;
    }
    std::string authzid = account_->name;
    if (!authzid_.empty()) {
        // Its own login name, with the label that it carries, is its own identity.
        LoginName wanted = parse_login(authzid_, context_.separator);
        authzid = std::move(wanted.account);
        const bool own_label = !wanted.label || wanted.label == name_.label;
        if (authzid.empty() || !own_label || !may_act_as(*account_, authzid))
            return fail(Kind::bad_credentials, "authorization identity not granted");
    }
    Success success{{account_, credential_, std::move(authzid), generation_}, remembered};
    end();
    return success;
}

Failure Exchange::Impl::fail(Kind kind, std::string_view detail) {
    Failure failure;
    failure.kind = kind;
    failure.known = account_ != nullptr;
    failure.account = account_ ? account_->name : shown(name_.typed);
    if (account_) failure.customer = account_->customer;
    failure.credential = credential_;
    failure.secret_hash = secret_hash_;
    failure.detail = detail;
    end();
    return failure;
}

void Exchange::Impl::end() noexcept {
    state_ = State::ended;
    connection_.reset();
    account_.reset();
    wipe(verifier_text_.data(), verifier_text_.size());
    verifier_text_.clear();
}

std::optional<std::string> Exchange::Impl::name_in(
    const std::optional<proto::Secret>& response) const {
    const auto normalised = [this](const auto& typed) { return name_of(typed).normalised; };
    switch (state_) {
        case State::begin:
        case State::await_plain:
        case State::await_name:
        case State::await_first:
            break;
        default:
            return name_.normalised;
    }
    if (!response) return std::nullopt;
    const std::string_view message = response->reveal();
    switch (family_) {
        case Family::plain: {
            const auto parsed = parse_plain(message);
            return parsed ? normalised(parsed->authcid) : std::string();
        }
        case Family::login:
            return well_formed(message) ? normalised(message) : std::string();
        default: {
            const auto parsed = parse_scram_first(message);
            return parsed ? normalised(parsed->name) : std::string();
        }
    }
}

}  // namespace postern::auth
