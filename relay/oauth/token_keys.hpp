#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <boost/system/result.hpp>

#include "auth/token_authority.hpp"
#include "relay/config/config.hpp"
#include "relay/event/event.hpp"
#include "relay/oauth/key_schedule.hpp"

namespace postern::relay::oauth {

/// A file of keys, at most one octet more than may be. Unset: `error` says why.
[[nodiscard]] std::optional<std::string> read_key_file(const std::string& file, std::string& error);

/// `[auth.oauth]` at work: what tokens are judged by, and where its keys come from. Shared by
/// sessions, which ask, and by whoever fetches (KeyFetcher) or reads the file. Thread-safe; time is
/// an argument.
class TokenKeys {
  public:
    using time = KeySchedule::time;
    /// So many logins may wait for a fetch.
    static constexpr std::size_t max_waiting = 1000;

    TokenKeys(config::OAuth settings, event::Stream& events);
    TokenKeys(const TokenKeys&) = delete;
    TokenKeys& operator=(const TokenKeys&) = delete;

    [[nodiscard]] const config::OAuth& settings() const noexcept { return settings_; }
    [[nodiscard]] bool by_url() const noexcept { return settings_.jwks.file.empty(); }
    [[nodiscard]] const auth::TokenAuthorityPtr& authority() const noexcept { return authority_; }

    enum class Asked : std::uint8_t {
        wait,     ///< `done` will be called, from another thread.
        settled,  ///< Those that are there are fresh: judge by them.
        later,    ///< Nobody can tell now: 454.
    };
    /// A token names a key that is not there. `done` hears whether a fetch was good.
    [[nodiscard]] Asked ask(time now, std::function<void(bool good)> done);

    /// What is in the file, to be used by use(). Error: a sentence with the file.
    [[nodiscard]] boost::system::result<auth::KeySetPtr, std::string> read_file() const;
    /// Tokens are checked by these from now on.
    void use(auth::KeySetPtr keys);

    struct Fetches {
        std::uint64_t good = 0;
        std::uint64_t failed = 0;
    };
    /// Since it was made.
    [[nodiscard]] Fetches fetches() const;

    // The fetcher's side; one thread.
    [[nodiscard]] time next_fetch(time now) const;
    void fetch_began(time now);
    /// What came; null: nothing, and why.
    void fetch_ended(time now, const std::string* body, std::string error);
    /// Nobody fetches for it any more: those that wait are let go, and its alert is taken back.
    void retire();
    /// `wake` is called, from any thread, when a fetch is wanted at once.
    void on_wanted(std::function<void()> wake);

  private:
    void tell_failed(unsigned failures, const std::string& error);
    void tell_mended(unsigned failures);

    config::OAuth settings_;
    event::Stream& events_;
    auth::TokenAuthorityPtr authority_;
    mutable std::mutex mutex_;
    KeySchedule schedule_;
    Fetches fetches_;
    std::vector<std::function<void(bool)>> waiting_;
    std::function<void()> wake_;
    bool retired_ = false;  ///< Sessions of an older configuration still ask.
};

using TokenKeysPtr = std::shared_ptr<TokenKeys>;

}  // namespace postern::relay::oauth
