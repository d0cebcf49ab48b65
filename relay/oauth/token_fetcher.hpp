#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/thread_pool.hpp>

#include "relay/asio.hpp"
#include "relay/oauth/token_source.hpp"

namespace postern::relay::oauth {

/// Fetches an access token once and tells the source; files go through `pool`. Set: a refresh token
/// was given, and why it could not be kept.
[[nodiscard]] awaitable<std::optional<std::string>> fetch_token(asio::io_context& context,
                                                                asio::thread_pool& pool,
                                                                TokenSourcePtr source,
                                                                std::vector<std::string> resolvers);

/// Keeps the token of one upstream fresh, on the housekeeping thread: one coroutine, one fetch at a
/// time.
class TokenFetcher : public std::enable_shared_from_this<TokenFetcher> {
  public:
    /// `resolvers`: asked before each fetch. Context and pool outlive run().
    TokenFetcher(asio::io_context& context, asio::thread_pool& pool, TokenSourcePtr source,
                 std::function<std::vector<std::string>()> resolvers);
    TokenFetcher(const TokenFetcher&) = delete;
    TokenFetcher& operator=(const TokenFetcher&) = delete;

    [[nodiscard]] const TokenSourcePtr& source() const noexcept { return source_; }
    /// Runs until stop(); keeps itself alive until then. Once.
    [[nodiscard]] awaitable<void> run();
    /// On its thread; a fetch under way still ends within its patience.
    void stop();

  private:
    [[nodiscard]] static awaitable<void> run(std::shared_ptr<TokenFetcher> self);

    asio::io_context& context_;
    asio::thread_pool& pool_;
    TokenSourcePtr source_;
    std::function<std::vector<std::string>()> resolvers_;
    asio::steady_timer tick_;
    bool stopping_ = false;
};

}  // namespace postern::relay::oauth
