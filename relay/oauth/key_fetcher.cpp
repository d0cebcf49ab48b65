#include "relay/oauth/key_fetcher.hpp"

#include <utility>

namespace postern::relay::oauth {

namespace {

using clock = std::chrono::steady_clock;

}  // namespace

awaitable<result<std::string, net::HttpFault>> fetch_keys(asio::io_context& context,
                                                          config::KeySetPlace place,
                                                          std::vector<std::string> resolvers) {
    net::HttpGet what;
    what.host = place.host;
    what.port = place.port;
    what.target = place.target;
    what.max_body = auth::max_key_set_octets;
    if (!place.clear_text) {
        // Made anew for each fetch: the system's authorities change while we run.
        auto tls = net::TlsClient::make({});
        if (!tls) co_return net::HttpFault{tls.error().what};
        what.tls = *tls;
    }
    net::ResolverOptions options;
    options.servers = std::move(resolvers);
    net::Resolver resolver(context, std::move(options));
    co_return co_await net::http_get(context, resolver, std::move(what));
}

KeyFetcher::KeyFetcher(asio::io_context& context, TokenKeysPtr keys,
                       std::function<std::vector<std::string>()> resolvers)
    : context_(context), keys_(std::move(keys)), resolvers_(std::move(resolvers)), tick_(context) {}

awaitable<void> KeyFetcher::run() {
    keys_->on_wanted([&context = context_, weak = weak_from_this()] {
        asio::post(context, [weak] {
            if (const auto self = weak.lock()) self->tick_.cancel();
        });
    });
    return run(shared_from_this());
}

awaitable<void> KeyFetcher::run(std::shared_ptr<KeyFetcher> self) {
    while (!self->stopping_) {
        const auto now = clock::now();
        const auto next = self->keys_->next_fetch(now);
        if (next > now) {
            self->tick_.expires_at(next);
            (void)co_await self->tick_.async_wait(as_value);
            continue;
        }
        self->keys_->fetch_began(now);
        const auto body =
            co_await fetch_keys(self->context_, self->keys_->settings().jwks, self->resolvers_());
        self->keys_->fetch_ended(clock::now(), body ? &*body : nullptr,
                                 body ? std::string() : body.error().what);
    }
}

void KeyFetcher::stop() {
    stopping_ = true;
    tick_.cancel();
}

}  // namespace postern::relay::oauth
