// States; any failure and any success end it:
//     begin -(nothing)-> await_message -(message)-> judged;  begin -(message)-> judged
// The refusal that a client is told before its 535 goes with the failure (Failure::challenge).

#include "auth/exchange_token.hpp"

#include <utility>

#include "auth/login_name.hpp"
#include "auth/saslprep.hpp"
#include "auth/token_message.hpp"

namespace postern::auth {
namespace {

class TokenExchange final : public Exchange::Impl {
  public:
    TokenExchange(const Backend& backend, ExchangeContext context)
        : Impl(backend, std::move(context)), is_bearer_(context_.mechanism == "OAUTHBEARER") {}

  private:
    [[nodiscard]] StepResult prompt() override { return Challenge{}; }
    [[nodiscard]] std::optional<StepResult> quick(std::string_view message) override;
    [[nodiscard]] StepResult work(std::string_view message) override;
    [[nodiscard]] std::optional<std::string> name_said(std::string_view message) const override;
    [[nodiscard]] bool lacks_key(std::string_view message) const override;

    [[nodiscard]] std::optional<TokenMessage> parse(std::string_view message) const {
        return is_bearer_ ? parse_oauthbearer(message) : parse_xoauth2(message);
    }
    [[nodiscard]] Name name_in_token(const TokenMessage& message) const;
    [[nodiscard]] std::optional<StepResult> remembered(std::string_view token);
    [[nodiscard]] StepResult proved();
    [[nodiscard]] Failure refuse(std::string_view detail);
    [[nodiscard]] Failure told(Failure failure) const;

    const bool is_bearer_;
};

/// Whom the token is about, as far as it can be read, else whom the client names.
Exchange::Impl::Name TokenExchange::name_in_token(const TokenMessage& message) const {
    std::string claimed;
    if (context_.tokens) claimed = account_claimed(message.token, context_.tokens->rules().claim);
    if (claimed.empty()) return name_of(message.user);
    std::string normalised = asserted_login(claimed).value_or(std::string());
    return {std::move(claimed), std::move(normalised), std::nullopt};
}

std::optional<StepResult> TokenExchange::quick(std::string_view message) {
    const auto parsed = parse(message);
    if (!parsed) return fail(Kind::malformed, "token message");
    if (!context_.tokens) return fail(Kind::unavailable, "no tokens are taken here");
    name_ = name_in_token(*parsed);
    if (parsed->binds) return refuse("channel binding without a mechanism");
    authzid_ = parsed->user;
    return remembered(parsed->token);
}

std::optional<StepResult> TokenExchange::remembered(std::string_view token) {
    const std::uint64_t generation = backend_.store.generation();
    const auto known = context_.tokens->recall(token);
    if (!known) return std::nullopt;
    AccountPtr account = backend_.store.find_cached(known->account);
    if (!account || account->suspended || account->version != known->version) return std::nullopt;
    account_ = std::move(account);
    generation_ = generation;
    StepResult out = proved();
    if (auto* const success = std::get_if<Success>(&out)) success->remembered = true;
    return out;
}

StepResult TokenExchange::work(std::string_view message) {
    const auto parsed = parse(message);
    if (!parsed) return fail(Kind::malformed, "token message");
    const std::string_view token = parsed->token;
    secret_hash_ = backend_.memory.secret_hash(
        name_.normalised.empty() ? name_.typed : name_.normalised, token);
    // Looked up before the token is judged: what is told of a failure says whether there is one.
    if (!load_account()) return fail(Kind::unavailable, store_error_);
    const TokenAuthority::Judgement judged = context_.tokens->judge(token);
    if (!judged.by) return fail(Kind::unavailable, "there are no keys to check tokens with");
    if (!judged.said) return refuse(name(judged.said.error()));
    // The claim that was judged is the one that was read: the token is the same.
    if (!account_) return refuse("no such account");
    if (!account_->suspended) context_.tokens->remember(*account_, token, judged);
    return proved();
}

StepResult TokenExchange::proved() {
    credential_ = token_credential;
    StepResult out = succeed(Identity::RestsOn::account);
    if (auto* const failure = std::get_if<Failure>(&out)) return told(std::move(*failure));
    return out;
}

Failure TokenExchange::refuse(std::string_view detail) {
    return told(fail(Kind::bad_credentials, detail));
}

/// With what the client hears before its 535.
Failure TokenExchange::told(Failure failure) const {
    if (failure.kind == Kind::bad_credentials) {
        failure.challenge =
            token_refusal(is_bearer_ ? "invalid_token" : "401", context_.tokens->rules().claim);
    }
    return failure;
}

std::optional<std::string> TokenExchange::name_said(std::string_view message) const {
    const auto parsed = parse(message);
    return parsed ? name_in_token(*parsed).normalised : std::string();
}

bool TokenExchange::lacks_key(std::string_view message) const {
    const auto parsed = parse(message);
    return parsed && context_.tokens && context_.tokens->lacks_key(parsed->token);
}

}  // namespace

std::unique_ptr<Exchange::Impl> make_token_exchange(const Backend& backend,
                                                    ExchangeContext context) {
    return std::make_unique<TokenExchange>(backend, std::move(context));
}

}  // namespace postern::auth
