#include "relay/oauth/token_fetcher.hpp"

#include <utility>

#include "relay/net/http_get.hpp"
#include "relay/net/offload.hpp"

namespace postern::relay::oauth {

namespace {

using Fetch = boost::system::result<FetchedToken, TokenFault>;

/// A server that repeats what it was asked with must not bring it into the log.
void hide(std::string& text, const proto::Secret& secret) {
    if (!secret.empty() && text.contains(secret.reveal()))
        text = "the token server refuses and repeats a secret";
}

awaitable<Fetch> ask_by(asio::io_context& context, net::Resolver& resolver,
                        const config::UpstreamOAuth& settings, const proto::Secret& refresh) {
    net::HttpGet where;
    where.host = settings.token_url.host;
    where.port = settings.token_url.port;
    where.target = settings.token_url.target;
    where.max_body = max_token_answer;
    if (!settings.token_url.clear_text) {
        // Made anew for each fetch: the system's authorities change while we run.
        auto tls = net::TlsClient::make({});
        if (!tls) co_return TokenFault{.what = tls.error().what};
        where.tls = *tls;
    }
    const auto answer = co_await net::http_post_form(context, resolver, std::move(where),
                                                     token_form(settings, refresh.reveal()));
    if (!answer) co_return TokenFault{.what = "the token server: " + answer.error().what};
    Fetch got = read_token_answer(answer->status, answer->body.reveal());
    if (got) co_return got;
    TokenFault fault = got.error();
    hide(fault.what, refresh);
    hide(fault.what, settings.client_secret);
    co_return fault;
}

}  // namespace

awaitable<std::optional<std::string>> fetch_token(asio::io_context& context,
                                                  asio::thread_pool& pool, TokenSourcePtr source,
                                                  std::vector<std::string> resolvers) {
    const config::UpstreamOAuth& settings = source->settings().oauth;
    net::ResolverOptions options;
    options.servers = std::move(resolvers);
    net::Resolver resolver(context, std::move(options));
    RefreshTokens& known = source->refresh_tokens();
    const auto candidates = co_await net::offload(pool, [&known] { return known.candidates(); });
    Fetch got = TokenFault{};
    const proto::Secret* used = nullptr;
    for (const proto::Secret& one : candidates) {
        used = &one;
        got = co_await ask_by(context, resolver, settings, one);
        if (got || got.error().kind != TokenFault::Kind::grant) break;
    }
    // Kept before the token is used: a crash must not lose the one way to the next.
    const bool given = got && !got->refresh_token.empty();
    std::optional<std::string> unkept;
    const bool other = used != &candidates.front();
    if (given ? got->refresh_token.reveal() != used->reveal() : got && other) {
        const proto::Secret& keeps = given ? got->refresh_token : *used;
        unkept = co_await net::offload(pool, [&] { return known.keep(keeps); });
    }
    source->fetch_ended(std::chrono::steady_clock::now(), std::move(got));
    co_return unkept;
}

TokenFetcher::TokenFetcher(asio::io_context& context, asio::thread_pool& pool,
                           TokenSourcePtr source,
                           std::function<std::vector<std::string>()> resolvers)
    : context_(context),
      pool_(pool),
      source_(std::move(source)),
      resolvers_(std::move(resolvers)),
      tick_(context) {}

awaitable<void> TokenFetcher::run() {
    source_->on_wanted([&context = context_, weak = weak_from_this()] {
        asio::post(context, [weak] {
            if (const auto self = weak.lock()) self->tick_.cancel();
        });
    });
    return run(shared_from_this());
}

awaitable<void> TokenFetcher::run(std::shared_ptr<TokenFetcher> self) {
    while (!self->stopping_) {
        const auto next = self->source_->next_fetch();
        if (next > std::chrono::steady_clock::now()) {
            self->tick_.expires_at(next);
            (void)co_await self->tick_.async_wait(as_value);
            continue;
        }
        self->source_->fetch_began();
        const auto unkept =
            co_await fetch_token(self->context_, self->pool_, self->source_, self->resolvers_());
        if (unkept) self->source_->tell_unkept(*unkept);
    }
}

void TokenFetcher::stop() {
    stopping_ = true;
    tick_.cancel();
}

}  // namespace postern::relay::oauth
