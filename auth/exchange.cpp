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
    if (identity.rests_on == Identity::RestsOn::account) return true;
    const Credential* const then = find_credential(*identity.account, identity.credential);
    const Credential* const still = find_credential(*now, identity.credential);
    return then != nullptr && still != nullptr && then->same_proof(*still);
}

Exchange::Impl::Impl(const Backend& backend, ExchangeContext context)
    : backend_(backend), context_(std::move(context)) {}

Exchange::Impl::Name Exchange::Impl::name_of(std::string_view typed) const {
    // The store's credentials are not asked beside another back-end: there are no labels.
    if (backend_.elsewhere != nullptr) {
        const auto user = backend_user(typed, backend_.elsewhere->domain);
        return {std::string(typed), user ? user->address() : std::string(), std::nullopt};
    }
    LoginName name = parse_login(typed, context_.separator);
    return {std::string(typed), std::move(name.account), std::move(name.label)};
}

bool Exchange::Impl::is_offered(std::string_view mechanism) const noexcept {
    return std::ranges::find(context_.offered, mechanism) != context_.offered.end();
}

std::optional<StepResult> Exchange::Impl::try_quick(const std::optional<proto::Secret>& response) {
    if (ended_) return fail(Kind::malformed, "the exchange is over");
    if (!response) {
        if (begun_) return fail(Kind::malformed, "no response");
        begun_ = true;
        return prompt();
    }
    std::optional<StepResult> said = quick(response->reveal());
    if (said) begun_ = true;
    return said;
}

StepResult Exchange::Impl::step(const std::optional<proto::Secret>& response) {
    if (std::optional<StepResult> quick_one = try_quick(response)) return std::move(*quick_one);
    begun_ = true;
    return work(response->reveal());
}

std::optional<std::string> Exchange::Impl::name_in(
    const std::optional<proto::Secret>& response) const {
    if (!name_.typed.empty()) return name_.normalised;
    if (!response) return std::nullopt;
    return name_said(response->reveal());
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

std::optional<BackendUser> Exchange::Impl::user_elsewhere() const {
    if (name_.normalised.empty()) return std::nullopt;
    return backend_user(name_.normalised, backend_.elsewhere->domain);
}

bool Exchange::Impl::hear(const BackendAnswer& answer) {
    if (answer.asked) heard_elsewhere_ = answer.kind;
    if (answer.kind == BackendAnswer::Kind::ok || answer.kind == BackendAnswer::Kind::failed)
        return true;
    store_error_ = answer.detail;
    return false;
}

bool Exchange::Impl::have_account() {
    if (account_) return true;
    NewAccount wanted;
    wanted.name = name_.normalised;
    const auto added = backend_.store.add(wanted, backend_.elsewhere->now());
    if (!added && added.error() != AuthError::already_exists) {
        store_error_ = added.error().message();
        return false;
    }
    made_ = added.has_value();
    if (!load_account()) return false;
    if (!account_) store_error_ = "the account was removed while it was made";
    return account_ != nullptr;
}

StepResult Exchange::Impl::succeed(Identity::RestsOn rests_on) {
    if (account_->suspended) {
        std::string text = account_->suspended->text;
        Failure failure = fail(Kind::suspended, {});
        failure.text = std::move(text);
        return failure;
    }
    std::string authzid = account_->name;
    if (!authzid_.empty()) {
        // Its own login name, with the label that it carries, is its own identity.
        Name wanted = name_of(authzid_);
        authzid = std::move(wanted.normalised);
        const bool own_label = !wanted.label || wanted.label == name_.label;
        if (authzid.empty() || !own_label || !may_act_as(*account_, authzid))
            return fail(Kind::bad_credentials, "authorization identity not granted");
    }
    Success success{{account_, credential_, std::move(authzid), generation_, rests_on},
                    false,
                    std::move(notice_)};
    success.made = made_;
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
    ended_ = true;
    account_.reset();
    drop();
}

}  // namespace postern::auth
