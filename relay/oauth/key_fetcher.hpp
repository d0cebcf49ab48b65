#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "relay/asio.hpp"
#include "relay/net/http_get.hpp"
#include "relay/oauth/token_keys.hpp"

namespace postern::relay::oauth {

/// Fetches the key set of a URL once. Error: what was met instead.
[[nodiscard]] awaitable<result<std::string, net::HttpFault>> fetch_keys(
    asio::io_context& context, config::KeySetPlace place, std::vector<std::string> resolvers);

/// Keeps the keys of a URL fresh, on the housekeeping thread: one coroutine, one fetch at a time.
class KeyFetcher : public std::enable_shared_from_this<KeyFetcher> {
  public:
    /// `resolvers`: asked before each fetch.
    KeyFetcher(asio::io_context& context, TokenKeysPtr keys,
               std::function<std::vector<std::string>()> resolvers);
    KeyFetcher(const KeyFetcher&) = delete;
    KeyFetcher& operator=(const KeyFetcher&) = delete;

    [[nodiscard]] const TokenKeysPtr& keys() const noexcept { return keys_; }
    /// Runs until stop(); keeps itself alive until then. Once.
    [[nodiscard]] awaitable<void> run();
    /// On its thread; a fetch under way still ends within its patience.
    void stop();

  private:
    [[nodiscard]] static awaitable<void> run(std::shared_ptr<KeyFetcher> self);

    asio::io_context& context_;
    TokenKeysPtr keys_;
    std::function<std::vector<std::string>()> resolvers_;
    asio::steady_timer tick_;
    bool stopping_ = false;
};

}  // namespace postern::relay::oauth
